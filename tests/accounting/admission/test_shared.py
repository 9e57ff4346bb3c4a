"""Tests of accounting/admission/shared.py: several gates on one Redis, as several workers are."""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone

from accounting.admission import scripts, shared
from accounting.admission.shared import SharedGate, nano
from accounting.admission.values import BudgetPicture, Need, Rules, Used
from accounting.errors import BudgetExceeded, BudgetReserved, LimitsUnreadable, RateLimited
from tests.services import REDIS_URL, needs_redis
from tests.waiting import PATIENCE_S, until

pytestmark = needs_redis
NANO = 1000  # picodollars


class Books:
    """A ledger that knows what is spent, in picodollars."""

    def __init__(self):
        self.spent = 0
        self.asked = 0
        self.failure = None

    async def read(self, _budget, _window):
        self.asked += 1
        if self.failure:
            raise self.failure
        return self.spent


def budget(amount=100, pk=1, window="month"):
    return BudgetPicture(
        pk, "alder", "the monthly budget of team alder", amount * NANO, window, "UTC"
    )


def team(**fields):
    return (Rules("alder", "team alder", **fields),)


def need(worst=0, tokens=0, narrow=None):
    return Need(secrets.token_hex(8), tokens, worst * NANO, narrow)


def used(cost=0, tokens=0, at=None):
    return Used(tokens, [(at or datetime.now(UTC), cost * NANO)])


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(shared, "SETTLING_S", 0.02)
    monkeypatch.setattr(shared, "AWAY_S", 0.1)
    # On a busy machine an answer may take more than the second after which Redis counts as away.
    monkeypatch.setattr(shared, "REDIS_WAIT_S", 30)


@pytest.fixture
def books():
    return Books()


@pytest.fixture
async def make_gate(books):
    """Makes gates that count together: ``make_gate()``."""
    prefix, gates = f"test-{secrets.token_hex(6)}", []

    def make(url=REDIS_URL, **how):
        gates.append(SharedGate(url, books.read, prefix=prefix, **{"wait_s": 0.3, **how}))
        return gates[-1]

    yield make
    for gate in gates:
        await gate.close()
    async with Redis.from_url(REDIS_URL) as redis:
        async for key in redis.scan_iter(f"{prefix}:*"):
            await redis.delete(key)


def is_quiet(gate):
    """Whether Redis has heard of all that it was to be told."""
    return not gate._tasks and not gate._calls.is_busy


async def settled(gate, admitted, used_up):
    """Settle, and wait until Redis has heard of it."""
    admitted.settle(used_up)
    while not is_quiet(gate):  # noqa: ASYNC110  (it tells nobody)
        await asyncio.sleep(0.005)


async def test_the_minutes_requests_are_counted_together(make_gate):
    one, other = make_gate(), make_gate()
    rules = team(requests_per_minute=2)
    first = await one.admit(rules, need())
    assert first.standings[0][:3] == ("requests", 2, 1)
    assert (await other.admit(rules, need())).standings[0][:3] == ("requests", 2, 0)
    with pytest.raises(RateLimited, match="team alder has used its 2 requests") as refused:
        await one.admit(rules, need())
    assert 30 < refused.value.retry_after_s <= 61
    assert 30 < refused.value.standings[0].reset_s <= 61


async def test_requests_under_way_are_counted_together(make_gate):
    one, other = make_gate(), make_gate()
    rules = team(concurrent_requests=2)
    first, _second = await one.admit(rules, need()), await other.admit(rules, need())
    with pytest.raises(RateLimited, match="2 requests under way"):
        await other.admit(rules, need())
    await settled(one, first, used())
    first.settle(used())  # without effect
    await other.admit(rules, need())
    with pytest.raises(RateLimited):
        await one.admit(rules, need())


async def test_tokens_are_counted_as_expected_and_then_as_used(make_gate):
    one, other = make_gate(), make_gate()
    rules = team(tokens_per_minute=1000)
    first = await one.admit(rules, need(tokens=600))
    with pytest.raises(RateLimited, match="has 400 of its 1000 tokens of a minute left"):
        await other.admit(rules, need(tokens=600))
    await settled(one, first, used(tokens=300))
    second = await other.admit(rules, need(tokens=600))
    assert second.standings[0][:3] == ("tokens", 1000, 100)
    await settled(other, second, used(tokens=2000))
    with pytest.raises(RateLimited):
        await one.admit(rules, need(tokens=1))


async def test_all_rules_hold_or_none_is_counted(make_gate):
    gate = make_gate()
    key = Rules("alder/key/1", "API key 'laptop'", requests_per_minute=9)
    whole = Rules("alder", "team alder", requests_per_minute=1)
    await gate.admit((key, whole), need())
    with pytest.raises(RateLimited, match="team alder"):
        await gate.admit((key, whole), need())
    admitted = await gate.admit((key,), need())
    assert admitted.standings[0].remaining == 7


async def test_a_call_that_is_repeated_because_its_answer_was_lost_counts_once(make_gate):
    gate = make_gate()
    rules = team(requests_per_minute=9, tokens_per_minute=1000, budgets=(budget(100),))
    asked = need(tokens=100, worst=60)
    first = await gate.admit(rules, asked)
    await gate.admit(rules, asked)  # as Redis' client does it

    other = await gate.admit(rules, need(tokens=100, worst=40))

    assert [standing.remaining for standing in other.standings] == [7, 800]
    await settled(gate, first, used(tokens=100))
    await settled(gate, other, used(tokens=100))
    await gate.admit(rules, need(worst=100))  # nothing is held any more


@pytest.mark.parametrize("is_run_before", [True, False])
async def test_a_settlement_that_is_repeated_because_its_answer_was_lost_counts_once(
    make_gate, monkeypatch, is_run_before
):
    gate = make_gate()
    rules = team(tokens_per_minute=1000, budgets=(budget(100),))
    admitted = await gate.admit(rules, need(tokens=100, worst=60))
    (kept,) = gate._calls._idle
    send, lost = kept.send_packed_command, []

    async def lose(command, **how):
        if is_run_before:
            await send(command, **how)
            await kept.read_response()
        lost.append(command)
        raise RedisGone

    monkeypatch.setattr(kept, "send_packed_command", lose)
    await settled(gate, admitted, used(cost=30, tokens=300))
    assert len(lost) == 1
    other = await gate.admit(rules, need(tokens=100, worst=70))  # 100 - 30
    assert [standing.remaining for standing in other.standings] == [600]  # 1000 - 300 - 100


async def emptied(gate):
    """Redis loses all that it holds of these gates."""
    async for key in gate._redis.scan_iter(f"{gate._prefix}:*"):
        await gate._redis.delete(key)


async def test_a_redis_that_was_emptied_is_told_again_what_is_held(make_gate):
    one, other = make_gate(), make_gate()
    rules = team(concurrent_requests=2, budgets=(budget(100),))
    first = await one.admit(rules, need(worst=60))
    await emptied(one)

    with pytest.raises(BudgetReserved):
        await one.admit(rules, need(worst=60))
    with pytest.raises(BudgetReserved):
        await other.admit(rules, need(worst=60))
    await other.admit(rules, need(worst=40))
    with pytest.raises(RateLimited, match="2 requests under way"):
        await other.admit(rules, need())

    await settled(one, first, used(cost=10))
    await one.admit(rules, need(worst=50))  # 10 spent + 40 held


async def test_what_others_hold_is_held_again_when_they_renew_it(make_gate):
    one, other = make_gate(), make_gate()
    rules = team(budgets=(budget(100),))
    first = await one.admit(rules, need(worst=60))
    await emptied(one)
    await one._renew()

    with pytest.raises(BudgetReserved):
        await other.admit(rules, need(worst=60))
    for _ in range(3):
        await one._renew()  # which counts nothing twice
    await settled(one, first, used(cost=10))
    await other.admit(rules, need(worst=90))


async def test_an_account_is_opened_once_with_what_the_ledger_says(make_gate, books):
    books.spent = 40 * NANO
    one, other = make_gate(), make_gate()
    rules = team(budgets=(budget(100),))
    await asyncio.gather(one.admit(rules, need(worst=30)), other.admit(rules, need(worst=30)))
    assert books.asked == 1
    with pytest.raises(BudgetExceeded, match="less than this request may cost"):
        await one.admit(rules, need(worst=61))


async def test_who_comes_late_to_open_an_account_leaves_it_as_it_is(make_gate, books):
    one, late = make_gate(), make_gate()
    account = budget(100)
    await settled(one, await one.admit(team(budgets=(account,)), need(worst=60)), used(cost=60))

    place = late._place(account, account.window_at(late._now()))
    await late._open_account(place, time.monotonic() + PATIENCE_S)

    assert books.asked == 1  # the ledger has not heard of the 60 yet
    with pytest.raises(BudgetExceeded):
        await late.admit(team(budgets=(account,)), need(worst=41))


async def test_two_hundred_over_two_gates_never_spend_more_and_twenty_get_through(make_gate):
    gates, spent = [make_gate(wait_s=PATIENCE_S), make_gate(wait_s=PATIENCE_S)], []

    async def one(number):
        gate = gates[number % 2]
        admitted = await gate.admit(team(budgets=(budget(2000),)), need(worst=100))
        await asyncio.sleep(0.001 * (number % 7))
        spent.append(100)
        admitted.settle(used(cost=100))

    results = await asyncio.gather(*(one(number) for number in range(200)), return_exceptions=True)

    assert sum(spent) == 2000
    assert results.count(None) == 20
    assert all(isinstance(error, BudgetExceeded) for error in results if error)


async def test_a_request_waits_for_room_that_is_only_held(make_gate):
    one, other = make_gate(), make_gate(wait_s=PATIENCE_S)
    rules = team(budgets=(budget(100),))
    first = await one.admit(rules, need(worst=80))
    second = asyncio.ensure_future(other.admit(rules, need(worst=80)))
    await asyncio.sleep(0.1)
    assert not second.done()
    await settled(one, first, used(cost=5))
    await second
    with pytest.raises(BudgetReserved):
        await one.admit(rules, need(worst=80))


async def test_tokens_are_counted_only_where_the_quick_bound_is_too_much(make_gate, books):
    gate, rules, asked = make_gate(), team(budgets=(budget(100),)), []

    def narrow():
        asked.append(1)
        return 10 * NANO

    await gate.admit(rules, need(worst=60, narrow=narrow))
    assert not asked
    held = await gate.admit(rules, need(worst=60, narrow=narrow))
    assert asked == [1]
    await settled(gate, held, used(cost=100))
    with pytest.raises(BudgetExceeded, match="is spent"):
        await gate.admit(rules, need(worst=60, narrow=narrow))
    assert asked == [1]  # nothing is left, whatever it costs


async def test_what_a_killed_worker_held_comes_back(make_gate):
    one, other = make_gate(lease_s=2), make_gate()
    rules = team(budgets=(budget(100),), concurrent_requests=1)
    await one.admit(rules, need(worst=100))
    with pytest.raises(RateLimited):
        await other.admit(rules, need(worst=100))
    await asyncio.sleep(2.1)
    await other.admit(rules, need(worst=100))


async def test_a_client_that_leaves_while_redis_is_asked_keeps_no_place(make_gate):
    one, other = make_gate(), make_gate()
    rules = team(concurrent_requests=1, budgets=(budget(100),))
    await settled(one, await one.admit(rules, need()), used())  # the account is open
    asking = asyncio.ensure_future(one.admit(rules, need(worst=100)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: is_quiet(one))
    await other.admit(rules, need(worst=100))


async def test_a_long_request_keeps_its_place(make_gate):
    one, other = make_gate(lease_s=3), make_gate()
    rules = team(budgets=(budget(100),), concurrent_requests=1)
    await one.admit(rules, need(worst=100))
    for _ in range(17):
        await asyncio.sleep(0.2)
        one.tick()
    with pytest.raises(RateLimited, match="under way"):
        await other.admit(rules, need())


async def test_what_began_in_a_new_window_is_booked_there(make_gate):
    moment = [datetime(2026, 11, 20, 23, 59, tzinfo=UTC)]
    gate = make_gate(now=lambda: moment[0])
    rules = team(budgets=(budget(100, window="day"),))
    held = await gate.admit(rules, need(worst=50))
    moment[0] += timedelta(minutes=2)
    (await gate.admit(rules, need(worst=10))).settle(used(at=moment[0]))
    await settled(gate, held, used(cost=50, at=moment[0]))
    with pytest.raises(BudgetExceeded):
        await gate.admit(rules, need(worst=51))


async def test_a_ledger_that_cannot_be_read_lets_nothing_in_and_is_asked_again(make_gate, books):
    gate, rules = make_gate(), team(budgets=(budget(100),))
    books.failure = ValueError("no")
    with pytest.raises(LimitsUnreadable, match="ValueError"):
        await gate.admit(rules, need(worst=1))
    books.failure = None
    await gate.admit(rules, need(worst=1))


async def test_tidying_asks_anew_what_is_spent(make_gate, books):
    gate, rules = make_gate(), team(budgets=(budget(100),))
    await settled(gate, await gate.admit(rules, need(worst=60)), used(cost=60))
    books.spent = 20 * NANO  # an adjustment of -40
    asked = books.asked
    gate.tidy()
    await until(lambda: books.asked > asked and is_quiet(gate))
    await gate.admit(rules, need(worst=80))


async def test_an_account_is_asked_anew_also_when_who_opened_it_is_gone(make_gate, books):
    first, second, third = make_gate(), make_gate(), make_gate()
    rules = team(budgets=(budget(100),))
    await settled(first, await first.admit(rules, need(worst=60)), used(cost=60))
    await first.close()
    for gate in (second, third):
        await settled(gate, await gate.admit(rules, need(worst=10)), used(cost=0))

    books.spent = 20 * NANO  # an adjustment of -40
    asked = books.asked
    second.tidy()
    await until(lambda: books.asked > asked and is_quiet(second))
    third.tidy()
    await until(lambda: is_quiet(third))
    assert books.asked == asked + 1  # once a minute is enough for all of them
    await third.admit(rules, need(worst=80))


async def test_a_place_is_not_taken_again_for_a_request_that_is_over(make_gate):
    gate = make_gate()
    rules = team(budgets=(budget(100),), concurrent_requests=1)
    admitted = await gate.admit(rules, need(worst=60))
    # A script that Redis does not know yet is sent again with its text, behind what was asked for later.
    unknown = f"{scripts.RENEW}-- {secrets.token_hex(8)}"
    gate._hold_on = gate._redis.register_script(unknown)
    gate._renew_one(admitted)
    await settled(gate, admitted, used(cost=30))
    await gate.admit(rules, need(worst=70))


async def test_without_redis_each_process_goes_on_by_its_own_memory(make_gate, books):
    gate = make_gate("redis://127.0.0.1:1/0")
    books.spent = 90 * NANO
    rules = team(budgets=(budget(100),), requests_per_minute=2)
    admitted = await gate.admit(rules, need(worst=10))
    assert gate.failure
    with pytest.raises(BudgetReserved):
        await gate.admit(rules, need(worst=10))
    admitted.settle(used(cost=10))
    with pytest.raises(BudgetExceeded):
        await gate.admit(rules, need(worst=10))


async def test_without_redis_nothing_is_let_in_where_that_is_the_policy(make_gate):
    gate = make_gate("redis://127.0.0.1:1/0", policy="refuse")
    for _ in range(2):
        with pytest.raises(LimitsUnreadable, match="Redis cannot be reached"):
            await gate.admit(team(requests_per_minute=2), need())


async def test_costs_of_an_outage_are_told_when_it_is_over(make_gate, books):
    """A proxy in front of Redis is taken away and brought back."""
    port_there = []

    async def pass_on(reader, writer):
        upstream = await asyncio.open_connection("127.0.0.1", 6379)

        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(
            pump(reader, upstream[1]), pump(upstream[0], writer), return_exceptions=True
        )

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    port_there.append(server.sockets[0].getsockname()[1])
    gate, other = make_gate(f"redis://127.0.0.1:{port_there[0]}/0"), make_gate()
    rules = team(budgets=(budget(100),))
    await settled(gate, await gate.admit(rules, need(worst=10)), used(cost=10))
    held = await gate.admit(rules, need(worst=10))

    server.close()
    await gate._redis.connection_pool.disconnect()
    await gate._calls.close()
    books.spent = 10 * NANO
    locally = await gate.admit(rules, need(worst=30))
    assert gate.failure
    locally.settle(used(cost=30))
    held.settle(used(cost=5))
    while not is_quiet(gate):  # noqa: ASYNC110  (it tells nobody)
        await asyncio.sleep(0.01)

    server = await asyncio.start_server(pass_on, "127.0.0.1", port_there[0])
    await asyncio.sleep(0.15)
    gate.tick()
    await until(lambda: not gate.failure and is_quiet(gate))
    with pytest.raises(
        BudgetReserved
    ):  # 55 is left; 10 of it is held by what could not be given back
        await other.admit(rules, need(worst=46))
    await other.admit(rules, need(worst=45))  # 10 + 30 + 5 spent, 10 held
    await gate.close()
    server.close()


def test_nanodollars_are_rounded_up():
    assert [nano(0), nano(1), nano(1000), nano(1001)] == [0, 1, 1, 2]

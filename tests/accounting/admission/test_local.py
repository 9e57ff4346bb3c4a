"""Tests of accounting/admission/local.py: limits and holds of one process."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from accounting.admission.local import LocalGate
from accounting.admission.values import BudgetPicture, Need, Rules, Used
from accounting.errors import BudgetExceeded, BudgetReserved, LimitsUnreadable, RateLimited
from llmgateway.tasks import spawn

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Clock:
    """Time as the test says."""

    def __init__(self):
        self.passed_s = 0.0

    def monotonic(self):
        return 1000 + self.passed_s

    def now(self):
        return NOW + timedelta(seconds=self.passed_s)


class Books:
    """A ledger that knows what is spent."""

    def __init__(self, spent=0):
        self.spent = spent
        self.asked = 0
        self.gate = None
        self.failure = None

    async def read(self, _budget, _window):
        self.asked += 1
        spent = self.spent
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return spent


def budget(amount=100, pk=1, window="month", holder="alder"):
    return BudgetPicture(pk, holder, "the monthly budget of team alder", amount, window, "UTC")


def team(**fields):
    return (Rules("alder", "team alder", **fields),)


def need(worst=0, tokens=0, narrow=None, name="r"):
    return Need(name, tokens, worst, narrow)


def used(cost=0, tokens=0, at=NOW):
    return Used(tokens, [(at, cost)])


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def books():
    return Books()


@pytest.fixture
def gate(clock, books):
    return LocalGate(books.read, wait_s=0.05, clock=clock.monotonic, now=clock.now)


@pytest.fixture
def patient_gate(clock, books):
    return LocalGate(books.read, wait_s=60, clock=clock.monotonic, now=clock.now)


async def test_no_more_requests_are_let_in_than_a_minute_allows(gate, clock):
    rules = team(requests_per_minute=2)
    first = await gate.admit(rules, need())
    (standing,) = first.standings
    assert standing[:3] == ("requests", 2, 1)
    (await gate.admit(rules, need())).settle(used())
    with pytest.raises(RateLimited, match="team alder has used its 2 requests") as refused:
        await gate.admit(rules, need())
    assert refused.value.retry_after_s == 61
    assert refused.value.standings[0][:3] == ("requests", 2, 0)

    clock.passed_s = 61
    await gate.admit(rules, need())


async def test_a_refused_request_is_not_counted(gate, clock):
    rules = team(requests_per_minute=1)
    await gate.admit(rules, need())
    for _ in range(5):
        clock.passed_s += 10
        with pytest.raises(RateLimited):
            await gate.admit(rules, need())
    clock.passed_s = 61
    await gate.admit(rules, need())


async def test_requests_under_way_have_their_limit(gate):
    rules = team(concurrent_requests=2)
    first, _second = await gate.admit(rules, need()), await gate.admit(rules, need())
    with pytest.raises(RateLimited, match="2 requests under way"):
        await gate.admit(rules, need())
    first.settle(used())
    first.settle(used())  # without effect
    await gate.admit(rules, need())
    with pytest.raises(RateLimited):
        await gate.admit(rules, need())


async def test_tokens_are_counted_as_expected_and_then_as_used(gate, clock):
    rules = team(tokens_per_minute=1000)
    first = await gate.admit(rules, need(tokens=600))
    assert first.standings[0][:3] == ("tokens", 1000, 400)
    with pytest.raises(RateLimited, match="has 400 of its 1000 tokens of a minute left"):
        await gate.admit(rules, need(tokens=600))
    first.settle(used(tokens=300))
    second = await gate.admit(rules, need(tokens=600))  # 300 + 600
    second.settle(used(tokens=2000))  # more than was thought
    with pytest.raises(RateLimited):
        await gate.admit(rules, need(tokens=1))
    clock.passed_s = 61
    await gate.admit(rules, need(tokens=1))


async def test_a_request_longer_than_the_limit_has_its_turn_when_nothing_was_used(gate, clock):
    rules = team(tokens_per_minute=100)
    await gate.admit(rules, need(tokens=5000))
    with pytest.raises(RateLimited):
        await gate.admit(rules, need(tokens=5000))
    clock.passed_s = 61
    await gate.admit(rules, need(tokens=5000))


async def test_all_rules_hold_at_once_and_the_tightest_is_told(gate):
    rules = (
        Rules("alder/key/1", "API key 'laptop'", requests_per_minute=5, tokens_per_minute=50),
        Rules("alder", "team alder", requests_per_minute=3),
    )
    admitted = await gate.admit(rules, need(tokens=10))
    assert [standing[:3] for standing in admitted.standings] == [
        ("requests", 3, 2),
        ("tokens", 50, 40),
    ]
    other_key = (Rules("alder/key/2", "API key 'ci'"), rules[1])
    await gate.admit(other_key, need())
    await gate.admit(other_key, need())
    with pytest.raises(RateLimited, match="team alder"):
        await gate.admit(rules, need())


async def test_a_hold_keeps_its_worst_cost_and_settling_books_the_real_one(gate):
    rules = team(budgets=(budget(100),))
    first = await gate.admit(rules, need(worst=60))
    assert gate.spent(1) == (0, 60)
    first.settle(used(cost=25))
    assert gate.spent(1) == (25, 0)
    await gate.admit(rules, need(worst=75))
    assert gate.spent(1) == (25, 75)


async def test_a_spent_budget_refuses_with_words_and_the_time_of_the_next_window(gate, books):
    books.spent = 100
    with pytest.raises(
        BudgetExceeded, match="spend limit reached: the monthly budget of team alder"
    ) as no:
        await gate.admit(team(budgets=(budget(100),)), need())
    assert "begins anew on 2026-12-01 00:00 UTC" in no.value.message
    assert no.value.retry_after_s == 10.5 * 24 * 3600


async def test_a_total_budget_does_not_begin_anew(gate, books):
    books.spent = 100
    with pytest.raises(BudgetExceeded, match="does not begin anew") as refused:
        await gate.admit(team(budgets=(budget(100, window="total"),)), need())
    assert refused.value.retry_after_s is None


async def test_a_request_that_may_cost_more_than_is_left_is_refused_at_once(gate, books):
    books.spent = 95
    with pytest.raises(BudgetExceeded, match="less than this request may cost"):
        await gate.admit(team(budgets=(budget(100),)), need(worst=6))


async def test_tokens_are_counted_only_where_the_quick_bound_is_too_much(gate):
    rules, asked = team(budgets=(budget(100),)), []

    def narrow():
        asked.append(1)
        return 10

    await gate.admit(rules, need(worst=60, narrow=narrow))
    assert not asked
    await gate.admit(rules, need(worst=60, narrow=narrow))
    assert asked == [1]
    assert gate.spent(1) == (0, 70)  # 60 + 10


async def test_a_request_waits_for_room_that_is_only_held(patient_gate):
    rules = team(budgets=(budget(100),))
    first = await patient_gate.admit(rules, need(worst=80))
    second = spawn(patient_gate.admit(rules, need(worst=80)), name="second")
    await asyncio.sleep(0.01)
    assert not second.done()
    first.settle(used(cost=5))
    await second
    assert patient_gate.spent(1) == (5, 80)


async def test_the_wait_for_room_ends(gate):
    rules = team(budgets=(budget(100),))
    await gate.admit(rules, need(worst=80))
    with pytest.raises(BudgetReserved, match="held for requests under way"):
        await gate.admit(rules, need(worst=80))
    assert gate.spent(1) == (0, 80)


async def test_a_client_that_leaves_while_it_waits_holds_nothing(patient_gate):
    rules = team(budgets=(budget(100),))
    first = await patient_gate.admit(rules, need(worst=80))
    second = spawn(patient_gate.admit(rules, need(worst=80)), name="second")
    await asyncio.sleep(0.01)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    first.settle(used())
    assert patient_gate.spent(1) == (0, 0)


async def test_two_hundred_at_once_never_spend_more_and_twenty_get_through(books):
    """Twenty at the worst cost, which is what each of them costs."""
    gate, spent = LocalGate(books.read, wait_s=60), []

    async def one(number):
        admitted = await gate.admit(
            team(budgets=(budget(2000),)), need(worst=100, name=str(number))
        )
        await asyncio.sleep(0.001 * (number % 7))
        spent.append(100)
        admitted.settle(used(cost=100, at=datetime.now(UTC)))

    results = await asyncio.gather(*(one(number) for number in range(200)), return_exceptions=True)

    assert sum(spent) == 2000
    assert results.count(None) == 20
    assert all(isinstance(error, BudgetExceeded) for error in results if error)


async def test_requests_that_cost_less_than_their_worst_leave_room_for_more(books):
    gate, spent = LocalGate(books.read, wait_s=60), []

    async def one(number):
        admitted = await gate.admit(
            team(budgets=(budget(2000),)), need(worst=100, name=str(number))
        )
        await asyncio.sleep(0.001)
        spent.append(40)
        admitted.settle(used(cost=40, at=datetime.now(UTC)))

    await asyncio.gather(*(one(number) for number in range(200)), return_exceptions=True)

    assert 1900 < sum(spent) <= 2000  # less than one worst cost is left


async def test_a_limit_that_is_reached_gives_the_hold_back(gate):
    rules = team(budgets=(budget(100),), requests_per_minute=1)
    await gate.admit(rules, need(worst=10))
    with pytest.raises(RateLimited):
        await gate.admit(rules, need(worst=10))
    assert gate.spent(1) == (0, 10)


async def test_what_is_settled_while_the_ledger_is_asked_is_counted_once(gate, books):
    rules = team(budgets=(budget(100),))
    admitted = await gate.admit(rules, need(worst=10))
    admitted.settle(used(cost=10))
    other = await gate.admit(rules, need(worst=10))
    books.spent = 10  # what the ledger has of the first
    books.gate = asyncio.Event()
    gate._open(gate._accounts[1])
    await asyncio.sleep(0)
    other.settle(used(cost=7))
    books.gate.set()
    await asyncio.sleep(0.01)
    assert gate.spent(1) == (17, 0)


async def test_what_is_settled_just_before_the_ledger_is_asked_is_counted_once(gate, books):
    rules = team(budgets=(budget(100),))
    admitted = await gate.admit(rules, need(worst=10))
    books.gate = asyncio.Event()
    gate.tidy()
    gate.tidy()  # as may be during an outage of Redis
    books.spent = 7
    admitted.settle(used(cost=7))
    await asyncio.sleep(0.01)
    assert books.asked == 2  # at the begin, and now
    books.gate.set()
    await asyncio.sleep(0.01)
    assert gate.spent(1) == (7, 0)


async def test_a_new_window_begins_with_what_the_ledger_says(gate, books, clock):
    rules = team(budgets=(budget(100, window="day"),))
    (await gate.admit(rules, need(worst=100))).settle(used(cost=100))
    with pytest.raises(BudgetExceeded):
        await gate.admit(rules, need(worst=1))
    clock.passed_s = 12 * 3600
    await gate.admit(rules, need(worst=100))
    assert books.asked == 2


async def test_what_began_in_a_new_window_is_booked_there(gate, clock):
    rules = team(budgets=(budget(100, window="day"),))
    held = await gate.admit(rules, need(worst=50))
    clock.passed_s = 12 * 3600
    (await gate.admit(rules, need(worst=10))).settle(used())
    held.settle(used(cost=50, at=clock.now()))
    assert gate.spent(1) == (50, 0)


async def test_a_raised_amount_is_in_force_at_once(gate, books):
    books.spent = 100
    with pytest.raises(BudgetExceeded):
        await gate.admit(team(budgets=(budget(100),)), need(worst=1))
    await gate.admit(team(budgets=(budget(200),)), need(worst=100))
    assert books.asked == 1


async def test_a_ledger_that_cannot_be_read_lets_nothing_in_and_is_asked_again(gate, books):
    rules = team(budgets=(budget(100),))
    books.failure = OSError("gone")
    with pytest.raises(LimitsUnreadable, match="OSError"):
        await gate.admit(rules, need(worst=1))
    books.failure = None
    await gate.admit(rules, need(worst=1))


async def test_tidying_forgets_what_is_idle_and_asks_anew_what_is_spent(gate, books, clock):
    rules = team(budgets=(budget(100),), requests_per_minute=9, tokens_per_minute=9)
    (await gate.admit(rules, need(worst=10, tokens=3))).settle(used(cost=10, tokens=3))
    books.spent = 4  # an adjustment of -6
    gate.tidy()
    await asyncio.sleep(0.01)
    assert gate.spent(1) == (4, 0)
    assert "alder" in gate._meters
    clock.passed_s = 62
    gate.tidy()
    assert not gate._meters


async def test_tidying_asks_anew_also_while_requests_are_under_way(gate, books):
    rules = team(budgets=(budget(100),))
    (await gate.admit(rules, need(worst=10))).settle(used(cost=10))
    await gate.admit(rules, need(worst=30))
    books.spent = 4
    gate.tidy()
    await asyncio.sleep(0.01)
    assert gate.spent(1) == (4, 30)


async def test_tidying_forgets_a_window_that_is_over_once_nothing_is_held(gate, clock):
    rules = team(budgets=(budget(100, window="day"),))
    held = await gate.admit(rules, need(worst=10))
    clock.passed_s = 12 * 3600
    gate.tidy()
    assert gate._accounts
    held.settle(used())
    gate.tidy()
    assert not gate._accounts


async def test_a_request_without_a_price_passes_until_the_budget_is_spent(gate, books):
    rules = team(budgets=(budget(100),))
    (await gate.admit(rules, need())).settle(used(cost=100))
    with pytest.raises(BudgetExceeded):
        await gate.admit(rules, need())

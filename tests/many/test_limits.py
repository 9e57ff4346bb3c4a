"""What limits, limits both together: limits by the minute, budgets and a provider's places, also when Redis is emptied."""

import asyncio
from dataclasses import replace

from redis.asyncio import Redis

from tests.fakes.upstream import FakeUpstream
from tests.many.conftest import BUSY, REQUEST_USD, Two, ask, ask_in_turn
from tests.services import REDIS_URL
from tests.waiting import until


async def test_a_limit_by_the_minute_holds_over_both(two: Two, upstream: FakeUpstream):
    key = await two.make_team(requests_per_minute=3)
    async with two.client(key) as http:
        answers = [await ask(http, gateway) for gateway in (*two, *two)]
        assert answers == [200, 200, 200, 429]
        assert set(await ask_in_turn(http, two, 10)) == {429}
    assert len(upstream.requests) == 3


async def test_a_budget_holds_over_both_and_what_was_spent_is_booked(
    two: Two, upstream: FakeUpstream
):
    key = await two.make_team(budget_usd=10)
    booked_before = {row["id"] for gateway in [two[0]] for row in gateway.records()}
    async with two.client(key) as http:
        answers = await ask_in_turn(http, two, 120)
    assert answers.count(200) == 20
    assert set(answers) == {200, 429}
    assert len(upstream.requests) == 20

    def booked() -> list[int]:
        return [row["cost_usd"] for row in two[0].records() if row["id"] not in booked_before]

    await until(lambda: len(booked()) == 20)
    assert sum(booked()) == 10 * 10**12


async def test_a_redis_that_comes_back_empty_makes_no_budget_forget_what_is_spent(
    two: Two, upstream: FakeUpstream
):
    """12 requests are settled and 3 under way when all is gone; of 20 that the budget has, 5 are left, not 20."""
    assert REQUEST_USD == "0.5"
    key = await two.make_team(budget_usd=10)
    answer = upstream.default
    async with two.client(key) as http:
        assert await ask_in_turn(http, two, 12) == [200] * 12
        upstream.default = replace(answer, begins_after=(may_answer := asyncio.Event()))
        late = asyncio.ensure_future(ask_in_turn(http, two, 3))
        await until(lambda: len(upstream.requests) == 15)
        await two.empty_redis()
        may_answer.set()
        assert await late == [200] * 3

        answers = await ask_in_turn(http, two, 60)
        assert sorted(set(answers)) == [200, 429]
        assert answers.count(200) == 5
        assert len(upstream.requests) == 20


async def test_a_redis_that_comes_back_empty_begins_the_minute_anew(
    two: Two, upstream: FakeUpstream
):
    key = await two.make_team(requests_per_minute=3)
    async with two.client(key) as http:
        assert (await ask_in_turn(http, two, 8)).count(200) == 3
        await two.empty_redis()
        assert (await ask_in_turn(http, two, 8)).count(200) == 3
    assert len(upstream.requests) == 6


async def test_a_providers_places_come_back_from_a_gateway_that_was_killed_and_after_redis_was_emptied(
    two: Two, upstream: FakeUpstream
):
    key = await two.make_team()
    one, other = two
    answer = upstream.default
    async with two.client(key) as http:
        upstream.default = replace(answer, begins_after=(is_over := asyncio.Event()))
        doomed = [asyncio.ensure_future(ask(http, one, "narrow")) for _ in range(2)]
        await until(lambda: len(upstream.requests) == 2)
        assert await ask(http, other, "narrow") == BUSY
        await asyncio.to_thread(one.kill)
        await asyncio.gather(*doomed, return_exceptions=True)
        is_over.set()
        await until(lambda: upstream.under_way == 0)
        upstream.default = answer
        assert await ask(http, other, "narrow") == BUSY  # nobody knows yet that they are free

        assert await leases_end(two, within_s=60) == 2
        assert [await ask(http, other, "narrow") for _ in range(2)] == [200] * 2

        upstream.default = replace(answer, begins_after=(may_answer := asyncio.Event()))
        seen = len(upstream.requests)
        under_way = [asyncio.ensure_future(ask(http, other, "narrow")) for _ in range(2)]
        await until(lambda: len(upstream.requests) == seen + 2)
        await two.empty_redis()
        may_answer.set()
        assert await asyncio.gather(*under_way) == [200, 200]
        upstream.under_way_most = 0
        answers = await asyncio.gather(*(ask(http, other, "narrow") for _ in range(6)))
        assert set(answers) <= {200, BUSY}
        assert answers.count(200) >= 2
        assert upstream.under_way_most <= 2


async def leases_end(two: Two, *, within_s: float) -> int:
    """Let so much time pass for the places that are taken, of which each must end by then; how many there were."""
    async with Redis.from_url(REDIS_URL) as redis:
        now_s = (await redis.time())[0]
        found = redis.scan_iter(f"{two.names_in_redis}:provider:*:running")
        (name,) = [key async for key in found if await redis.zcard(key)]
        places = await redis.zrange(name, 0, -1, withscores=True)
        assert all(now_s < until_s <= now_s + within_s + 1 for _place, until_s in places)
        await redis.zadd(name, {place: until_s - within_s - 2 for place, until_s in places})
        return len(places)

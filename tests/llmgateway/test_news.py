"""Tests of llmgateway/news.py: what one worker learns of deployments, credentials and sessions, the others know."""

import asyncio
import secrets
import time

import pytest
from redis.asyncio import Redis

from conversion.errors import UpstreamBroken, UpstreamUnauthorized
from llmgateway.news import News
from routing.cooldown import Policy
from routing.live import Live
from tests.services import REDIS_URL, needs_redis
from tests.waiting import PATIENCE_S, until

pytestmark = needs_redis
POLICY = Policy(after=2, first_s=60)


@pytest.fixture
async def two():
    """The lives of two workers that tell each other."""
    prefix = f"test-{secrets.token_hex(6)}"
    lives = [Live(), Live()]
    news = [News(REDIS_URL, live, prefix=prefix) for live in lives]
    for each in news:
        each.start()
    for each in news:
        await asyncio.wait_for(each.is_listening.wait(), PATIENCE_S)
    yield lives
    for each in news:
        await each.close()


async def test_a_deployment_that_one_skips_the_other_skips_too_and_until_it_is_well(two):
    one, other = two
    for _ in range(2):
        one.cooldowns.failed(7, UpstreamBroken("no"), POLICY, time.monotonic())
    await until(lambda: other.cooldowns.is_skipped(7, time.monotonic()))
    left_s, failures, reason = other.cooldowns.state(time.monotonic())[7]
    assert (failures, reason) == (2, "UpstreamBroken")
    assert 0 < left_s <= 60

    other.cooldowns.succeeded(7)
    await until(lambda: not one.cooldowns.is_skipped(7, time.monotonic()))


async def test_the_next_while_is_longer_wherever_it_fails(two):
    one, other = two
    for _ in range(2):
        one.cooldowns.failed(7, UpstreamBroken("no"), POLICY, time.monotonic())
    await until(lambda: other.cooldowns.is_skipped(7, time.monotonic()))
    other.cooldowns.failed(7, UpstreamBroken("no"), POLICY, time.monotonic() + 61)
    await until(lambda: one.cooldowns.remaining_s(7, time.monotonic()) > 100)


async def test_a_credential_that_was_refused_rests_everywhere(two):
    one, other = two
    one.cooldowns.rest_credential(3, UpstreamUnauthorized("no"), time.monotonic())
    await until(lambda: other.cooldowns.rest_left_s(3, time.monotonic()))


async def test_a_session_goes_on_where_it_was_whichever_worker_answers(two):
    one, other = two
    one.sessions.note(1, "s-1", 7)
    await until(lambda: other.sessions.last(1, "s-1") == 7)


async def test_what_cannot_be_read_is_passed_over(two):
    one, other = two
    async with Redis.from_url(REDIS_URL) as redis:
        (channel,) = [
            name.decode()
            for name in await redis.pubsub_channels("test-*:news")
            if await redis.publish(name, b'["x", {}]') and await redis.publish(name, b"{")
        ][:1]
    assert channel
    one.sessions.note(1, "s-2", 7)
    await until(lambda: other.sessions.last(1, "s-2") == 7)


async def test_without_others_nothing_is_told():
    live = Live()
    live.sessions.note(1, "s", 2)
    live.cooldowns.succeeded(1)
    assert live.sessions.last(1, "s") == 2


async def test_news_waits_for_no_redis():
    live = Live()
    news = News("redis://127.0.0.1:1/0", live, prefix="test")
    news.start()
    for number in range(2000):
        live.sessions.note(1, f"s-{number}", 2)
    await asyncio.sleep(0.05)
    await news.close()
    assert live.sessions.last(1, "s-1999") == 2

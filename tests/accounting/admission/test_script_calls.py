"""Tests of accounting/admission/script_calls.py: scripts in Redis that are asked for together go together."""

import asyncio
import secrets

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import ResponseError

from accounting.admission import script_calls
from accounting.admission.script_calls import ScriptCalls
from tests.services import REDIS_URL, needs_redis
from tests.waiting import PATIENCE_S

pytestmark = needs_redis


class Counted(ScriptCalls):
    """Notes how many calls go in each batch."""

    def __init__(self, redis):
        super().__init__(redis, PATIENCE_S)
        self.batches = []

    async def _run(self, calls):
        self.batches.append(len(calls))
        await super()._run(calls)


@pytest.fixture
async def redis():
    async with Redis.from_url(REDIS_URL, decode_responses=True) as made:
        yield made


@pytest.fixture
async def calls(redis):
    made = Counted(redis)
    yield made
    await made.close()


@pytest.fixture
def echo(redis):
    """A script that Redis has never seen: each test begins with a Redis that knows nothing."""
    return redis.register_script(f"-- {secrets.token_hex(8)}\nreturn ARGV[1]")


async def test_each_call_gets_its_own_answer(calls, echo):
    answers = await asyncio.gather(
        *(calls.call(echo, keys=[f"{{a}}:{number}"], args=[number]) for number in range(250))
    )

    assert answers == [str(number) for number in range(250)]


async def test_what_is_asked_for_at_once_goes_at_once(calls, echo):
    await asyncio.gather(*(calls.call(echo, keys=[], args=[1]) for _ in range(250)))

    assert calls.batches == [100, 100, 50]


async def test_a_call_alone_leaves_at_once(calls, echo):
    for number in range(3):
        assert await calls.call(echo, keys=[], args=[number]) == str(number)

    assert calls.batches == [1, 1, 1]


async def test_what_is_asked_for_meanwhile_is_the_next_batch(calls, echo, monkeypatch):
    monkeypatch.setattr(script_calls, "BATCHES_MAX", 1)
    first = calls.call(echo, keys=[], args=["first"])
    await asyncio.sleep(0)  # it is on its way
    others = [calls.call(echo, keys=[], args=[number]) for number in range(5)]

    assert await first == "first"
    assert await asyncio.gather(*others) == ["0", "1", "2", "3", "4"]
    assert calls.batches == [1, 5]


async def test_a_call_that_fails_fails_alone(calls, redis, echo):
    broken = redis.register_script(f"-- {secrets.token_hex(8)}\nreturn redis.call('NOTHING')")
    told = await asyncio.gather(
        calls.call(echo, keys=[], args=["before"]),
        calls.call(broken, keys=[], args=[]),
        calls.call(echo, keys=[], args=["after"]),
        return_exceptions=True,
    )

    assert (told[0], told[2]) == ("before", "after")
    assert isinstance(told[1], ResponseError)


async def test_a_redis_that_is_gone_fails_all_and_lets_nobody_wait_behind_them(echo, monkeypatch):
    monkeypatch.setattr(script_calls, "BATCHES_MAX", 1)
    async with Redis.from_url("redis://127.0.0.1:1") as nobody:
        gone = Counted(nobody)
        first = gone.call(echo, keys=[], args=["first"])
        await asyncio.sleep(0)
        behind = gone.call(echo, keys=[], args=["behind"])
        told = await asyncio.gather(first, behind, return_exceptions=True)

    assert all(isinstance(error, RedisGone) for error in told)
    assert gone.batches == [1]
    assert not gone.is_busy


async def test_a_call_is_sent_though_nobody_waits_for_it(calls, redis):
    key = f"test-{secrets.token_hex(8)}"
    count = redis.register_script("return redis.call('INCR', KEYS[1])")
    for turns in range(3):
        asked = calls.call(count, keys=[key], args=[])
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.cancel()
    await calls.finish(30)

    assert await redis.getdel(key) == "3"
    assert not calls.is_busy


async def test_a_connection_is_kept_and_one_that_redis_ended_is_made_anew(redis, echo):
    name = f"test-{secrets.token_hex(8)}"

    async def connections() -> list[str]:
        return [client["id"] for client in await redis.client_list() if client["name"] == name]

    async with Redis.from_url(REDIS_URL, client_name=name) as named:
        calls = ScriptCalls(named, PATIENCE_S)
        await calls.call(echo, keys=[], args=[1])
        (first,) = set(await connections()) - {str(await named.client_id())}
        await calls.call(echo, keys=[], args=[2])
        assert first in await connections()
        await redis.client_kill_filter(_id=first)

        assert await calls.call(echo, keys=[], args=["again"]) == b"again"
        assert len(calls._idle) == 1
        assert first not in await connections()
        await calls.close()


@pytest.fixture
async def silent():
    """A Redis that takes what it is asked and says nothing."""
    writers = []
    server = await asyncio.start_server(
        lambda _reader, writer: writers.append(writer), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    async with server, Redis.from_url(f"redis://127.0.0.1:{port}", socket_timeout=60) as made:
        yield made
        for writer in writers:
            writer.close()
            await writer.wait_closed()


async def test_a_redis_that_hangs_is_given_up_in_time_with_its_connection(silent, echo):
    calls = ScriptCalls(silent, 0.05)
    asked = [calls.call(echo, keys=[], args=[number]) for number in range(3)]
    told = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)

    assert [type(error) for error in told] == [TimeoutError] * 3
    assert calls._idle == []
    assert not calls.is_busy


async def test_to_finish_takes_no_longer_than_it_may(silent, echo):
    calls = ScriptCalls(silent, 60)
    asked = calls.call(echo, keys=[], args=[1])

    await asyncio.wait_for(calls.finish(0.05), 30)

    assert not asked.done()
    for batch in calls._batches:
        batch.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled()

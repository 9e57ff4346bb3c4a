"""Webhooks: the status is all that is read of them, and soon, whatever else they answer."""

import asyncio
import gzip
import tracemalloc

import pytest

from routing.upstream import webhooks
from tests.fakes.upstream import SILENCE, Answer, FakeUpstream, json_answer
from tests.waiting import PATIENCE_S


@pytest.fixture
async def hook():
    async with FakeUpstream() as fake:
        yield fake


async def test_what_is_sent_arrives(hook):
    hook.answers(json_answer({}, status=204))
    await webhooks.post_json(hook.url, {"a": 1})

    assert hook.requests[0].json == {"a": 1}


async def test_a_status_that_is_no_success_is_a_failure(hook):
    hook.answers(json_answer({}, status=500))
    with pytest.raises(webhooks.WebhookFailed, match="answered with status 500"):
        await webhooks.post_json(hook.url, {})


async def test_the_answers_body_is_not_waited_for(hook):
    hook.answers(Answer([b"a", b"b"], ends_after=asyncio.Event()))
    await asyncio.wait_for(webhooks.post_json(hook.url, {}), PATIENCE_S)


async def test_a_bomb_of_an_answer_takes_no_memory(hook):
    bomb = gzip.compress(b"\0" * 100_000_000, mtime=0)
    hook.answers(Answer([bomb], headers={"content-encoding": "gzip"}))
    await webhooks.post_json(hook.url, {})  # which loads what there is to load
    hook.answers(Answer([bomb], headers={"content-encoding": "gzip"}))
    tracemalloc.start()
    try:
        await webhooks.post_json(hook.url, {})
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 20_000_000


async def test_one_that_is_silent_is_given_up_in_time(hook):
    hook.answers(SILENCE)
    with pytest.raises(webhooks.WebhookFailed, match="does not answer"):
        await asyncio.wait_for(webhooks.post_json(hook.url, {}, timeout_s=0.2), PATIENCE_S)


async def test_one_whose_head_drips_is_given_up_in_time():
    """Each byte comes sooner than any wait for one would end."""

    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(b"HTTP/1.1 200 OK\r\na: ")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        with pytest.raises(webhooks.WebhookFailed, match=r"within 0\.5 s"):
            await asyncio.wait_for(webhooks.post_json(url, {}, timeout_s=0.5), PATIENCE_S)

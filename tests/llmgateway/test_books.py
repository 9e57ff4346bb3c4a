"""Every attempt ends in exactly one usage record, whatever becomes of the client, the stream or the process."""

import asyncio
import time

import msgspec
from asgiref.sync import sync_to_async
from django.db import connection, reset_queries

from accounting.entries import Entry
from accounting.models import VirtualKey
from routing.models import ModelAlias, Provider
from tests.fakes.upstream import SILENCE, FakeUpstream, chunk, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS
from tests.llmgateway.test_messages import ASK, STREAM
from tests.serving import Serving
from tests.waiting import PATIENCE_S, assert_within, until

ENDLESS = [chunk({"content": f"word{number} "}) for number in range(2000)]


async def test_a_client_that_hangs_up_cancels_the_upstream_call_and_is_booked(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(stream_answer(ENDLESS, pause_s=0.01))
    async with gateway.http.stream("POST", "/v1/messages", json=STREAM) as answer:
        async for _piece in answer.aiter_raw():
            break
    hung_up_after_s = asyncio.get_running_loop().time() - upstream.requests[0].at_s

    [record] = await gateway.records(1)

    assert (
        await upstream.requests[0].left() - hung_up_after_s < 10
    )  # the stream would go on for 20 s and more
    assert record.status == "client_closed"
    assert record.completion_tokens
    assert record.tokens_estimated is True
    assert record.ttft_ms is not None


async def test_a_client_that_hangs_up_before_the_answer_is_booked_too(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(SILENCE)
    task = asyncio.ensure_future(gateway.messages(ASK))
    await until(lambda: upstream.requests)
    task.cancel()

    [record] = await gateway.records(1)

    assert record.status == "client_closed"
    assert await upstream.requests[0].left() < 30  # and not when it would be given up


async def test_many_at_once_are_all_booked_once(gateway: Serving, upstream: FakeUpstream):
    upstream.default = stream_answer(text_stream("a", "b", "c"), pause_s=0.005)

    answers = await asyncio.gather(*(gateway.messages(STREAM) for _ in range(60)))
    records = await gateway.records(60)

    assert {record.request_id for record in records} == {
        answer.headers["request-id"] for answer in answers
    }
    assert {record.status for record in records} == {"succeeded"}


async def test_the_images_of_a_prompt_are_counted(gateway: Serving, upstream: FakeUpstream):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
    content = [image, {"type": "text", "text": "What is that?"}]
    await gateway.messages(ASK)
    await gateway.messages({**ASK, "messages": [{"role": "user", "content": content}]})

    assert [record.prompt_images for record in await gateway.records(2)] == [0, 1]


async def test_the_journal_is_empty_once_everything_is_booked(
    gateway: Serving, upstream: FakeUpstream, tmp_path
):
    await gateway.messages(ASK)
    await gateway.records(1)

    segments = list((tmp_path / "journal").glob("*.jsonl"))
    assert len(segments) == 1  # the one in use
    lines = segments[0].read_text().rstrip("\0").splitlines()
    assert len(lines) == 2  # before the call and after it
    noted = [msgspec.json.decode(line, type=Entry).status for line in lines]
    assert noted == ["interrupted", "succeeded"]


async def status_becomes(gateway: Serving, status: int) -> float:
    """Seconds until a request is answered so."""
    began_s = time.monotonic()
    while (await gateway.messages(ASK)).status_code != status:
        assert time.monotonic() - began_s < PATIENCE_S
        await asyncio.sleep(0.01)
    return time.monotonic() - began_s


async def test_an_edit_is_live_within_a_second(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    assert (await gateway.messages(ASK)).status_code == 200

    def switch(*, is_on: bool) -> None:
        for alias in ModelAlias.objects.all():
            alias.enabled = is_on
            alias.save()

    async def switched_off_s() -> float:
        await sync_to_async(switch)(is_on=True)
        await status_becomes(gateway, 200)
        await sync_to_async(switch)(is_on=False)
        return await status_becomes(gateway, 404)

    await assert_within(1, switched_off_s)


async def test_a_revoked_key_is_refused_within_a_second(gateway: Serving):
    assert (await gateway.messages(ASK)).status_code == 200

    def switch(*, is_on: bool) -> None:
        row = VirtualKey.objects.get()
        row.enabled = is_on
        row.save(update_fields=["enabled"])

    async def refused_s() -> float:
        await sync_to_async(switch)(is_on=True)
        await status_becomes(gateway, 200)
        await sync_to_async(switch)(is_on=False)
        return await status_becomes(gateway, 401)

    await assert_within(1, refused_s)

    answer = await gateway.messages(ASK)
    assert answer.status_code == 401
    assert "switched off" in answer.text


async def test_the_hot_path_asks_no_database(gateway: Serving):
    """A synchronous query raises in the event loop's thread; an asynchronous one runs in the thread counted here."""
    await gateway.messages(ASK)
    await gateway.records(1)

    def begin_to_count() -> None:
        connection.force_debug_cursor = True
        reset_queries()

    def counted() -> int:
        connection.force_debug_cursor = False
        return len(connection.queries)

    await sync_to_async(begin_to_count)()
    answers = [await gateway.messages({**ASK, "model": name}) for name in (ALIAS, "any/other")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert await sync_to_async(counted)() == 0

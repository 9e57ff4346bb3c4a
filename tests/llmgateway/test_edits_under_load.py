"""Two hundred edits of the configuration while requests run: none fails, each is live within a second, memory stays."""

import asyncio
import gc
import statistics
import time
import tracemalloc

import pytest
from asgiref.sync import sync_to_async

from routing import snapshot
from routing.models import FeatureFlag, HeaderRule, Provider
from tests.fakes.upstream import chat_answer, json_answer, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS
from tests.serving import Serving
from tests.waiting import PATIENCE_S, assert_within, until

pytestmark = pytest.mark.uncovered
EDITS = 200
ASK = {"model": ALIAS, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}


async def ask_until(gateway: Serving, done: asyncio.Event, statuses: list[int]) -> None:
    """Ask without a pause, every third time for a stream."""
    number = 0
    while not done.is_set():
        number += 1
        answer = await gateway.messages({**ASK, "stream": number % 3 == 0})
        statuses.append(500 if b"event: error" in answer.content else answer.status_code)


def edit(number: int) -> None:
    """One edit, of another kind each time."""
    match number % 4:
        case 0:
            provider = Provider.objects.get(slug="openrouter")
            provider.connect_timeout_s = 5 + number % 7
            provider.save(update_fields=["connect_timeout_s"])
        case 1:
            HeaderRule.objects.create(action="force", name="X-Edit", value=str(number))
        case 2:
            HeaderRule.objects.all().first().delete()
        case 3:
            flag, _made = FeatureFlag.objects.get_or_create(name="bypass_litellm")
            flag.enabled = not flag.enabled
            flag.save(update_fields=["enabled"])


async def in_force_s() -> float:
    """Seconds until the newest edit is in force."""
    wanted, edited_s = await sync_to_async(snapshot.version)(), time.monotonic()
    await until(lambda: snapshot.current().number >= wanted)
    return time.monotonic() - edited_s


async def test_edits_under_load_fail_no_request_and_are_live_within_a_second(
    gateway: Serving, upstream, caplog
):
    whole, streamed = json_answer(chat_answer("Hi")), stream_answer(text_stream("Hi"))
    upstream.answer_with = lambda seen: streamed if seen.json.get("stream") else whole
    done = asyncio.Event()
    statuses: list[int] = []
    asking = [asyncio.ensure_future(ask_until(gateway, done, statuses)) for _ in range(4)]
    taken_s = []
    tracemalloc.start()
    sizes = []
    for number in range(EDITS):
        await sync_to_async(edit)(number)
        if number % 20 == 19:
            taken_s.append(await in_force_s())
            # What the test itself keeps of each request is none of the gateway's.
            upstream.requests.clear()
            caplog.clear()
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    done.set()
    await asyncio.gather(*asking)
    tracemalloc.stop()

    assert set(statuses) == {200}
    assert len(statuses) > 50
    assert statistics.median(taken_s) < 1.0
    # The second half of the edits leaves no more behind than a megabyte: pictures of old are let go.
    assert sizes[-1] - sizes[len(sizes) // 2] < 1_000_000


async def test_the_newest_edit_is_what_the_next_request_sees(gateway: Serving, upstream):
    await HeaderRule.objects.acreate(action="force", name="X-Edit", value="first")
    await gateway.runtime.refresh()
    await gateway.messages(ASK)
    rule = await HeaderRule.objects.aget()
    values = iter(("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"))

    async def seen_s() -> float:
        rule.value = next(values)
        await rule.asave()
        began_s = time.monotonic()
        while upstream.requests[-1].headers["x-edit"] != rule.value:
            assert time.monotonic() - began_s < PATIENCE_S
            await gateway.messages(ASK)
        return time.monotonic() - began_s

    await assert_within(1, seen_s)

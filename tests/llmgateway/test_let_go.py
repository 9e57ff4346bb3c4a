"""What a request held is let go with its end, however it ends: not later, when a collector comes by.

An answer of 64 MB that failed at its last byte would else stay until then, and that can be minutes.
"""

import asyncio
import gc
from collections.abc import Iterator

import httpx
import pytest

from accounting.models import Budget, Team
from conversion.call import Call
from llmgateway.attempt import Attempt
from llmgateway.lean_handler import HotRequest
from tests.fakes.upstream import (
    NOTHING_AT_ALL,
    SILENCE,
    Answer,
    FakeUpstream,
    bytes_answer,
    chat_answer,
    json_answer,
    stream_answer,
    text_stream,
)
from tests.llmgateway.test_messages import ASK, STREAM
from tests.serving import Serving
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.uncovered

JSON = {"content-type": "application/json"}
BEGUN = text_stream("Hello")[:2]
ENDS = {
    "whole": (ASK, json_answer(chat_answer("Hello"))),
    "stream": (STREAM, stream_answer(text_stream("Hello"))),
    "no answer": (ASK, NOTHING_AT_ALL),
    "a status": (ASK, json_answer({"error": {"message": "no"}}, status=503)),
    "silence": (STREAM, SILENCE),
    "half an answer": (ASK, Answer([b'{"half":'], headers=JSON, ending="cut")),
    "garbage": (ASK, Answer([b"\xff"], headers=JSON)),
    "half a stream": (STREAM, stream_answer(BEGUN, done=False, ending="cut")),
    "half a stream, then silence": (STREAM, stream_answer(BEGUN, done=False, ending="stall")),
    "a stream, then garbage": (
        STREAM,
        stream_answer([*BEGUN, "data: {\n\n"], done=False, pause_s=0.02),
    ),
    "a stream of garbage": (STREAM, bytes_answer(b"data: {\n\n")),
}


def attempts_held() -> int:
    return sum(type(held) is Attempt for held in gc.get_objects())


async def assert_let_go(held_before: int) -> None:
    """A task that has ended is let go a moment later."""
    await until(lambda: attempts_held() <= held_before)


@pytest.fixture
def held_before() -> Iterator[int]:
    """How many attempts something holds already; from here on no collector runs."""
    gc.collect()
    gc.disable()
    yield attempts_held()
    gc.enable()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_an_attempt_is_let_go_with_its_end(
    gateway: Serving, upstream: FakeUpstream, held_before, end: str, path: str
):
    body, answer = ENDS[end]
    upstream.answers(answer)
    await gateway.post(path, body)

    await assert_let_go(held_before)


@pytest.fixture
async def budget(key: str) -> None:
    """A hard one: to be let in, the prompt is counted."""
    del key
    team = await Team.objects.aget(slug="alder")
    await Budget.objects.acreate(team=team, amount_usd=1000)


@pytest.mark.usefixtures("budget")
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_a_prompt_is_let_go_once_its_answer_has_begun(
    gateway: Serving, upstream: FakeUpstream, held_before, path: str
):
    """A prompt of a coding agent takes half a megabyte, and its answer may go on for minutes."""
    may_end = asyncio.Event()
    upstream.answers(stream_answer(text_stream("Hello", "you"), ends_after=may_end))
    async with gateway.http.stream("POST", path, json=STREAM) as answer:
        pieces = answer.aiter_bytes()
        text = b""
        while b"Hello" not in text:
            text += await anext(pieces)
        (attempt,) = (held for held in gc.get_objects() if type(held) is Attempt)
        (request,) = (held for held in gc.get_objects() if type(held) is HotRequest)
        assert attempt.asked.admission is not None
        assert [held.raw for held in gc.get_objects() if type(held) is Call] == [b""]
        assert (attempt.asked.ask.body, attempt.converter.request, request.body) == (b"", b"", b"")
        may_end.set()
        async for piece in pieces:
            text += piece

    assert b"you" in text
    (record,) = await gateway.records()
    assert record.request_bytes == len(upstream.requests[-1].body)
    del attempt, request
    await assert_let_go(held_before)


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "stream"])
async def test_an_attempt_is_let_go_when_its_client_leaves(
    gateway: Serving, upstream: FakeUpstream, held_before, body
):
    upstream.answers(SILENCE)
    with pytest.raises(httpx.ReadTimeout):
        await gateway.http.post(
            "/v1/messages", json=body, timeout=httpx.Timeout(PATIENCE_S, read=0.3)
        )

    await assert_let_go(held_before)

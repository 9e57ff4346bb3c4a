"""Claude behind LiteLLM in the process: a server that speaks Anthropic's dialect, thoughts that are signed."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from conversion.errors import UpstreamOverloaded, UpstreamStreamCut
from routing.providers import litellm_sdk
from routing.providers.litellm_sdk import KIND, answer
from tests.fakes.upstream import Answer, FakeUpstream, json_answer
from tests.routing import test_litellm_sdk
from tests.routing.test_litellm_errors import failure
from tests.routing.test_litellm_sdk import ask, left_after_s, pieces_of, whole

pytestmark = test_litellm_sdk.pytestmark

BODY = {
    "model": "anthropic/claude-sonnet-4-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
USAGE = {"input_tokens": 20, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 0}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "SIGNED"}
SEALED = {"type": "redacted_thinking", "data": "SEALED"}
DETAIL = {
    "type": "reasoning.text",
    "text": "Hm.",
    "signature": "SIGNED",
    "format": "anthropic-claude-v1",
    "index": 0,
}
SEALED_DETAIL = {
    "type": "reasoning.encrypted",
    "data": "SEALED",
    "format": "anthropic-claude-v1",
    "index": 1,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {**USAGE, "output_tokens": 1},
}
BEGINNING: list[dict[str, Any]] = [
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {**THOUGHT, "thinking": ""}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "Hm."},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "SIGNED"},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi."}},
]
END: list[dict[str, Any]] = [
    {"type": "content_block_stop", "index": 1},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 15},
    },
    {"type": "message_stop"},
]


def events_answer(events: list[dict[str, Any]], **how: Any) -> Answer:
    pieces = [f"event: {e['type']}\ndata: {orjson.dumps(e).decode()}\n\n".encode() for e in events]
    return Answer(pieces, headers={"content-type": "text/event-stream"}, **how)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake
        await litellm_sdk.let_go()


async def test_a_stream_keeps_signed_thoughts_and_the_cache_in_its_usage(upstream):
    upstream.answers(events_answer([*BEGINNING, *END]))

    *chunks, _end = await pieces_of(await answer(ask(upstream, STREAM)))

    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    details = [detail for delta in deltas for detail in delta.get("reasoning_details", ())]
    assert "".join(detail["text"] for detail in details) == "Hm."
    assert [detail["signature"] for detail in details if "signature" in detail] == ["SIGNED"]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hi."
    usage = chunks[-1]["usage"]
    assert usage["prompt_tokens"] == 28  # 20 uncached + 8 cache-read
    assert usage["prompt_tokens_details"]["cached_tokens"] == 8
    assert usage["completion_tokens"] == 15


async def test_a_whole_answer_keeps_its_thoughts(upstream):
    text = {"type": "text", "text": "Hi."}
    told = {**MESSAGE, "content": [THOUGHT, SEALED, text], "stop_reason": "end_turn"}
    upstream.answers(json_answer({**told, "usage": {**USAGE, "output_tokens": 15}}))

    message = (await whole(upstream, BODY))["choices"][0]["message"]

    assert message["content"] == "Hi."
    assert message["reasoning_content"] == "Hm."
    assert message["reasoning_details"] == [DETAIL, SEALED_DETAIL]


async def test_thoughts_go_back_as_anthropic_signed_them(upstream):
    assert KIND.traits(BODY["model"]).reasoning_replay == "details"
    unsigned = {"type": "reasoning.text", "text": "Somebody else's."}
    said = {
        "role": "assistant",
        "content": "Hi.",
        "reasoning_details": [DETAIL, SEALED_DETAIL, unsigned],
    }
    upstream.answers(json_answer({**MESSAGE, "content": [{"type": "text", "text": "Ho."}]}))

    again = {"role": "user", "content": "Again"}
    await whole(upstream, {**BODY, "messages": [*BODY["messages"], said, again]})

    sent = upstream.requests[0].json["messages"][1]
    assert sent["content"] == [THOUGHT, SEALED, {"type": "text", "text": "Hi."}]
    assert "reasoning_details" not in upstream.requests[0].body.decode()


async def test_thoughts_for_openrouter_stay_as_they_are(upstream):
    said = {"role": "assistant", "content": "Hi.", "reasoning_details": [DETAIL]}
    body = {**BODY, "model": "openrouter/anthropic/claude-sonnet-4.5"}

    await whole(upstream, {**body, "messages": [*BODY["messages"], said]})

    assert upstream.requests[0].json["messages"][1]["reasoning_details"] == [DETAIL]


async def test_closing_a_stream_hangs_up_although_litellms_reader_cannot(upstream):
    upstream.answers(events_answer(BEGINNING, ending="stall"))
    reply = await answer(ask(upstream, STREAM))
    await anext(reply.pieces)

    await reply.pieces.aclose()  # type: ignore[attr-defined]

    assert await left_after_s(upstream) < 1


async def test_a_stream_that_ends_too_early_is_an_error(upstream):
    upstream.answers(events_answer(BEGINNING))

    assert type(await failure(upstream, STREAM)) is UpstreamStreamCut


async def test_529_is_told_as_what_it_is(upstream):
    """LiteLLM makes a 500 of it."""
    told = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    upstream.answers(json_answer(told, status=529))

    error = await failure(upstream, BODY)

    assert type(error) is UpstreamOverloaded
    assert error.message == "Overloaded"
    assert error.upstream_status == 529

"""POST /v1/messages over OpenRouter: the whole way, over two real sockets."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest

from tests.fakes.upstream import (
    FakeUpstream,
    chat_answer,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
    usage,
)
from tests.llmgateway.conftest import ALIAS, MODEL, SECRET
from tests.serving import Serving

ASK = {"model": ALIAS, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**ASK, "stream": True}


def events(body: bytes) -> list[dict]:
    """The data of each event of an Anthropic stream; the event's name must be its type."""
    found = []
    for frame in body.split(b"\n\n"):
        if frame:
            name, data = frame.split(b"\n", 1)
            event = orjson.loads(data.removeprefix(b"data: "))
            assert name == b"event: " + event["type"].encode()
            found.append(event)
    return found


async def test_a_whole_answer_comes_back_in_the_client_dialect(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(
        json_answer(chat_answer("Good morning."), headers={"x-generation-id": "gen-1"})
    )

    answer = await gateway.messages(ASK)

    assert answer.status_code == 200
    message = answer.json()
    assert message["content"] == [
        {"type": "text", "text": "Good morning.", "citations": None}
    ] or message["content"] == [{"type": "text", "text": "Good morning."}]
    assert message["model"] == ALIAS
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["input_tokens"] == 20
    assert answer.headers["x-llmgateway-provider"] == "openrouter"
    assert answer.headers["x-llmgateway-model"] == MODEL
    assert answer.headers["x-llmgateway-attempts"] == "1"
    assert Decimal(answer.headers["x-llmgateway-cost-usd"]) == Decimal("0.000125")
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_what_reaches_the_provider_is_a_chat_request_with_its_own_credential(
    gateway: Serving, upstream: FakeUpstream
):
    await gateway.messages(ASK, anthropic_beta="some-beta", x_claude_code_session_id="s-1")

    seen = upstream.requests[0]
    assert (seen.method, seen.path) == ("POST", "/api/v1/chat/completions")
    assert seen.json["model"] == MODEL
    assert seen.json["messages"] == [{"role": "user", "content": "Hello"}]
    assert seen.headers["authorization"] == f"Bearer {SECRET}"
    assert gateway.http.headers["x-api-key"] not in str(seen.headers)
    assert "anthropic-beta" not in seen.headers


async def test_a_stream_comes_back_event_by_event(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(stream_answer(text_stream("Good", " morning."), pause_s=0.02))

    answer = await gateway.messages(STREAM)

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-accel-buffering"] == "no"
    found = events(answer.content)
    assert [event["type"] for event in found] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert found[-2]["delta"]["stop_reason"] == "end_turn"
    assert found[-2]["usage"]["output_tokens"] == 5


async def test_events_are_not_held_back(gateway: Serving, upstream: FakeUpstream):
    has_one = asyncio.Event()
    upstream.answers(stream_answer(text_stream("one", "two")[:3], ends_after=has_one, done=False))
    content = b""

    async with gateway.http.stream("POST", "/v1/messages", json=STREAM) as answer:
        async for piece in answer.aiter_raw():
            content += piece
            if b"one" in content and not has_one.is_set():
                assert b"two" not in content
                has_one.set()  # only now does the upstream go on

    assert b"two" in content


async def test_each_attempt_leaves_one_complete_record(gateway: Serving, upstream: FakeUpstream):
    figures = usage(
        100,
        40,
        cost=0.0012345,
        prompt_tokens_details={"cached_tokens": 60, "cache_write_tokens": 20},
        completion_tokens_details={"reasoning_tokens": 15},
    )
    upstream.answers(stream_answer([*text_stream("Hi")[:-1], chunk(usage=figures)]))

    answer = await gateway.messages(
        STREAM, x_claude_code_session_id="session-1", x_claude_code_agent_id="agent-1"
    )
    [record] = await gateway.records(1)

    assert record.request_id == answer.headers["request-id"]
    assert record.status == "succeeded"
    assert record.finish_reason == "stop"
    assert (record.team, record.key_name, record.alias) == ("alder", "laptop", ALIAS)
    assert (record.provider, record.upstream_model, record.answered_model) == (
        "openrouter",
        MODEL,
        MODEL,
    )
    assert (record.client_dialect, record.upstream_dialect) == ("anthropic_messages", "openai_chat")
    assert record.streamed is True
    assert record.upstream_status == 200
    assert record.upstream_id == "gen-1"
    assert record.prompt_tokens == 100  # 20 uncached + 60 cache-read + 20 cache-write
    assert record.cache_read_tokens == 60
    assert record.cache_write_tokens == 20
    assert record.completion_tokens == 40  # 25 spoken + 15 reasoning
    assert record.reasoning_tokens == 15
    assert record.cost_usd == Decimal("0.0012345")
    assert record.cost_source == "provider"
    assert record.ttft_ms is not None
    assert record.duration_ms is not None
    assert record.session == "session-1"
    assert record.agent == "agent-1"
    assert record.answer_bytes == len(answer.content)


@pytest.mark.parametrize("name", ["gpt-4o", "claude-opus-4-6[1m]"])
async def test_a_wildcard_alias_hands_on_what_it_matched(
    gateway: Serving, upstream: FakeUpstream, name: str
):
    answer = await gateway.messages({**ASK, "model": name})

    assert answer.status_code == 200
    assert upstream.requests[0].json["model"] == name.removesuffix("[1m]")


async def test_what_conversion_left_out_is_told(gateway: Serving):
    answer = await gateway.messages({**ASK, "service_tier": "auto", "diagnostics": {}})
    [record] = await gateway.records(1)

    assert "service_tier" in answer.headers["x-llmgateway-dropped"]
    assert ["dropped", "service_tier"] in [note[:2] for note in record.notes]


async def test_a_connection_is_used_again(gateway: Serving, upstream: FakeUpstream):
    for number in range(3):
        upstream.answers(stream_answer(text_stream("Hi")))
        await gateway.messages(STREAM)
        await gateway.records(number + 1)

    assert len(upstream.requests) == 3
    assert upstream.connections == 1


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "both"])
async def test_the_key_is_taken_from_either_header(gateway: Serving, key: str, header: str):
    headers = {"authorization": f"Bearer {key}"} if header != "x-api-key" else {}
    if header != "authorization":
        headers["x-api-key"] = key
    del gateway.http.headers["x-api-key"]

    answer = await gateway.http.post("/v1/messages", json=ASK, headers=headers)

    assert answer.status_code == 200


async def test_silence_is_filled_with_pings_even_before_the_answer_has_begun(
    provider, key, tmp_path, upstream
):
    from tests.serving import serving

    filled = asyncio.Event()
    upstream.answers(stream_answer(text_stream("late"), begins_after=filled))
    content = b""
    async with (
        serving(tmp_path, key=key, ping_after_s=0.1) as gateway,
        gateway.http.stream("POST", "/v1/messages", json=STREAM) as answer,
    ):
        async for piece in answer.aiter_raw():
            content += piece
            if content.count(b"event: ping") == 2:
                filled.set()

    found = events(content)
    assert [event["type"] for event in found[:2]] == ["ping", "ping"]
    assert found[-1]["type"] == "message_stop"
    assert answer.headers["request-id"].startswith("req_")


async def test_a_failure_after_pings_ends_the_stream_with_an_error_event(
    provider, key, tmp_path, upstream
):
    from tests.serving import serving

    filled = asyncio.Event()
    busy = json_answer({"error": {"message": "busy", "code": 503}}, status=503)
    upstream.answers(replace(busy, begins_after=filled))
    content = b""
    async with (
        serving(tmp_path, key=key, ping_after_s=0.1) as gateway,
        gateway.http.stream("POST", "/v1/messages", json=STREAM) as answer,
    ):
        async for piece in answer.aiter_raw():
            content += piece
            filled.set()

    found = events(content)
    assert answer.status_code == 200
    assert found[-1]["type"] == "error"
    assert found[-1]["error"]["type"] == "overloaded_error"
    assert {event["type"] for event in found[:-1]} == {"ping"}

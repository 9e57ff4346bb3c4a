"""LiteLLM in the process: what it is told, what it answers, and how each of its exceptions reads."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from conversion.dialects import Dialect
from conversion.errors import (
    UpstreamUnauthorized,
)
from routing.providers import litellm_sdk
from routing.providers.kind import InProcessAnswer, InProcessAsk
from routing.providers.litellm_sdk import KIND, answer, client_arguments, own_arguments, prepare
from tests.fakes.upstream import (
    SILENCE,
    Answer,
    FakeUpstream,
    chat_answer,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
    usage,
)

pytestmark = [
    # pytest puts the filters of prepare() aside: pydantic finds fault with LiteLLM's own types.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class '.*' is using:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

SECRET = "sk-planted-secret-0123456789"
BODY = {"model": "openai/some-model", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake
        await litellm_sdk.let_go()


def ask(upstream: FakeUpstream, body: dict[str, Any], **more: Any) -> InProcessAsk:
    fields = {"dialect": Dialect.OPENAI_CHAT, "base_url": upstream.url, "secret": SECRET, **more}
    return InProcessAsk(
        body=orjson.dumps(body), stream=bool(body.get("stream")), **{"total_s": 5.0, **fields}
    )


async def whole(upstream: FakeUpstream, body: dict[str, Any], **more: Any) -> Any:
    reply = await answer(ask(upstream, body, **more))
    return orjson.loads(b"".join([piece async for piece in reply.pieces]))


async def pieces_of(reply: InProcessAnswer) -> list[Any]:
    """The events of a stream; the end mark as text."""
    events = [piece.removeprefix(b"data: ").strip() async for piece in reply.pieces]
    return [event.decode() if event == b"[DONE]" else orjson.loads(event) for event in events]


def mocked(said: str) -> str:
    """A credential that makes LiteLLM answer by itself."""
    return orjson.dumps({"api_key": "sk-mocked", "mock_response": said}).decode()


# What is answered


async def test_a_whole_answer_keeps_text_usage_and_cost(upstream):
    told = await whole(upstream, BODY)

    assert told["object"] == "chat.completion"
    [choice] = told["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello."}
    assert choice["finish_reason"] == "stop"
    assert told["usage"] == usage()
    assert told["provider"] == "Anthropic"


async def test_a_tool_call_and_the_reasoning_behind_it_are_kept(upstream):
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    details = [{"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0}]
    upstream.answers(
        json_answer(
            chat_answer(None, tool_calls=[call], reasoning="Hm.", reasoning_details=details)  # type: ignore[arg-type]
        )
    )

    [choice] = (await whole(upstream, BODY))["choices"]

    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [call],
        "reasoning_content": "Hm.",
        "reasoning_details": details,
    }
    assert choice["finish_reason"] == "tool_calls"


async def test_a_stream_has_openais_shape_and_its_usage_last(upstream):
    upstream.answers(stream_answer(text_stream("Hel", "lo.")))

    *chunks, end = await pieces_of(await answer(ask(upstream, STREAM)))

    deltas = [c["choices"][0]["delta"] for c in chunks[:-1]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo."},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None, None, None, "stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == usage()
    assert end == "[DONE]"


async def test_a_stream_keeps_reasoning_and_tool_calls(upstream):
    details = [{"type": "reasoning.text", "text": "Hm.", "index": 0}]
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look"}}
    upstream.answers(
        stream_answer(
            [
                chunk({"role": "assistant", "reasoning_content": "H"}),
                chunk({"reasoning": "m.", "reasoning_details": details}),
                chunk({"tool_calls": [first]}),
                chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
                chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
                chunk(finish_reason="tool_calls"),
            ]
        )
    )

    *chunks, _end = await pieces_of(await answer(ask(upstream, STREAM)))

    deltas = [c["choices"][0]["delta"] for c in chunks]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hm."
    assert [delta["reasoning_details"] for delta in deltas if "reasoning_details" in delta] == [
        details
    ]
    assert calls[0]["id"] == "c1"
    assert "".join(call["function"].get("arguments") or "" for call in calls) == '{"a":1}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_usage_that_nobody_reported_is_left_out(upstream):
    silent = chat_answer("Hello.")
    del silent["usage"]
    upstream.answers(json_answer(silent), stream_answer(text_stream("Hello.")[:-1]))

    told = await whole(upstream, BODY)
    chunks = await pieces_of(await answer(ask(upstream, STREAM)))

    assert "usage" not in told
    assert not any("usage" in c for c in chunks[:-1])
    assert all(c["choices"] for c in chunks[:-1])


async def test_embeddings_are_answered_as_lists_or_as_base64(upstream):
    def vectors(value: object) -> Answer:
        data = [{"object": "embedding", "index": 0, "embedding": value}]
        told = {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 3}}
        return json_answer(told)

    upstream.answers(vectors([0.1, 0.2]), vectors("zczMPc3MTD4="))
    body = {"model": "openai/e", "input": ["Hello"]}

    listed = await whole(upstream, body, dialect=Dialect.OPENAI_EMBEDDINGS)
    packed = await whole(
        upstream, {**body, "encoding_format": "base64"}, dialect=Dialect.OPENAI_EMBEDDINGS
    )

    assert listed["data"][0]["embedding"] == [0.1, 0.2]
    assert listed["usage"]["prompt_tokens"] == 3
    assert packed["data"][0]["embedding"] == "zczMPc3MTD4="
    assert upstream.requests[0].path == "/api/v1/embeddings"
    assert upstream.requests[0].json == {"model": "e", "input": ["Hello"]}


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("openai/gpt-4o", "0.000225000000"),  # 10 x 2.50 + 20 x 10 USD per million
        ("openai/some-model", None),  # LiteLLM would call it free
    ],
)
async def test_a_cost_is_told_for_models_with_a_price_only(upstream, model, cost):
    reply = await answer(ask(upstream, {**BODY, "model": model}, secret=mocked("Hello.")))

    assert reply.headers.get(KIND.cost_header) == cost
    assert KIND.cost_header


# What LiteLLM is told


async def test_the_body_that_leaves_holds_what_the_client_said(upstream):
    said = {
        **BODY,
        "max_tokens": 100,
        "temperature": 0.5,
        "reasoning_effort": "high",
        "response_format": {"type": "json_object"},
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "stop": ["END"],
        "seed": 7,
        "plugins": [{"id": "web"}],
    }

    await whole(upstream, {**said, "metadata": {"trace_id": "x"}})

    sent = upstream.requests[0]
    assert sent.json == {**said, "model": "some-model"}
    assert sent.headers["authorization"] == f"Bearer {SECRET}"


async def test_a_client_cannot_steer_litellm(upstream):
    """Whatever a body says, it stays in the body."""
    orders = {
        "api_base": "http://127.0.0.1:9/elsewhere",
        "base_url": "http://127.0.0.1:9/elsewhere",
        "api_key": "sk-other",
        "custom_llm_provider": "anthropic",
        "mock_response": "fooled",
        "extra_headers": {"x-evil": "1"},
        "num_retries": 5,
        "fallbacks": ["openai/other"],
        "timeout": 0.001,
        "vertex_credentials": "/etc/passwd",
    }

    told = await whole(upstream, {**BODY, **orders})

    [sent] = upstream.requests
    assert told["choices"][0]["message"]["content"] == "Hello."
    assert sent.headers["authorization"] == f"Bearer {SECRET}"
    assert "x-evil" not in sent.headers
    assert sent.json == {**BODY, "model": "some-model", **orders}


def test_only_parameters_of_a_conversation_go_by_name():
    arguments = client_arguments(orjson.dumps({**BODY, "extra_body": {"a": 1}, "callbacks": ["x"]}))

    assert arguments == {**BODY, "extra_body": {"extra_body": {"a": 1}, "callbacks": ["x"]}}
    assert client_arguments(orjson.dumps(BODY)) == BODY


def test_a_credential_may_be_litellms_own_arguments():
    keys = {"aws_access_key_id": "AKIA0", "aws_secret_access_key": "s"}
    said = InProcessAsk(
        KIND.dialect, b"{}", stream=False, secret=orjson.dumps(keys).decode(), total_s=30
    )

    arguments = own_arguments(said)

    assert arguments == {
        **keys,
        "_skip_mcp_handler": True,
        "timeout": 30,
        "max_retries": 0,
        "num_retries": 0,
    }


def test_a_credential_that_only_begins_like_json_is_refused():
    with pytest.raises(UpstreamUnauthorized, match="JSON") as caught:
        own_arguments(InProcessAsk(KIND.dialect, b"{}", stream=False, secret="{sk-planted"))

    assert "planted" not in caught.value.message


def test_no_credential_leaves_it_to_the_environment():
    assert own_arguments(InProcessAsk(KIND.dialect, b"{}", stream=False))["api_key"] is None
    assert not KIND.needs_credential
    assert not KIND.calls_out
    assert KIND.credential_headers("secret") == ()


def test_traits_know_claude_by_name():
    claude, other = KIND.traits("bedrock/anthropic.claude-x"), KIND.traits("openai/gpt-4o")

    assert (claude.cache_control, other.cache_control) == (True, False)
    assert (other.reasoning, other.reasoning_replay) == ("effort", "content")
    assert other.stream_usage_option


# Leaving


async def left_after_s(upstream: FakeUpstream) -> float:
    """When the last request's connection was closed, in seconds after it came."""
    return await upstream.requests[-1].left()


@pytest.mark.parametrize("reads", [0, 1])
async def test_closing_a_stream_hangs_up_on_the_provider(upstream, reads):
    upstream.answers(stream_answer([chunk({"content": "Hel"})], done=False, ending="stall"))
    reply = await answer(ask(upstream, STREAM))
    for _ in range(reads):
        await anext(reply.pieces)

    await reply.pieces.aclose()  # type: ignore[attr-defined]

    assert await left_after_s(upstream) < 30
    with pytest.raises(StopAsyncIteration):
        await anext(reply.pieces)


@pytest.mark.parametrize("body", [BODY, STREAM])
async def test_cancelling_the_wait_hangs_up_on_the_provider(upstream, body):
    upstream.answers(SILENCE)
    waiting = asyncio.ensure_future(answer(ask(upstream, body)))
    while not upstream.requests:  # noqa: ASYNC110  (it tells nobody)
        await asyncio.sleep(0.01)

    waiting.cancel()

    assert await left_after_s(upstream) < 30
    with pytest.raises(asyncio.CancelledError):
        await waiting


# Loading

LOOK = "import sys; import llmgateway.asgi; sys.exit('litellm' in sys.modules)"
GUARD = """
import asyncio, os, socket, sys
sys.path.insert(0, os.getcwd())
import django; django.setup()
real = socket.socket.connect
def connect(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
        print("CONNECTS", address)
    return real(self, address)
socket.socket.connect = connect
real_look = socket.getaddrinfo
def look(host, *more, **most):
    if host not in ("127.0.0.1", "::1", "localhost", None):
        print("LOOKS UP", host)
    return real_look(host, *more, **most)
socket.getaddrinfo = look
from tests.routing.test_litellm_sdk import *
prepare()
async def main():
    async with FakeUpstream() as upstream:
        await whole(upstream, BODY)
        upstream.answers(stream_answer(text_stream("Hello.")))
        await pieces_of(await answer(ask(upstream, {**STREAM, "model": "openai/llama-3"})))
        await whole(upstream, {**BODY, "model": "anthropic/claude-sonnet-4-5"}, secret=mocked("Hi"))
        await litellm_sdk.let_go()
asyncio.run(main())
"""


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=200
    )


def test_the_gateway_starts_without_litellm():
    run = run_python(LOOK)

    assert run.returncode == 0, run.stderr


def test_nothing_reaches_the_network_and_nothing_is_printed():
    run = run_python(GUARD)

    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    assert run.stderr == ""


def test_it_leaves_the_log_of_everybody_else_alone():
    prepare()

    names = [None, *logging.root.manager.loggerDict]
    added = {
        f"{name}: {type(filter_).__name__}"
        for name in names
        for filter_ in logging.getLogger(name).filters
        if type(filter_).__module__.startswith("litellm")
    }
    assert added == set()
    assert not logging.getLogger("LiteLLM").isEnabledFor(logging.ERROR)


async def test_requests_that_come_while_it_loads_wait_for_it(upstream, monkeypatch):
    monkeypatch.setattr(litellm_sdk._Held, "litellm", None)

    told = await asyncio.gather(*[whole(upstream, BODY) for _ in range(3)])

    assert [one["choices"][0]["message"]["content"] for one in told] == ["Hello."] * 3

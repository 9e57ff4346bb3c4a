"""Every request that Claude Code and Anthropic's SDK were recorded to send becomes a sound chat request."""

import re
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import orjson
import pytest
from openai.types.chat import (
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
    completion_create_params,
)
from pydantic import TypeAdapter

from conversion.anthropic_over_openai.request import write_request
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import RequestInexpressible
from conversion.traits import ChatTraits
from tests.conversion.anthropic_over_openai.test_request_cases import OPENROUTER

FIXTURES = Path(__file__).parents[2] / "fixtures"
CLAUDE = ChatTraits(**{**OPENROUTER, "model": "anthropic/claude-sonnet-4.5"})
STRICT = ChatTraits(
    model="gpt-4o",
    max_tokens_field="max_completion_tokens",
    max_output_tokens=16384,
    reasoning="effort",
    pdf_files=True,
    user_field="safety_identifier",
)
KNOWN = {
    "model", "messages", "tools", "tool_choice", "parallel_tool_calls", "stop", "temperature", "top_p", "top_k",
    "max_tokens", "max_completion_tokens", "stream", "stream_options", "response_format", "reasoning",
    "reasoning_effort", "verbosity", "user", "safety_identifier", "plugins", "cache_control",
}  # fmt: skip
PARTS = {"text", "image_url", "file"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
WHOLE = TypeAdapter(completion_create_params.CompletionCreateParams)
MESSAGE = TypeAdapter(ChatCompletionMessageParam)
TOOL = TypeAdapter(ChatCompletionToolParam)


def requests():
    """The bodies of all recorded calls."""
    for path in sorted(FIXTURES.glob("claude-code/*.json")) + sorted(
        FIXTURES.glob("anthropic-sdk/*.json")
    ):
        for number, request in enumerate(orjson.loads(path.read_bytes())["requests"]):
            if request["method"] == "POST" and request["path"].endswith("/v1/messages"):
                yield pytest.param(request["body"], id=f"{path.stem}-{number}")


def convert(body, traits):
    return orjson.loads(
        write_request(read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body)), traits).body
    )


def assert_parts_are_known(messages):
    for message in messages:
        assert message["role"] in {"system", "user", "assistant", "tool"}
        content = message["content"]
        if isinstance(content, list):
            assert {part["type"] for part in content} <= PARTS
            assert all(part["text"] for part in content if part["type"] == "text")
        else:
            assert content is None or isinstance(content, str)


def assert_names_are_legal(request):
    calls = [call for message in request["messages"] for call in message.get("tool_calls", [])]
    for holder in (*calls, *request.get("tools", [])):
        assert holder["type"] == "function"
        assert NAME.fullmatch(holder["function"]["name"])
    for call in calls:
        assert len(call["id"]) <= 40
        assert isinstance(orjson.loads(call["function"]["arguments"]), dict)


def assert_results_follow_their_calls(messages):
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting
            waiting = {call["id"] for call in message.get("tool_calls", [])}


@pytest.mark.parametrize("traits", [CLAUDE, STRICT], ids=["openrouter", "strict"])
@pytest.mark.parametrize("body", list(requests()))
def test_a_recorded_request_becomes_a_sound_chat_request(body, traits):
    is_search = any(tool.get("type", "").startswith("web_search") for tool in body.get("tools", []))
    if is_search and traits is STRICT:
        with pytest.raises(RequestInexpressible):
            convert(body, traits)
        return
    request = convert(body, traits)
    text = orjson.dumps(request).decode()

    assert set(request) <= KNOWN
    assert_parts_are_known(request["messages"])
    assert_names_are_legal(request)
    assert_results_follow_their_calls(request["messages"])
    assert "x-anthropic-billing-header" not in text
    for word in (
        '"tool_use_id"',
        '"input_schema"',
        '"defer_loading"',
        '"media_type"',
        '"is_error"',
    ):
        assert word not in text
    if traits is STRICT:
        assert '"cache_control"' not in text
        assert request["max_completion_tokens"] == min(body["max_tokens"], 16384)
        WHOLE.validate_python(request)
        for message in request["messages"]:
            MESSAGE.validate_python(message)
    for tool in request.get("tools", []):
        TOOL.validate_python(tool)
    custom = [tool for tool in body.get("tools", []) if "input_schema" in tool]
    assert len(request.get("tools", [])) == len(custom)
    assert request.get("stream", False) == body.get("stream", False)


@pytest.mark.parametrize("traits", [CLAUDE, STRICT], ids=["openrouter", "strict"])
@pytest.mark.parametrize("body", list(requests()))
def test_a_recorded_request_is_read_and_not_edited(body, traits):
    call = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body))
    before = deepcopy(call.body)
    with suppress(RequestInexpressible):
        write_request(call, traits)

    assert call.body == before


def test_claude_codes_web_search_becomes_openrouters():
    path = FIXTURES / "claude-code" / "web-search-server-tool.json"
    [recorded] = orjson.loads(path.read_bytes())["requests"]
    request = convert(recorded["body"], CLAUDE)

    assert request["plugins"] == [{"id": "web", "max_uses": 8}]
    assert "tools" not in request
    assert "tool_choice" not in request


def test_cache_marks_of_claude_code_reach_openrouter():
    body = orjson.loads((FIXTURES / "claude-code" / "agent-loop-parallel.json").read_bytes())[
        "requests"
    ][1]["body"]
    marks = orjson.dumps(body["system"]).count(b"cache_control") + orjson.dumps(
        body["messages"]
    ).count(b"cache_control")

    assert orjson.dumps(convert(body, CLAUDE)).count(b"cache_control") == marks


def test_claude_codes_thinking_with_a_signature_reaches_a_claude():
    body = orjson.loads((FIXTURES / "claude-code" / "agent-loop-parallel.json").read_bytes())[
        "requests"
    ][1]["body"]
    details = [
        message["reasoning_details"]
        for message in convert(body, CLAUDE)["messages"]
        if "reasoning_details" in message
    ]

    assert details[0][0]["signature"].startswith("ErUB")

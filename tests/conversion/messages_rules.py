"""What Anthropic demands of a request, and the SDK's own types for it."""

import re
from typing import Any, get_type_hints

from anthropic.types import (
    ContentBlockParam,
    MessageParam,
    TextBlockParam,
    ToolUnionParam,
    message_create_params,
)
from pydantic import TypeAdapter

from conversion.wire.anthropic_messages import MessagesRequest

WHOLE = TypeAdapter(message_create_params.MessageCreateParams)
TURN = TypeAdapter(MessageParam)
BLOCK = TypeAdapter(ContentBlockParam)
TEXT = TypeAdapter(TextBlockParam)
TOOL = TypeAdapter(ToolUnionParam)
FIELDS = get_type_hints(MessagesRequest)
ID = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)


def check_request(request: dict[str, Any]) -> None:
    """A request that keeps the rules and fits the types, down to each block (the types' iterables are lazy)."""
    assert set(request) <= set(FIELDS)
    WHOLE.validate_python(request)
    assert request["max_tokens"] >= 1
    for block in request.get("system", []):
        TEXT.validate_python(block)
        assert block["text"].strip()
    _check_turns(request["messages"])
    _check_tools(request)
    thinking = request.get("thinking", {})
    if thinking.get("type") == "enabled":
        assert 1024 <= thinking["budget_tokens"] < request["max_tokens"]
        assert request.get("tool_choice", {}).get("type") not in ("any", "tool")
    if thinking.get("type") in ("enabled", "adaptive"):
        assert "temperature" not in request
        assert "top_k" not in request
        assert request.get("top_p", 1) >= 0.95
    assert 0 <= request.get("temperature", 0) <= 1
    assert not {"temperature", "top_p"} <= set(request)
    assert all(text.strip() for text in request.get("stop_sequences", []))


def _check_turns(turns: list[dict[str, Any]]) -> None:
    assert turns[0]["role"] == "user"
    ids: list[str] = []
    waiting: set[str] = set()
    before = ""
    for number, turn in enumerate(turns):
        if turn["role"] == "system":
            assert before == "user"
            assert number + 1 == len(turns) or turns[number + 1]["role"] == "assistant"
        else:
            TURN.validate_python(turn)
        assert turn["content"]
        assert isinstance(turn["content"], list)
        for block in turn["content"]:
            _check_block(block)
        waiting = _check_pairs(turn, waiting, ids)
        before = turn["role"]
    assert not waiting
    assert len(set(ids)) == len(ids)
    last = turns[-1]["content"][-1]
    if turns[-1]["role"] == "assistant" and last["type"] == "text":
        assert last["text"] == last["text"].rstrip()


def _check_block(block: dict[str, Any]) -> None:
    BLOCK.validate_python(block)
    if block["type"] == "text":
        assert block["text"].strip()
    if isinstance(block.get("content"), list):
        for inner in block["content"]:
            _check_block(inner)


def _check_pairs(turn: dict[str, Any], waiting: set[str], ids: list[str]) -> set[str]:
    """The calls that wait for results after this turn."""
    kinds = [block["type"] for block in turn["content"]]
    results = [block for block in turn["content"] if block["type"] == "tool_result"]
    assert kinds[: len(results)] == ["tool_result"] * len(results)
    assert {block["tool_use_id"] for block in results} == waiting
    assert len(results) == len(waiting)
    calls = [block for block in turn["content"] if block["type"] == "tool_use"]
    thoughts = [kind for kind in kinds if kind in ("thinking", "redacted_thinking")]
    assert kinds[: len(thoughts)] == thoughts
    assert len(thoughts) < len(kinds)
    for call in calls:
        assert turn["role"] == "assistant"
        assert ID.fullmatch(call["id"])
        assert NAME.fullmatch(call["name"])
        assert isinstance(call["input"], dict)
        ids.append(call["id"])
    return {call["id"] for call in calls}


def _check_tools(request: dict[str, Any]) -> None:
    tools = request.get("tools", [])
    blocks = [block for turn in request["messages"] for block in turn["content"]]
    assert tools or all(block["type"] != "tool_use" for block in blocks)
    for tool in tools:
        TOOL.validate_python(tool)
        assert NAME.fullmatch(tool["name"])
        assert "type" in tool["input_schema"]
    choice = request.get("tool_choice")
    if choice:
        assert tools
        assert choice["type"] != "tool" or choice["name"] in [tool["name"] for tool in tools]

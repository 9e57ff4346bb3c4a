"""A Messages request that goes over to OpenAI's dialect and comes back loses only what the reports say it loses."""

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.pairs import make_converter
from conversion.report import Report
from conversion.traits import ChatTraits, MessagesTraits

FIXTURES = Path(__file__).parent.parent / "fixtures"
EFFORTS = ("low", "medium", "high", "xhigh", "max")
CHAT = ChatTraits(
    model="anthropic/claude-x",
    reasoning="openrouter",
    efforts=EFFORTS,
    reasoning_replay="details",
    cache_control=True,
    top_k=True,
    pdf_files=True,
    stop_sequences_max=99,
    tool_id_chars_max=64,
)
MESSAGES = MessagesTraits(model="claude-x", thinking="adaptive", efforts=EFFORTS, system_turns=True)
ATTRIBUTION = "x-anthropic-billing-header:"
# What the table of conversions has no way to carry; each must stand in the first report.
LOST_FIELDS = {"metadata": "metadata.user_id", "context_management": "context_management"}
LOST_TOOL_FIELDS = {"defer_loading": "tools[].defer_loading"}
MOVED = {"image", "document"}
"""Out of a tool's result these follow behind it: a tool message holds text only."""


PLACEHOLDER = re.compile(r"\[(?:image|file)s? of this result: see the next user message\]\n?")


def there_and_back(body: dict[str, Any]) -> tuple[dict[str, Any], Report, Report]:
    """The body after both conversions, and both reports."""
    call = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body))
    there = make_converter(call, Dialect.OPENAI_CHAT, CHAT, answer_id="1", created_s=1)
    chat = read_call(Dialect.OPENAI_CHAT, there.request)
    back = make_converter(chat, Dialect.ANTHROPIC_MESSAGES, MESSAGES, answer_id="1", created_s=1)
    return orjson.loads(back.request), there.report, back.report


def blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def plain(block: dict[str, Any]) -> dict[str, Any]:
    """A block in one of the several ways in which the same can be said."""
    kept = {name: value for name, value in block.items() if value not in (None, False)}
    if block["type"] == "tool_result":
        inner = [part for part in blocks(block.get("content") or "") if part["type"] not in MOVED]
        texts = [part.get("text") or f"tool: {part.get('tool_name')}" for part in inner]
        text = "\n".join(text for text in texts if not PLACEHOLDER.fullmatch(text))
        kept["content"] = PLACEHOLDER.sub(
            "", ("Error: " if block.get("is_error") else "") + text
        ).strip()
        kept.pop("is_error", None)
        # A cache mark on a result, and one on its last text, mean the same place.
        marks = [part["cache_control"] for part in inner if part.get("cache_control")]
        if marks:
            kept["cache_control"] = marks[-1]
    if block["type"] == "document":
        kept.pop("title", None)
    return kept


def said(turns: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Who says what, block by block, with what was moved out of results behind them."""
    found = []
    for turn in turns:
        own = blocks(turn["content"])
        moved = [
            part
            for block in own
            if block["type"] == "tool_result"
            for part in blocks(block.get("content") or "")
            if part["type"] in MOVED
        ]
        results = [plain(block) for block in own if block["type"] == "tool_result"]
        rest = [plain(block) for block in own if block["type"] != "tool_result"]
        found.append((turn["role"], [*results, *map(plain, moved), *rest]))
    return found


def joined(system: list[dict[str, Any]]) -> tuple[str, list[Any]]:
    """A system prompt's text, whose blocks may be joined by blank lines, and its cache marks in order."""
    marks = [block["cache_control"] for block in system if block.get("cache_control")]
    return "\n\n".join(block["text"] for block in system), marks


def check(body: dict[str, Any]) -> None:
    back, there_report, back_report = there_and_back(body)
    lost = set(there_report.dropped_paths)
    assert back_report.dropped_paths == []
    assert said(back["messages"]) == said(body["messages"])
    system = [b for b in blocks(body.get("system") or []) if not b["text"].startswith(ATTRIBUTION)]
    assert joined(blocks(back.get("system") or [])) == joined(system)
    tools = [
        {
            name: value
            for name, value in tool.items()
            if name not in LOST_TOOL_FIELDS and value is not None
        }
        for tool in body.get("tools") or []
    ]
    assert back.get("tools", []) == tools
    for name in set(body) - set(back):
        assert LOST_FIELDS.get(name, name) in lost or body[name] in (None, False, []), name
    for name in ("max_tokens", "stop_sequences", "tool_choice", "top_k", "stream"):
        if body.get(name):
            assert back[name] == body[name]
    assert lost <= {
        *LOST_FIELDS.values(), *LOST_TOOL_FIELDS.values(), "system[]", "messages[].output_config",
    }  # fmt: skip


RECORDED = [
    pytest.param(request["body"], id=f"{path.stem}-{number}")
    for folder in ("claude-code", "anthropic-sdk")
    for path in sorted((FIXTURES / folder).glob("*.json"))
    for number, request in enumerate(json.loads(path.read_bytes())["requests"])
    if request["path"] == "/v1/messages" and path.stem != "web-search-server-tool"
]


@pytest.mark.parametrize("body", RECORDED)
def test_recorded_requests_come_back_as_they_went(body):
    check(body)


def test_there_are_recordings():
    assert len(RECORDED) > 50


words = st.text("abc äß\n", min_size=1, max_size=12).filter(str.strip)
text_blocks = st.builds(lambda text: {"type": "text", "text": text}, words)
images = st.sampled_from(
    [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        },
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]
)
thoughts = st.builds(
    lambda text, mark: {"type": "thinking", "thinking": text, "signature": mark},
    words,
    st.text("abcXYZ09+/", min_size=8, max_size=20),
)
results = st.one_of(words, st.lists(st.one_of(text_blocks, images), min_size=1, max_size=2))
names = st.sampled_from(["read", "write_file", "mcp__search"])
values = st.recursive(
    st.one_of(st.integers(-9, 9), words, st.booleans()),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)
inputs = st.dictionaries(st.sampled_from(["path", "n"]), values, max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns that keep the rules of the dialect: each call has its result in the next turn, first of all."""
    turns: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for number in range(draw(st.integers(1, 3))):
        answers = [
            {
                "type": "tool_result",
                "tool_use_id": call,
                "content": draw(results),
                **({"is_error": True} if draw(st.booleans()) else {}),
            }
            for call in open_calls
        ]
        more = draw(st.lists(st.one_of(text_blocks, images), min_size=not answers, max_size=2))
        turns.append({"role": "user", "content": [*answers, *more]})
        calls = [
            {
                "type": "tool_use",
                "id": f"toolu_{number}_{n}",
                "name": draw(names),
                "input": draw(inputs),
            }
            for n in range(draw(st.integers(0, 2)))
        ]
        open_calls = [call["id"] for call in calls]
        spoken = draw(st.lists(text_blocks, min_size=not calls, max_size=1))
        turns.append(
            {
                "role": "assistant",
                "content": [*draw(st.lists(thoughts, max_size=1)), *spoken, *calls],
            }
        )
    return turns[:-1]


@given(
    st.fixed_dictionaries(
        {
            "model": st.just("claude"),
            "max_tokens": st.integers(1, 4000),
            "messages": conversations(),
        },
        optional={
            "system": st.one_of(words, st.lists(text_blocks, min_size=1, max_size=2)),
            "stop_sequences": st.lists(words, min_size=1, max_size=5),
            "top_k": st.integers(1, 50),
            "stream": st.booleans(),
            "tools": st.just(
                [
                    {
                        "name": "read",
                        "description": "Reads.",
                        "input_schema": {
                            "type": "object",
                            "properties": {"path": {"type": "string"}},
                        },
                    }
                ]
            ),
        },
    )
)
def test_generated_requests_come_back_as_they_went(body):
    check({**body, "tools": body.get("tools", [])} if "tools" in body else with_used_tools(body))


def with_used_tools(body: dict[str, Any]) -> dict[str, Any]:
    """A request whose history holds calls offers their tools, as every client does."""
    used = {
        block["name"]
        for turn in body["messages"]
        for block in turn["content"]
        if block["type"] == "tool_use"
    }
    tools = [
        {"name": name, "input_schema": {"type": "object", "properties": {}}}
        for name in sorted(used)
    ]
    return {**body, "tools": tools} if tools else body

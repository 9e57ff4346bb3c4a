"""OpenAI chat requests for hypothesis: any request that keeps the rules and asks for nothing that Messages cannot say."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.conversion.messages_answers import JSON, SIGNATURE, TEXT

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
MARK = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
TOOLS = ["get_weather", "my.tool", "x" * 70, "search"]
IDS = ["call_0", "call_1", "functions.read:0", "", "toolu_" + "a" * 40]
EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def marked(part: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda it, mark: {**it, **mark}, part, st.just({}) | MARK.map(_mark))


def _mark(mark: dict[str, Any]) -> dict[str, Any]:
    return {"cache_control": mark}


TEXT_PART = marked(st.builds(lambda text: {"type": "text", "text": text}, TEXT))
IMAGE_PART = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
    ]
)
FILE_PART = st.sampled_from(
    [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
    ]
)  # fmt: skip
USER_CONTENT = TEXT | st.lists(TEXT_PART | marked(IMAGE_PART | FILE_PART), max_size=3)
TEXT_CONTENT = TEXT | st.lists(TEXT_PART, max_size=3)
RESULT_CONTENT = TEXT_CONTENT | st.lists(TEXT_PART | IMAGE_PART, max_size=2)
DETAIL = st.one_of(
    st.builds(
        lambda text, signature, index: {
            "type": "reasoning.text",
            "text": text,
            "signature": signature,
            "format": "anthropic-claude-v1",
            "index": index,
        },
        TEXT,
        st.none() | SIGNATURE,
        st.integers(0, 2),
    ),
    st.builds(lambda data: {"type": "reasoning.encrypted", "data": data, "index": 0}, SIGNATURE),
    st.just({"type": "reasoning.summary", "summary": "Hm.", "index": 1}),
)


@st.composite
def assistant_round(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An assistant's message, and the results of its calls."""
    message: dict[str, Any] = {"role": "assistant", "content": draw(st.none() | TEXT_CONTENT)}
    if draw(st.booleans()):
        message["reasoning_details"] = draw(st.lists(DETAIL, max_size=4))
    if draw(st.booleans()):
        message["refusal"] = draw(st.none() | TEXT)
    ids = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=3))
    arguments = st.sampled_from(["", "{}"]) | st.dictionaries(TEXT, JSON, max_size=2).map(
        json.dumps
    )
    calls = [
        {
            "id": tool_id,
            "type": "function",
            "function": {"name": draw(st.sampled_from(TOOLS)), "arguments": draw(arguments)},
        }
        for tool_id in ids
    ]
    if calls or draw(st.booleans()):
        message["tool_calls"] = calls
    results = [
        {"role": "tool", "tool_call_id": tool_id, "content": draw(RESULT_CONTENT)}
        for tool_id in draw(st.permutations(ids))
    ]
    return [message, *results]


@st.composite
def function_round(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A deprecated function call and its result."""
    name = draw(st.sampled_from(TOOLS))
    call = {"name": name, "arguments": "{}"}
    return [
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": name, "content": draw(st.none() | TEXT)},
    ]


def _said(role: str, content: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    optional = {"name": WORDS, "cache_control": MARK}
    return st.fixed_dictionaries(
        {"role": st.just(role), "content": content}, optional=optional
    ).map(lambda message: [message])


ROUND = st.one_of(
    _said("system", TEXT_CONTENT),
    _said("developer", TEXT_CONTENT),
    _said("user", USER_CONTENT),
    assistant_round(),
    function_round(),
)
SCHEMA = st.sampled_from(
    [
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}},
        {"type": "object", "properties": {}, "additionalProperties": False},
    ]
)


@st.composite
def tools(draw: st.DrawFn) -> dict[str, Any]:
    """Tools, or the deprecated functions, and the choice among them."""
    names = draw(st.lists(st.sampled_from(TOOLS), unique=True, min_size=1))
    functions = [
        draw(
            st.fixed_dictionaries(
                {"name": st.just(name)},
                optional={"description": TEXT, "parameters": st.none() | SCHEMA},
            )
        )
        for name in names
    ]
    named = {"name": names[0]}
    if draw(st.booleans()):
        choice = draw(st.sampled_from(["auto", "none", named]))
        return {"functions": functions, "function_call": choice}
    chosen = {"type": "function", "function": named}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [chosen]}}
    choice = draw(st.sampled_from([None, "auto", "none", "required", chosen, allowed]))
    strict = {"strict": draw(st.booleans())}
    offered = [{"type": "function", "function": {**it, **strict}} for it in functions]
    return {
        "tools": offered,
        "tool_choice": choice,
        "parallel_tool_calls": draw(st.sampled_from([None, True, False])),
    }


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 10**5),
        "max_completion_tokens": st.integers(1, 10**5),
        "stop": WORDS | st.lists(TEXT, max_size=5),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "n": st.just(1),
        "stream": st.booleans(),
        "stream_options": st.just({"include_usage": True}),
        "user": WORDS,
        "prompt_cache_key": WORDS,
        "reasoning_effort": st.sampled_from(EFFORTS),
        "reasoning": st.fixed_dictionaries(
            {},
            optional={
                "effort": st.sampled_from(EFFORTS),
                "max_tokens": st.integers(1, 10**5),
                "enabled": st.booleans(),
                "exclude": st.booleans(),
            },
        ),
        "response_format": st.sampled_from(
            [
                {"type": "text"},
                {"type": "json_object"},
                {"type": "json_schema", "json_schema": {"name": "N", "schema": {"type": "object"}}},
            ]
        ),
        "something_new": JSON,
    },
)


@st.composite
def chat_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A whole request; somebody says something in it."""
    rounds = draw(st.lists(ROUND, max_size=6))
    at = draw(st.integers(0, len(rounds)))
    rounds.insert(at, [{"role": "user", "content": "Well?"}])
    return {
        "model": "chat-alias",
        "messages": [message for one in rounds for message in one],
        **draw(FIELDS),
        **draw(st.just({}) | tools()),
    }

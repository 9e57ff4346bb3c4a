"""What breaks the Messages dialect is refused with the field's path, and never with a KeyError."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.anthropic_over_openai.request import write_request
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import RequestInvalid
from conversion.traits import ChatTraits

HI = [{"role": "user", "content": "Hello"}]
TRAITS = ChatTraits(
    model="m",
    reasoning="openrouter",
    reasoning_replay="details",
    pdf_files=True,
    top_k=True,
    user_field="user",
)


OTHER_TRAITS = {
    "claude": ChatTraits(
        model="anthropic/claude-model",
        reasoning="openrouter",
        reasoning_replay="details",
        cache_control=True,
        web_search_plugin=True,
    ),
    "strict": ChatTraits(
        model="m",
        max_output_tokens=40,
        reasoning="effort",
        sampling=False,
        strict_tools=False,
        parallel_tool_calls=False,
        user_field="safety_identifier",
    ),
    "least": ChatTraits(
        model="m", efforts=(), reasoning="effort", reasoning_replay="content", images=False
    ),
}


def convert(body, traits=TRAITS):
    least = {"model": "m", "max_tokens": 50, "messages": HI}
    return write_request(
        read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps({**least, **body})), traits
    )


def turn(role, *blocks):
    return {"messages": [*HI, {"role": role, "content": list(blocks)}]}


FAULTS = [
    ({"messages": []}, "messages"),
    ({"messages": ["x"]}, "messages[0]"),
    ({"messages": [{"role": "developer", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0]"),
    (turn("user", {"type": "text"}), "messages[1].content[0].text"),
    (turn("user", {"type": "tool_result", "content": "x"}), "messages[1].content[0].tool_use_id"),
    (turn("user", {"type": "tool_result", "tool_use_id": "t", "content": 5}), "messages[1].content[0].content"),
    (turn("user", {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference"}]}), "messages[1].content[0].content[0].tool_name"),
    (turn("user", {"type": "image", "source": "x"}), "messages[1].content[0].source"),
    (turn("user", {"type": "image", "source": {"type": "odd"}}), "messages[1].content[0].source.type"),
    (turn("user", {"type": "image", "source": {"type": "base64", "data": "x"}}), "messages[1].content[0].source.media_type"),
    (turn("user", {"type": "document", "source": {"type": "base64", "media_type": "text/html", "data": "x"}}), "messages[1].content[0].source.media_type"),
    (turn("user", {"type": "document", "source": {"type": "content", "content": [5]}}), "messages[1].content[0].source.content[0]"),
    (turn("user", {"type": "document", "source": {"type": "content", "content": [{"type": "document"}]}}), "messages[1].content[0].source.content[0].type"),
    (turn("user", {"type": "search_result", "source": "s", "title": "t", "content": [{}]}), "messages[1].content[0].content[0].text"),
    (turn("assistant", {"type": "tool_use", "name": "x", "input": {}}), "messages[1].content[0].id"),
    (turn("assistant", {"type": "tool_use", "id": "t", "name": "x", "input": "{}"}), "messages[1].content[0].input"),
    (turn("assistant", {"type": "thinking"}), "messages[1].content[0].thinking"),
    (turn("assistant", {"type": "redacted_thinking"}), "messages[1].content[0].data"),
    ({"system": 5}, "system"),
    ({"system": [{"type": "image"}]}, "system[0].type"),
    ({"tools": "x"}, "tools"),
    ({"tools": ["x"]}, "tools[0]"),
    ({"tools": [{"type": 5}]}, "tools[0].type"),
    ({"tools": [{"description": "x"}]}, "tools[0].name"),
    ({"tools": [{"name": "x", "input_schema": "y"}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "x"}], "tool_choice": {"type": "maybe"}}, "tool_choice.type"),
    ({"tools": [{"name": "x"}], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tools": [{"name": "x"}], "tool_choice": {"type": "tool", "name": "y"}}, "tool_choice.name"),
    ({"tools": [{"name": "x"}], "tool_choice": {}}, "tool_choice.type"),
    ({"tools": [{"name": "x", "description": 5}]}, "tools[0].description"),
    ({"tools": [{"name": "x", "strict": "yes"}]}, "tools[0].strict"),
    ({"tools": [{"name": "x"}], "tool_choice": "auto"}, "tool_choice"),
    ({"thinking": {}}, "thinking.type"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": True}}, "thinking.budget_tokens"),
    ({"output_config": {"effort": "huge"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
    ({"stop_sequences": [5]}, "stop_sequences[0]"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_k": True}, "top_k"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ({"metadata": "x"}, "metadata"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "system"}]}, "messages[0].content"),
    ({"messages": [*HI, {"role": "system", "content": [{"type": "image"}]}]}, "messages[1].content[0].type"),
    ({"system": [{"type": "text", "text": 5}]}, "system[0].text"),
    ({"system": ["x"]}, "system[0]"),
    (turn("user", {"type": "image", "source": {"type": "url"}}), "messages[1].content[0].source.url"),
    (turn("user", {"type": "image"}), "messages[1].content[0].source.type"),
    (turn("user", {"type": "document", "source": {"type": "text"}}), "messages[1].content[0].source.data"),
    (turn("user", {"type": "document", "citations": 5, "source": {"type": "text", "data": "x"}}), "messages[1].content[0].citations"),
    (turn("user", {"type": "search_result", "source": "s"}), "messages[1].content[0].title"),
    (turn("user", {"type": "search_result", "source": "s", "title": "t", "content": "x"}), "messages[1].content[0].content"),
    (turn("user", {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}), "messages[1].content[0].content[0].text"),
    (turn("assistant", {"type": "text", "text": None}), "messages[1].content[0].text"),
    (turn("assistant", {"type": "tool_use", "id": "t", "input": {}}), "messages[1].content[0].name"),
    ({"thinking": "enabled"}, "thinking"),
    ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
    ({"output_config": "high"}, "output_config"),
    ({"output_config": {"effort": 5}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "json_schema", "schema": "x"}}}, "output_config.format.schema"),
    ({"output_format": "json"}, "output_format"),
    ({"stop_sequences": "END"}, "stop_sequences"),
    ({"top_p": "most"}, "top_p"),
    ({"max_tokens": "many"}, "max_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "path"), FAULTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_fault_is_named_by_its_path(body, path):
    with pytest.raises(RequestInvalid) as caught:
        convert(body)

    assert caught.value.path == path
    assert path in caught.value.message


def test_a_cache_mark_of_the_wrong_shape_is_named_too():
    with pytest.raises(RequestInvalid) as caught:
        convert({"cache_control": "x"}, OTHER_TRAITS["claude"])

    assert caught.value.path == "cache_control"


def test_what_is_nested_too_deeply_is_refused_and_not_the_gateways_fault():
    deep = b"[" * 300 + b"]" * 300  # orjson reads it, and does not write it
    call = b'{"type":"tool_use","id":"t","name":"x","input":{"a":' + deep + b"}}"
    turns = b'[{"role":"user","content":"Hello"},{"role":"assistant","content":[' + call + b"]}]"
    raw = b'{"model":"m","max_tokens":50,"messages":' + turns + b"}"
    with pytest.raises(RequestInvalid) as caught:
        write_request(read_call(Dialect.ANTHROPIC_MESSAGES, raw), TRAITS)

    assert caught.value.path == "messages[1].content[0].input"

    tool = b'{"name":"x","input_schema":{"a":' + deep + b"}}"
    raw = b'{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"Hello"}],"tools":['
    raw += tool + b"]}"
    with pytest.raises(RequestInvalid, match="nested too deeply"):
        write_request(read_call(Dialect.ANTHROPIC_MESSAGES, raw), TRAITS)


def test_no_more_is_noted_of_an_unknown_word_than_helps():
    body = turn("user", {"type": "x" * 5000}, {"type": "text", "text": "Hi"})
    body["messages"].append({"role": "assistant", "content": [{"type": "y" * 5000}]})

    assert [note.path for note in convert(body).report.notes] == [
        "messages[].content[]." + "x" * 40,
        "messages[].content[]." + "y" * 40,
    ]


WORDS = st.sampled_from(
    ["type", "text", "role", "user", "assistant", "content", "tool_use", "tool_result", "tool_use_id", "id", "name",
     "input", "source", "image", "document", "base64", "thinking", "signature", "enabled", "budget_tokens", "tool",
     "custom", "input_schema", "effort", "format", "json_schema", "schema", "data", "citations", "title", "strict",
     "redacted_thinking", "search_result", "tool_reference", "tool_name", "web_search_1", "bash_1", "computer_1",
     "cache_control", "is_error", "url", "media_type", "context", "disabled", "adaptive", "caller", "description"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.text(max_size=4)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)
FIELDS = st.sampled_from(
    ["messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format", "metadata",
     "stop_sequences", "temperature", "top_p", "top_k", "cache_control", "service_tier", "mcp_servers", "container"]
)  # fmt: skip
BLOCK = st.dictionaries(WORDS, JSON, max_size=6)
TURNS = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "system"]),
            "content": st.lists(BLOCK, max_size=3),
        },
        optional={"clear_at": JSON, "output_config": JSON},
    ),
    max_size=3,
)


@pytest.mark.parametrize(
    "traits", [TRAITS, *OTHER_TRAITS.values()], ids=["openrouter", *OTHER_TRAITS]
)
@settings(max_examples=150, deadline=None)
@given(body=st.dictionaries(FIELDS, JSON, max_size=5), turns=st.none() | TURNS)
def test_whatever_comes_it_is_converted_or_refused(traits, body, turns):
    if turns is not None:
        body = {**body, "messages": [*HI, *turns]}
    raw = orjson.dumps({"model": "m", "max_tokens": 50, "messages": HI, **body})
    try:
        call = read_call(Dialect.ANTHROPIC_MESSAGES, raw)
    except RequestInvalid:
        return
    try:
        request = write_request(call, traits)
    except RequestInvalid:
        return
    finally:
        assert call.body == orjson.loads(raw)  # the next target translates it again
    assert orjson.loads(request.body)["messages"]

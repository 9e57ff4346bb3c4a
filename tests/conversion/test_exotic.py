"""Requests that no sane client sends: each is converted, or refused with an error that the client can read."""

import contextlib
import copy
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, TypeGuard

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.call import CONTAINERS_MAX, MESSAGES_MAX, MODEL_CHARS_MAX, read_call
from conversion.dialects import Converter, Dialect
from conversion.errors import MESSAGE_CHARS_MAX, RequestInvalid
from conversion.pairs import make_converter
from conversion.reasoning import PREFIX, pack_details, pack_extra
from conversion.traits import ChatTraits

ANTHROPIC, OPENAI = Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT
PAIRS = [(ANTHROPIC, OPENAI), (ANTHROPIC, ANTHROPIC), (OPENAI, OPENAI)]
CLAUDE = ChatTraits(
    model="anthropic/claude-model",
    reasoning="openrouter",
    reasoning_replay="details",
    cache_control=True,
    pdf_files=True,
    top_k=True,
    user_field="user",
    web_search_plugin=True,
)
LEAST = ChatTraits(
    model="m",
    max_output_tokens=40,
    reasoning="effort",
    reasoning_replay="content",
    images=False,
    sampling=False,
    strict_tools=False,
    parameters={"seed": 7},
)

MARK = {"type": "ephemeral", "ttl": "1h"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
MESSAGES_BODY: dict[str, Any] = {
    "model": "m",
    "max_tokens": 50,
    "stream": True,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": MARK}],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 4,
    "stop_sequences": ["stop"],
    "metadata": {"user_id": "someone", "other": 1},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"a": 1}}},
    "cache_control": MARK,
    "tools": [
        {"name": "read file", "description": "d", "input_schema": {"a": 1}, "strict": True},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_search_20250305", "name": "search", "allowed_domains": ["a.example"]},
    ],
    "tool_choice": {"type": "tool", "name": "read file", "disable_parallel_tool_use": True},
    "messages": [
        {"role": "user", "content": "Hello"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "theirs"},
                {
                    "type": "thinking",
                    "thinking": "Hm.",
                    "signature": pack_details(
                        [{"type": "reasoning.text", "text": "Hm.", "signature": "s"}],
                        thinking="Hm.",
                    ),
                },
                {"type": "redacted_thinking", "data": pack_extra("t1", {"google": 1})},
                {"type": "text", "text": "One moment.", "citations": [1], "cache_control": MARK},
                {"type": "tool_use", "id": "t1", "name": "read file", "input": {"a": [1]}},
                {"type": "server_tool_use", "id": "t2", "name": "search", "input": {}},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t2", "name": "x", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "is_error": True,
                    "content": [{"type": "text", "text": "r", "cache_control": MARK}, IMAGE],
                },
                {"type": "text", "text": "And this."},
                IMAGE,
                {"type": "document", "source": {"type": "text", "data": "t"}, "title": "T", "context": "c", "citations": {"enabled": True}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "t"}]}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}},
                {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "x"}]},
                {"type": "tool_reference", "tool_name": "bash"},
                {"type": "odd"},
            ],
        },
        {"role": "system", "content": "From now on.", "clear_at": "next_user_message", "output_config": {"effort": "low"}},
        {"role": "user", "content": "Go on."},
    ],
}  # fmt: skip
CHAT_BODY: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "max_completion_tokens": 50,
    "stream_options": {"include_usage": False},
    "temperature": 0.5,
    "stop": ["stop"],
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"a": 1}}},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "r"},
    ],
}
BODIES = {ANTHROPIC: MESSAGES_BODY, OPENAI: CHAT_BODY}


def convert(raw: bytes, client: Dialect, upstream: Dialect, traits: ChatTraits) -> Converter:
    call = read_call(client, raw)
    return make_converter(call, upstream, traits, answer_id="1", created_s=1)


def convert_or_refuse(raw: bytes, client: Dialect) -> list[Converter | RequestInvalid]:
    """What becomes of a body at each target; whatever is not RequestInvalid escapes and fails the test."""
    ends: list[Converter | RequestInvalid] = []
    for traits in (CLAUDE, LEAST):
        for upstream in (end for start, end in PAIRS if start is client):
            try:
                converter = convert(raw, client, upstream, traits)
                orjson.loads(converter.request)
                ends.append(converter)
            except RequestInvalid as error:
                ends.append(error)
    assert all(len(end.message) <= MESSAGE_CHARS_MAX for end in ends if is_refused(end))
    return ends


def is_refused(end: Converter | RequestInvalid) -> TypeGuard[RequestInvalid]:
    return isinstance(end, RequestInvalid)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a body, the body itself excepted."""
    if path:
        yield path
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, member in pairs:
        yield from places(member, (*path, key))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the body with another value at a place."""
    new = copy.deepcopy(body)
    holder = new
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return new


PLACES = [(dialect, path) for dialect, body in BODIES.items() for path in places(body)]
NAMES = sorted(
    {key for _, path in PLACES for key in path if isinstance(key, str)}
    | {"mcp_servers", "container", "output_format", "caller", "transformations", "defer_loading"}
)
WORDS = sorted(
    {
        "user", "assistant", "system", "tool", "developer", "text", "image", "document", "tool_use", "tool_result",
        "thinking", "redacted_thinking", "search_result", "tool_reference", "enabled", "disabled", "adaptive", "auto",
        "any", "none", "base64", "url", "file", "content", "json_schema", "high", "ephemeral", "bash_1", "web_search_1",
        "computer_1", "llmgw1.", "llmgw1.W10", "llmgw1_", "", " ", "\0", "\x1b[1m", "é", "\U0001f600", "a" * 2000,
    }
)  # fmt: skip
NUMBERS = [0, 1, -1, 2**31, 2**53, 2**63, 2**64 - 1, -(2**63), 1e308, -0.0, 5e-324]
PLAIN = (
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.sampled_from(WORDS)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_requests_that_are_taken_apart_below_are_sound(client, upstream):
    sent = orjson.loads(convert(orjson.dumps(BODIES[client]), client, upstream, CLAUDE).request)

    assert len(sent["messages"]) >= len(BODIES[client]["messages"])
    assert len(PLACES) > 150


@given(VALUES, st.sampled_from(list(BODIES)))
@settings(deadline=None)
def test_any_json_is_converted_or_refused(value, client):
    convert_or_refuse(orjson.dumps(value), client)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8), st.sampled_from(list(BODIES)))
@settings(max_examples=300, deadline=None)
def test_any_fields_beside_the_least_are_converted_or_refused(fields, client):
    least = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}

    convert_or_refuse(orjson.dumps({**least, **fields}), client)


@given(st.sampled_from(PLACES), VALUES, st.sampled_from(PLACES), VALUES)
@settings(max_examples=600, deadline=None)
def test_anything_at_any_place_of_a_request_is_converted_or_refused(first, one, second, other):
    client, path = first
    body = replaced(BODIES[client], path, one)
    with contextlib.suppress(KeyError, IndexError, TypeError):  # the first took its place away
        body = replaced(body, second[1], other)

    convert_or_refuse(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS), client)


@given(st.binary(max_size=60), st.sampled_from(list(BODIES)))
@settings(deadline=None)
def test_any_bytes_are_refused_or_read(raw, client):
    for end in convert_or_refuse(raw, client):
        assert is_refused(end)


def nested(depth: int, *, key: str = "") -> bytes:
    """A list in a list, or an object in an object, so many levels deep."""
    head, tail = (b'{"%b":' % key.encode(), b"}") if key else (b"[", b"]")
    return head * depth + b"1" + tail * depth


@pytest.mark.parametrize("key", ["", "type"])
@pytest.mark.parametrize("depth", [300, 1000])
def test_deep_nesting_at_any_place_is_converted_or_refused(depth, key):
    for client, path in PLACES:
        raw = orjson.dumps(replaced(BODIES[client], path, "DEEP"))
        convert_or_refuse(raw.replace(b'"DEEP"', nested(depth, key=key)), client)


@pytest.mark.parametrize("key", ["type", "text", "signature", "index"])
def test_deep_nesting_inside_a_signature_of_ours_is_converted_or_refused(key):
    inside = b'[{"type":"reasoning.text","%b":%b}]' % (key.encode(), nested(1000))
    block = {
        "type": "thinking",
        "thinking": "",
        "signature": PREFIX + urlsafe_b64encode(inside).decode().rstrip("="),
    }
    body = {**MESSAGES_BODY, "messages": [{"role": "assistant", "content": [block]}]}

    convert_or_refuse(orjson.dumps(body), ANTHROPIC)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("depth", [3000, 10_000, 100_000, 5_000_000])
def test_nesting_that_cannot_be_read_is_refused_and_says_so(client, upstream, depth):
    words = "depth limit exceeded" if depth < CONTAINERS_MAX else "more than 2000000 braces"

    for raw in (b"[" * depth, b'{"messages":' * depth, b'{"a":' + nested(depth) + b"}"):
        with pytest.raises(RequestInvalid, match=words):
            convert(raw, client, upstream, CLAUDE)


@pytest.mark.parametrize("dialect", list(BODIES))
def test_deep_nesting_is_passed_on_as_it_came_or_refused_and_never_changed(dialect):
    raw = b'{"model":"m","max_tokens":9,"messages":[],"x":' + nested(900) + b"}"

    passed = convert(raw, dialect, dialect, CLAUDE)
    assert passed.request.startswith(b'{"model":"anthropic/claude-model","max_tokens":9,')
    assert passed.request.endswith(nested(900) + b"}")
    try:
        merged = convert(raw, dialect, dialect, LEAST)  # parameters of its own are merged in
    except RequestInvalid as error:
        assert "nested too deeply" in error.message  # noqa: PT017  (either is right)
    else:
        assert nested(900) in merged.request


@pytest.mark.parametrize("depth", [240, 300])
def test_a_deep_schema_is_sent_on_or_refused(depth):
    tool = b'{"name":"t","input_schema":' + nested(depth, key="items") + b"}"
    raw = (
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":[%b]}'
        % tool
    )

    if depth < 250:
        assert nested(depth, key="items")[1:] in convert(raw, ANTHROPIC, OPENAI, CLAUDE).request
    else:
        with pytest.raises(RequestInvalid, match="the request body is nested too deeply"):
            convert(raw, ANTHROPIC, OPENAI, CLAUDE)


def least(**more: str) -> bytes:
    """The least body; values are JSON, as they are written."""
    fields = {"model": '"m"', "max_tokens": "9", "messages": '[{"role":"user","content":"x"}]'}
    words = [f'"{name}":{value}' for name, value in {**fields, **more}.items()]
    return b"{" + ",".join(words).encode("utf-8", "surrogatepass") + b"}"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty document"),
        (b"   ", "not valid JSON"),
        (b"null", "must be a JSON object"),
        (b"[]", "must be a JSON object"),
        (b"5", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"{} {}", "not valid JSON"),
        (least().decode().encode("utf-16"), "not in UTF-8"),
        (least().decode().encode("utf-16-le"), "not valid JSON"),
        (least(user='"\x00"'), "control character"),
        (least(user='"\xff"').decode().encode("latin-1"), "not in UTF-8"),
        (least(user='"\ud800"'), "not in UTF-8"),
        (least(user=r'"\ud83d"'), "no low surrogate in string"),
        (least(user=r'"\ude00"'), "surrogate"),
        (least(temperature="NaN"), "not valid JSON"),
        (least(temperature="-Infinity"), "not valid JSON"),
        (least(temperature="1e999"), "infinity"),
        (least(max_tokens="1e400"), "infinity"),
        (least(max_tokens=str(10**400)), "infinity"),
        (least(max_tokens=str(2**64)), "max_tokens: Input should be a valid integer"),
        (least(max_tokens="1e3"), "max_tokens: Input should be a valid integer"),
        (least(model='"' + "m" * (MODEL_CHARS_MAX + 1) + '"'), "model: String should have at most 256"),
        (least(model='"' + "m" * 1_000_000 + '"'), "model: String should have at most 256"),
        (least(model='"' + " " * 1_000_000 + 'm"'), "model: String should have at most 256"),
        (least(model=r'"a\u0000b"'), "model: String should have printable"),
        (least(model=r'"a\u001b[31mb"'), "model: String should have printable"),
        (least(model=r'"a\nb"'), "model: String should have printable"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("client", list(BODIES))
def test_what_cannot_be_read_is_refused_with_a_sentence(raw, words, client):
    with pytest.raises(RequestInvalid) as caught:
        read_call(client, raw)

    assert words in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("raw", "field", "value"),
    [
        (b"\xef\xbb\xbf" + least(), "model", "m"),
        (b"\r\n\t " + least() + b"\n", "model", "m"),
        (least(user=r'"\u0000"'), "user", "\0"),
        (least(user=r'"\ud83d\ude00"'), "user", "\U0001f600"),
        (least(top_k=str(2**64)), "top_k", float(2**64)),
        (least(top_k=str(2**63)), "top_k", 2**63),
        (least(top_k="-0"), "top_k", 0),
        (least(temperature="1e-999"), "temperature", 0.0),
        (least(model='"größe/模型"'), "model", "größe/模型"),
    ],
)
def test_what_is_odd_but_right_is_read(raw, field, value):
    call = read_call(ANTHROPIC, raw)

    assert call.body[field] == value
    assert not call.raw.startswith(b"\xef")


@pytest.mark.parametrize("number", [2**31, 2**53 + 1, 2**63, 2**64 - 1])
def test_a_huge_limit_is_sent_on_as_it_is(number):
    raw = least(max_tokens=str(number), top_k=str(number))

    for client, upstream in PAIRS:
        sent = orjson.loads(convert(raw, client, upstream, CLAUDE).request)
        assert (sent["max_tokens"], sent["top_k"]) == (number, number)


@pytest.mark.parametrize("twice", ["model", "max_tokens", "messages", "stream"])
def test_of_a_key_that_comes_twice_the_last_one_counts(twice):
    first = {"model": '"first"', "max_tokens": "1", "messages": "[]", "stream": "false"}
    last = {
        "model": '"last"',
        "max_tokens": "9",
        "messages": '[{"role":"user","content":"x"}]',
        "stream": "true",
    }
    raw = b'{"%b":%b,' % (twice.encode(), first[twice].encode()) + least(**last)[1:]
    call = read_call(ANTHROPIC, raw)

    assert (call.alias, call.max_output_tokens, call.stream) == ("last", 9, True)
    for client, upstream in PAIRS:
        sent = orjson.loads(convert(raw, client, upstream, CLAUDE).request)
        assert sent["model"] == "anthropic/claude-model"
        assert (sent["max_tokens"], sent["stream"]) == (9, True)
        assert len(sent["messages"]) == 1


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"model":"a","mod\u0065l":"b","max_tokens":9,"messages":[]}',
        rb'{"mod\u0065l":"b","max_tokens":9,"messages":[]}',
        rb'{"x":"\"model\"","model":"b","max_tokens":9,"messages":[]}',
        rb'{"x":{"model":"c"},"model":"b","max_tokens":9,"messages":[]}',
        rb'{"max_tokens":9,"messages":[],"model" : "b\"\\"}',
    ],
)
@pytest.mark.parametrize("dialect", list(BODIES))
def test_the_models_name_is_put_where_it_belongs_however_the_key_is_written(raw, dialect):
    body = orjson.loads(raw)

    sent = orjson.loads(convert(raw, dialect, dialect, CLAUDE).request)

    assert sent == {**body, "model": "anthropic/claude-model"}


def call_with(count: int) -> bytes:
    turn = b'{"role":"user","content":"x"}'
    return b'{"model":"m","max_tokens":9,"messages":[%b]}' % b",".join([turn] * count)


def test_a_hundred_thousand_messages_are_taken_and_one_more_is_not():
    for client, upstream in PAIRS:
        sent = orjson.loads(convert(call_with(MESSAGES_MAX), client, upstream, CLAUDE).request)
        assert len(sent["messages"]) == 100_000
    with pytest.raises(RequestInvalid, match="messages: List should have at most 100000 items"):
        read_call(ANTHROPIC, call_with(MESSAGES_MAX + 1))


@pytest.mark.parametrize("empty", [b"{}", b"[]"])
def test_more_objects_than_memory_is_wise_for_are_refused_unread(empty):
    few, many = (
        least()[:-1] + b',"x":[%b]}' % b",".join([empty] * count) for count in (10**6, 2 * 10**6)
    )

    assert len(read_call(ANTHROPIC, few).body["x"]) == 10**6
    with pytest.raises(RequestInvalid, match="more than 2000000 braces and brackets"):
        read_call(ANTHROPIC, many)


def test_chat_completions_have_no_limit_of_messages():
    assert len(read_call(OPENAI, call_with(MESSAGES_MAX + 1)).body["messages"]) == 100_001


def test_a_long_word_of_the_clients_is_not_repeated_in_full():
    raw = least(tools='[{"name":"a"}]', tool_choice='{"type":"tool","name":"%s"}' % ("b" * 10**6))

    with pytest.raises(RequestInvalid, match=r"tool_choice\.name: Tool 'bbb") as caught:
        convert(raw, ANTHROPIC, OPENAI, CLAUDE)
    assert len(caught.value.message) == MESSAGE_CHARS_MAX

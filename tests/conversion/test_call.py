"""Reading a body just far enough to route it."""

import orjson
import pytest

from conversion.call import read_call, read_count_call
from conversion.dialects import Dialect
from conversion.errors import RequestInvalid

ANTHROPIC, OPENAI = Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT


def test_a_call_knows_what_routing_needs():
    call = read_call(
        ANTHROPIC,
        b'{"model": " claude-opus-4-6[1m] ", "max_tokens": 9, "stream": true, "messages": []}',
    )

    assert (call.alias, call.stream, call.max_output_tokens) == ("claude-opus-4-6", True, 9)


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("test/agent", "test/agent"),
        ("claude-opus-4-6[1m]", "claude-opus-4-6"),
        ("claude[1m]-opus", "claude[1m]-opus"),  # a mark at the end only
        ("größe", "größe"),
    ],
)
def test_claude_codes_context_mark_is_no_part_of_the_name(name, alias):
    raw = orjson.dumps({"model": name, "max_tokens": 9, "messages": []})

    assert read_call(ANTHROPIC, raw).alias == alias


def test_the_body_is_kept_as_it_came():
    raw = b'{ "model":"m", "max_tokens":9, "messages":[], "extra": 1.50 }'
    call = read_call(ANTHROPIC, raw)

    assert call.raw == raw
    assert call.body == {"model": "m", "max_tokens": 9, "messages": [], "extra": 1.5}
    assert call.dialect is ANTHROPIC


@pytest.mark.parametrize(
    ("stream", "is_stream"), [("null", False), ("false", False), ("true", True)]
)
def test_a_call_streams_only_when_asked_to(stream, is_stream):
    raw = f'{{"model": "m", "max_tokens": 9, "messages": [], "stream": {stream}}}'.encode()

    assert read_call(ANTHROPIC, raw).stream is is_stream


def test_a_limit_of_zero_is_a_limit():
    raw = b'{"model": "m", "max_tokens": 0, "messages": []}'

    assert read_call(ANTHROPIC, raw).max_output_tokens == 0


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (b'{"model": "m", "messages": []}', None),
        (b'{"model": "m", "messages": [], "max_tokens": 5}', 5),
        (b'{"model": "m", "messages": [], "max_tokens": 5, "max_completion_tokens": 7}', 7),
    ],
)
def test_a_chat_call_may_have_no_limit_or_either_name_for_it(body, limit):
    assert read_call(OPENAI, body).max_output_tokens == limit


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"nonsense", ""),
        (b"5", ""),
        (b"", ""),
        (b"[]", ""),
        (b'{"model": "\xff"}', ""),
        (b'{"model": 5, "messages": [], "max_tokens": 5}', "model"),
        (b'{"model": "m", "max_tokens": 5}', "messages"),
        (b'{"model": "m", "messages": [], "max_tokens": null}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_tokens": 5.5}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_completion_tokens": 5}', "max_tokens"),
        (b'{"messages": [], "max_tokens": 5}', "model"),
        (b'{"model": " ", "messages": [], "max_tokens": 5}', "model"),
        (b'{"model": "m", "messages": {}, "max_tokens": 5}', "messages"),
        (b'{"model": "m", "messages": []}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_tokens": true}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_tokens": -1}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_tokens": 5, "stream": 1}', "stream"),
    ],
)
def test_what_routing_cannot_do_without_is_asked_for(body, path):
    with pytest.raises(RequestInvalid) as caught:
        read_call(ANTHROPIC, body)

    assert caught.value.path == path


@pytest.mark.parametrize(
    ("dialect", "body", "path"),
    [
        (Dialect.OPENAI_COMPLETIONS, {"model": "m"}, "prompt"),
        (Dialect.OPENAI_EMBEDDINGS, {"model": "m"}, "input"),
        (Dialect.OPENAI_CHAT, {"model": "m"}, "messages"),
    ],
)
def test_what_is_asked_about_must_be_there(dialect, body, path):
    with pytest.raises(RequestInvalid) as refused:
        read_call(dialect, orjson.dumps(body))
    assert refused.value.path == path


def test_embeddings_are_never_streamed():
    raw = orjson.dumps({"model": "m", "input": ["one"], "stream": True})
    assert not read_call(Dialect.OPENAI_EMBEDDINGS, raw).stream


def test_a_count_needs_no_limit_of_the_answer():
    raw = orjson.dumps({"model": "m", "messages": []})
    assert read_count_call(raw).max_output_tokens is None
    with pytest.raises(RequestInvalid):
        read_call(Dialect.ANTHROPIC_MESSAGES, raw)

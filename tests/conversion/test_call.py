"""Reading a body just far enough to route it."""

import pytest

from conversion.call import read_call
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

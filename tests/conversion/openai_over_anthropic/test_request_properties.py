"""What holds for every request."""

from contextlib import suppress
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import RequestInvalid
from conversion.openai_over_anthropic.request import write_request
from conversion.traits import MessagesTraits
from tests.conversion.chat_requests import chat_requests
from tests.conversion.messages_rules import check_request

TRAITS = st.builds(
    MessagesTraits,
    model=st.just("claude-model"),
    max_output_tokens=st.none() | st.integers(1, 10**5),
    thinking=st.sampled_from(["adaptive", "enabled", "none"]),
    efforts=st.sampled_from([(), ("low",), ("low", "medium", "high", "xhigh", "max")]),
    sampling=st.booleans(),
    system_turns=st.booleans(),
    structured_output=st.booleans(),
    strict_tools=st.booleans(),
    user_field=st.sampled_from(["user_id", "none"]),
)


def written(body: dict[str, Any], traits: MessagesTraits):
    call = read_call(Dialect.OPENAI_CHAT, orjson.dumps(body))
    before = deepcopy(call.body)
    try:
        return write_request(call, traits)
    finally:
        assert call.body == before  # the next target translates it again


def texts(value: Any) -> list[str]:
    """All texts of the users, of the system and of results."""
    found = []
    for message in value["messages"]:
        content = message["content"] or ""
        parts = [{"text": content}] if isinstance(content, str) else content
        found += [part["text"] for part in parts if part.get("text", "").strip()]
    return found


@given(chat_requests(), TRAITS)
def test_any_request_becomes_a_sound_one(body, traits):
    request = written(body, traits)
    sent = orjson.loads(request.body)
    check_request(sent)
    assert sent["model"] == traits.model
    if traits.max_output_tokens is not None:
        assert sent["max_tokens"] <= traits.max_output_tokens
    assert sent.get("stream", False) == body.get("stream", False)
    assert request.include_usage == ("stream_options" in body)


@given(chat_requests(), TRAITS)
def test_nothing_that_is_said_is_lost(body, traits):
    sent = written(body, traits).body.decode()
    for text in texts(body):
        kept = text.rstrip()  # white space at the end of a last turn is not taken
        assert orjson.dumps(kept)[1:-1].decode() in sent


@given(chat_requests(), TRAITS)
def test_the_same_request_becomes_the_same(body, traits):
    assert written(body, traits).body == written(body, traits).body


@given(chat_requests(), TRAITS)
def test_what_is_not_known_is_noted(body, traits):
    notes = {note.path for note in written(body, traits).report.notes if note.kind == "dropped"}
    for name in ("seed", "something_new"):
        assert (name in notes) == (body.get(name) is not None)
    for message in body["messages"]:
        if message.get("name") and message["role"] != "function":
            assert "messages[].name" in notes


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "text", "name", "id"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def holders(value: Any) -> list[Any]:
    """All objects and lists in a value."""
    if isinstance(value, dict):
        return [value, *(it for member in value.values() for it in holders(member))]
    if isinstance(value, list):
        return [value, *(it for member in value for it in holders(member))]
    return []


@given(st.data(), chat_requests(), TRAITS)
def test_damaged_request_is_sent_or_refused(data, body, traits):
    body = deepcopy(body)  # parts of it are shared with the next example
    places = [(holder, key) for holder in holders(body) for key in _keys(holder)]
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(ODD)
    with suppress(RequestInvalid):
        written(body, traits)


def _keys(holder: Any) -> list[Any]:
    return sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))


@pytest.mark.parametrize("levels", [130, 300, 450])
def test_deep_nesting_is_refused_and_does_not_crash(levels):
    deep = '{"type":"array","items":' * levels + "{}" + "}" * levels
    said = '{"model":"m","messages":[{"role":"user","content":"hi"}],'
    strict = '"type":"function","function":{"name":"f","strict":true,"parameters":' + deep
    loose = strict.replace("true", "false")
    for raw in (
        said + '"tools":[{' + strict + "}}]}",
        said + '"tools":[{' + loose + "}}]}",
        said + '"cache_control":' + deep + "}",
    ):
        call = read_call(Dialect.OPENAI_CHAT, raw.encode())
        if levels < 250 and "true" not in raw:
            write_request(call, MessagesTraits(model="m"))
            continue
        with pytest.raises(RequestInvalid):
            write_request(call, MessagesTraits(model="m"))

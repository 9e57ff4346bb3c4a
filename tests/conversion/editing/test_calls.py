"""A call after its edits: what changed, what kept its bytes, and whose fault a broken one is."""

import orjson
import pytest

from conversion.call import read_call, read_count_call
from conversion.dialects import Dialect
from conversion.editing.calls import edit_call
from conversion.editing.edits import BodyEdit
from conversion.errors import RequestInvalid, TransformationFailed
from tests.conversion.editing.patterns import dropping, replacing, setting

MESSAGES = Dialect.ANTHROPIC_MESSAGES
RAW = (
    b'{"model": "claude-x[1m]", "max_tokens": 9, "seed": 1.50, '
    b'"messages": [{"role": "user", "content": "my SECRET"}]}'
)
MASK = replacing("SECRET", "[key]")


def ask(raw: bytes = RAW):
    return read_call(MESSAGES, raw)


def test_a_call_that_nothing_changes_is_the_same_object():
    call = ask()

    assert edit_call(call, []) is call
    assert edit_call(call, [replacing("ABSENT"), setting("max_tokens", 9)]) is call


def test_texts_are_edited_and_every_other_member_keeps_its_bytes():
    call = ask()
    edited = edit_call(call, [MASK])

    assert edited.body["messages"][0]["content"] == "my [key]"
    assert orjson.loads(edited.raw) == edited.body
    assert b'"seed":1.50' in edited.raw
    assert (edited.alias, edited.stream, edited.max_output_tokens) == ("claude-x", False, 9)
    assert call.raw == RAW
    assert call.body["messages"][0]["content"] == "my SECRET"


def test_edits_are_made_in_their_order():
    turns = [{"role": "user", "content": "a SECRET"}]
    before = edit_call(ask(), [setting("messages", turns), MASK])
    after = edit_call(ask(), [MASK, setting("messages", turns)])

    assert before.body["messages"][0]["content"] == "a [key]"
    assert after.body["messages"][0]["content"] == "a SECRET"


def test_a_limit_that_an_edit_sets_is_the_calls_limit():
    edited = edit_call(ask(), [setting("max_tokens", 4), setting("model", "other")])

    assert edited.max_output_tokens == 4
    assert edited.alias == "claude-x"
    assert edited.body["model"] == "other"


def test_a_count_needs_no_limit():
    raw = b'{"model": "m", "messages": []}'

    assert edit_call(read_count_call(raw), [setting("top_k", 1)]).body["top_k"] == 1


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (dropping("model"), "model: Field required"),
        (dropping("messages"), "messages: Field required"),
        (dropping("max_tokens"), "max_tokens: Field required"),
        (setting("stream", True), "stream is for the client to decide"),
        (setting("stream", "yes"), "stream: Input should be a valid boolean"),
        (BodyEdit("drop model", lambda body: [body]), "it is no JSON object"),
        (setting("top_k", object()), "Encoding objects of type object is unsupported"),
    ],
)
def test_what_an_edit_breaks_is_told_as_the_operators_mistake(edit, why):
    with pytest.raises(TransformationFailed) as caught:
        edit_call(ask(), [edit])

    assert f"“{edit.label}” (Routing → Transformations)" in caught.value.message
    assert why in caught.value.message
    assert caught.value.may_fall_back


def test_a_body_that_is_too_deep_is_the_clients_mistake():
    deep = b'{"a":' * 900 + b'"SECRET"' + b"}" * 900
    block = b'[{"role":"user","content":[{"type":"tool_use","input":' + deep + b"}]}]"
    call = ask(RAW[: RAW.index(b"[{")] + block + b"}")

    with pytest.raises(RequestInvalid):
        edit_call(call, [MASK])

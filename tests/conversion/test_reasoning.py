from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.reasoning import (
    PREFIX,
    is_ours,
    pack_details,
    pack_extra,
    unpack_details,
    unpack_extra,
)

SIGNED = {"type": "reasoning.text", "text": "Hmm ä", "signature": "c2ln", "index": 0}
SEALED = {"type": "reasoning.encrypted", "data": "b3BhcXVl", "id": "rs_1", "format": None}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_details_come_back_unchanged():
    packed = pack_details([SIGNED, SEALED], thinking="Hmm ä")
    assert is_ours(packed)
    assert unpack_details(packed, thinking="Hmm ä") == [SIGNED, SEALED]


def test_text_that_is_shown_is_not_packed_again():
    long = {**SIGNED, "text": "x" * 1000}
    assert len(pack_details([long], thinking="x" * 1000)) < 200


def test_text_that_is_hidden_is_packed():
    assert unpack_details(pack_details([SIGNED], thinking=None), thinking="") == [SIGNED]


def test_entry_without_text_stays_without():
    entry = {"type": "reasoning.text", "signature": "c2ln"}
    assert unpack_details(pack_details([entry], thinking="Hmm"), thinking="Hmm") == [entry]


def test_mark_of_unsigned_text_reads_back_as_that_text():
    packed = pack_details([{"type": "reasoning.text", "text": "Hmm"}], thinking="Hmm")
    assert packed == pack_details([{"type": "reasoning.text", "text": "Hi"}], thinking="Hi")
    assert unpack_details(packed, thinking="Hmm") == [{"type": "reasoning.text", "text": "Hmm"}]


def packed(text: bytes) -> str:
    return PREFIX + urlsafe_b64encode(text).decode()


@pytest.mark.parametrize(
    "text",
    [
        "", "EqQBCgIYAhIM", PREFIX, PREFIX + "a", PREFIX + "!!", PREFIX + "ä", packed(b"{"), packed(b"[1]"),
        packed(b"{}"), packed(b"\xff"),
    ],
)  # fmt: skip
def test_foreign_and_damaged_text_holds_nothing(text):
    assert unpack_details(text) is None
    assert unpack_extra(text) is None


def test_foreign_text_is_not_ours():
    assert not is_ours("EqQBCgIYAhIM")


def test_extra_content_comes_back_with_its_call():
    extra = {"google": {"thought_signature": "c2ln"}}
    assert unpack_extra(pack_extra("call_a", extra)) == {
        "tool_id": "call_a",
        "extra_content": extra,
    }


def test_details_and_extra_content_are_told_apart():
    assert unpack_details(pack_extra("call_a", {})) is None
    assert unpack_extra(pack_details([SIGNED], thinking=None)) is None


@given(st.lists(st.dictionaries(st.text(), JSON)), st.text())
def test_any_details_come_back(details, thinking):
    assert unpack_details(pack_details(details, thinking=thinking), thinking=thinking) == details


@given(st.text())
def test_any_text_is_read_without_an_exception(text):
    unpack_details(PREFIX + text)
    unpack_extra(PREFIX + text)

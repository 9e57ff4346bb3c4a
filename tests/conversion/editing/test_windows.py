"""A text in pieces, edited: together they are what the whole text edited is."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conversion.editing.edits import in_turn
from conversion.editing.windows import GROWING_CHARS_MAX, WINDOW_CHARS, EditedText
from tests.conversion.editing.patterns import replacing

# Matches of at most 12 characters, with beginnings, overlaps, and replacements that are matches of the next one.
EDITS = {
    "key": replacing("sk-[a-c]{2,9}", "[key]", begins_with="sk-"),
    "nested": replacing("a+b{0,9}|aab", "ba"),
    "begin": replacing("abab", "é", begins_with="abab"),
    "wide": replacing("[äö🙂]{1,3}", r"<\g<0>>"),
    "gone": replacing("b"),
    "longer": replacing("c", "cc"),
}


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, *(cut % (len(text) + 1) for cut in cuts), len(text)})
    return [text[start:end] for start, end in pairwise(places)]


def say(edits, pieces, window_chars: int = WINDOW_CHARS) -> str:
    edited = EditedText(edits, window_chars=window_chars)
    return "".join([*map(edited.push, pieces), edited.finish()])


@given(
    names=st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=3),
    text=st.text(alphabet="abcsk-äö🙂 ", max_size=120),
    cuts=st.lists(st.integers(0, 120)),
    window_chars=st.integers(12, 40),
)
@example(names=["key"], text="sk-abcab", cuts=[2, 5, 6], window_chars=12)
@example(names=["nested"], text="aaabbbaab" * 3, cuts=list(range(27)), window_chars=12)
def test_however_a_text_is_cut_the_edited_whole_comes_out(names, text, cuts, window_chars):
    edits = [EDITS[name] for name in names]
    # The runs of one letter that the alphabet allows are cut to what the window promises to find.
    while "aaa" in text:
        text = text.replace("aaa", "aa")

    assert say(edits, pieces_of(text, cuts), window_chars) == in_turn(edits, text)


@given(st.text(alphabet="sk-ab ", max_size=300), st.lists(st.integers(0, 300)))
def test_what_changes_nothing_loses_nothing(text, cuts):
    assert say([replacing("ABSENT")] * 2, pieces_of(text, cuts)) == text


def test_at_most_a_window_is_held_back():
    edited = EditedText([replacing("ABSENT")])
    said = 0
    for number in range(1, 2000):
        said += len(edited.push("x"))
        assert number - said <= WINDOW_CHARS


def test_nothing_is_held_back_that_cannot_be_the_beginning_of_a_match():
    edited = EditedText([EDITS["key"]])

    assert edited.push("Hello, ask") == "Hello, a"
    assert edited.push("s") == "sk"
    assert edited.push("k-") == ""
    assert edited.push("ab") == ""
    assert edited.push("x" * 300) == "[key]" + "x" * 300
    assert edited.finish() == ""


def test_a_match_that_goes_on_is_waited_for_but_not_for_ever():
    edit = replacing("sk-[a-z]+", "[key]", begins_with="sk-")
    long = "sk-" + "a" * 5 * WINDOW_CHARS

    assert say([edit], pieces_of(f"my {long}.", list(range(0, 999, 7)))) == "my [key]."
    edited = EditedText([edit])
    said = "".join(edited.push("a") for _ in range(3))
    said += edited.push("sk-") + "".join(edited.push("a") for _ in range(2 * GROWING_CHARS_MAX))
    assert said.startswith("aaa[key]aaa")


def test_a_text_that_goes_on_after_its_end_is_edited_too():
    edited = EditedText([EDITS["key"]])

    assert edited.push("one sk-ab") + edited.finish() == "one [key]"
    assert edited.push(" two sk-ab") + edited.finish() == " two [key]"


def test_a_long_text_in_one_piece_is_searched_once():
    asked = []
    edit = replacing("b", "c")

    def find(text, start, end):
        asked.append(start)
        return edit.find(text, start, end)

    edited = EditedText([type(edit)("counted", find)])
    text = "ab" * 50_000
    assert edited.push(text) + edited.finish() == text.replace("b", "c")
    assert len(asked) == 2


@pytest.mark.parametrize("piece", ["", "a"])
def test_an_empty_piece_says_nothing(piece):
    edited = EditedText([EDITS["gone"]])

    assert edited.push(piece) == ""
    assert edited.push("") == ""
    assert edited.finish() == piece

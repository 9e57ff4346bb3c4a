"""What a preview shows: the result, and which lines are new."""

import orjson
import pytest

from conversion.dialects import Dialect
from conversion.editing.edits import BodyEdit
from routing import preview, regexes
from routing.preview import Line, PreviewImpossible, compare, make_preview
from tests.conversion.editing.patterns import dropping, setting

MASK = regexes.text_edit("mask", "sk-[a-z0-9-]+", "", "[key]")
CHAT = Dialect.OPENAI_CHAT


@pytest.mark.parametrize("direction", ["request", "response"])
@pytest.mark.parametrize("dialect", [None, *preview.SAMPLE_REQUESTS])
def test_there_is_an_example_for_every_dialect(dialect, direction):
    seen = make_preview([MASK], direction=direction, dialect=dialect, text=" ")
    has_text = dialect is not Dialect.OPENAI_EMBEDDINGS or direction == "request"

    assert seen.is_changed is has_text
    assert ("[key]" in seen.result) is has_text


def test_a_part_of_a_request_may_be_tried_too():
    seen = make_preview([MASK], direction="request", dialect=CHAT, text='{"prediction": 1}')

    assert not seen.is_changed
    assert seen.lines == ()


@pytest.mark.parametrize(
    ("edit", "text", "sentence"),
    [
        (dropping("messages"), "", "messages: Field required"),
        (BodyEdit("list", lambda _body: []), "", "it is no JSON object"),
        (MASK, "[1]", "begins with a brace"),
        (MASK, '"\ud800"', "Not JSON"),
        (MASK, "{" * 3, "Not JSON"),
        (MASK, '{"messages":[],"a":' + "[" * 600 + "]" * 600 + "}", "nested too deeply"),
    ],
)
def test_what_cannot_be_edited_says_why(edit, text, sentence):
    with pytest.raises(PreviewImpossible, match=sentence):
        make_preview([edit], direction="request", dialect=CHAT, text=text)


def test_a_plain_text_has_no_body_to_edit():
    with pytest.raises(PreviewImpossible, match="choose a dialect"):
        make_preview([setting("a", 1)], direction="request", dialect=None, text="a")


def test_an_answer_may_become_what_the_operator_likes():
    seen = make_preview([dropping("choices")], direction="response", dialect=CHAT, text="")

    assert "choices" not in orjson.loads(seen.result)


def test_only_what_changed_is_shown_with_some_lines_around_it():
    before = [str(number) for number in range(100)]
    after = [*before[:50], "new", *before[51:]]

    assert compare("\n".join(before), "\n".join(after)) == (
        Line("place", "line 48"),
        *(Line("same", f" {number}") for number in (47, 48, 49)),
        Line("removed", "-50"),
        Line("added", "+new"),
        *(Line("same", f" {number}") for number in (51, 52, 53)),
    )


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ("a", "a", []),
        ("a", "b", ["place", "removed", "added"]),
        ("", "b", ["place", "removed", "added"]),
        ("a\nb", "a", ["place", "same", "removed"]),
        ("a", "a\n@@ -1 +1 @@", ["place", "same", "added"]),
    ],
)
def test_short_texts_are_compared_too(before, after, kinds):
    assert [line.kind for line in compare(before, after)] == kinds


def test_what_is_too_much_to_compare_is_only_shown():
    before = "\n".join("sk-a" for _ in range(2000))
    seen = make_preview([MASK], direction="request", dialect=None, text=before)

    assert seen.is_changed
    assert seen.lines is None
    one_line = make_preview([MASK], direction="request", dialect=None, text="x\n" * 5000 + "sk-a")
    assert len(one_line.lines) == 6


def test_edits_of_requests_alone_have_nothing_to_say_of_streams():
    assert preview.streaming_note([]) == ""

"""What transformations would do to a text or a body, for a page that shows it before anything is saved. Pure."""

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.editing.calls import edit_body, edit_call
from conversion.editing.edits import BodyEdit, Edit, body_edits, in_turn, text_edits
from conversion.editing.texts import edit_answer_texts, edit_request_texts
from conversion.errors import RequestInvalid, TransformationFailed

TEXT_BYTES_MAX = 256 * 1024
DIFF_LINES_MAX = 1000
"""Finding out which lines are new takes longer than their number: beyond this only the result is shown."""
CONTEXT_LINES = 3
_NEW_PLACE = re.compile(r"@@ -\S+ \+(\d+)")
SAMPLE_TEXT = "My key is sk-ant-abcdefghijklmnopqrstuvwxyz0123, and my address ann@example.com."


class PreviewImpossible(Exception):
    """The input cannot be edited so; the message is for the field it was entered in."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a unified diff. ``kind`` is added, removed, same or place."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What comes out. ``lines`` is None where there is too much to compare."""

    result: str
    is_changed: bool
    lines: tuple[Line, ...] | None


def make_preview(
    edits: Sequence[Edit], *, direction: str, dialect: Dialect | None, text: str
) -> Preview:
    """The text after the edits: as a plain one without a dialect, else as a request or whole answer in it.

    Raises:
        PreviewImpossible: it is no body, or a transformation fails on it.
    """
    if not text.strip():
        text = sample_for(dialect, direction)
    if dialect is None:
        if body_edits(edits):
            raise PreviewImpossible("JSONPath edits bodies: choose a dialect, and paste JSON.")
        before, after = text, in_turn(text_edits(edits), text)
    else:
        before, after = _edit_body(edits, direction, dialect, _read_body(text))
    return Preview(after, before != after, compare(before, after))


def _read_body(text: str) -> dict[str, Any]:
    try:
        body = orjson.loads(text.encode())
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise PreviewImpossible(f"Not JSON: {error}") from error
    if not isinstance(body, dict):
        raise PreviewImpossible("A body is a JSON object: it begins with a brace.")
    return body


def _edit_body(
    edits: Sequence[Edit], direction: str, dialect: Dialect, body: dict[str, Any]
) -> tuple[str, str]:
    walk = edit_request_texts if direction == "request" else edit_answer_texts
    try:
        edited, _labels = edit_body(edits, walk, dialect, body)
        if direction == "request":
            _check_request(edits, dialect, body)
        return _indented(body), _indented(edited)
    except TransformationFailed as error:
        raise PreviewImpossible(error.message) from error
    except (RecursionError, TypeError) as error:  # orjson's word for too deep is a TypeError
        raise PreviewImpossible("It is nested too deeply.") from error


def _check_request(edits: Sequence[Edit], dialect: Dialect, body: dict[str, Any]) -> None:
    """A whole request must still be one; a part of one, pasted to see what happens to it, need not be."""
    try:
        call = read_call(dialect, orjson.dumps(body))
    except RequestInvalid:
        return
    edit_call(call, edits)


def _indented(body: dict[str, Any]) -> str:
    return orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()


def compare(before: str, after: str) -> tuple[Line, ...] | None:
    """The unified diff of two texts, without its first two lines; None where there is too much to compare."""
    old, new = before.split("\n"), after.split("\n")
    start = _same_at_start(old, new)
    end = _same_at_start(old[start:][::-1], new[start:][::-1])
    if max(len(old), len(new)) - start - end > DIFF_LINES_MAX:
        return None
    first = max(0, start - CONTEXT_LINES)
    last = max(0, end - CONTEXT_LINES)
    diff = difflib.unified_diff(
        old[first : len(old) - last], new[first : len(new) - last], lineterm="", n=CONTEXT_LINES
    )
    return tuple(_line(text, first) for text in list(diff)[2:])


def _same_at_start(old: list[str], new: list[str]) -> int:
    return next(
        (number for number, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]),
        min(len(old), len(new)),
    )


def _line(text: str, first: int) -> Line:
    kinds = {"+": "added", "-": "removed", " ": "same"}
    number = _NEW_PLACE.match(text)
    if number:
        return Line("place", f"line {first + max(1, int(number[1]))}")
    return Line(kinds[text[0]], text)


def streaming_note(edits: Sequence[Edit]) -> str:
    """What the edits mean for a streamed answer; empty where they mean nothing."""
    notes = []
    if any(isinstance(edit, BodyEdit) for edit in edits):
        notes.append("JSONPath is applied to whole answers only, not to streamed ones.")
    if texts := text_edits(edits):
        known = [edit.begins_with for edit in texts]
        notes.append(
            f"A streamed text waits only where it may be the beginning of a match: {', '.join(f'“{text}”' for text in known)}."
            if all(known)
            else "A streamed text is held back by up to 200 characters, because a match may begin in many ways."
        )
    return " ".join(notes)


def sample_for(dialect: Dialect | None, direction: str) -> str:
    """What is edited while nothing was entered."""
    if dialect is None:
        return SAMPLE_TEXT
    samples = SAMPLE_REQUESTS if direction == "request" else SAMPLE_ANSWERS
    return json.dumps(samples[dialect])


_TURN = {"role": "user", "content": SAMPLE_TEXT}
SAMPLE_REQUESTS: dict[Dialect, dict[str, Any]] = {
    Dialect.ANTHROPIC_MESSAGES: {
        "model": "claude-sonnet-4-5",
        "max_tokens": 1024,
        "system": "Be brief.",
        "metadata": {"user_id": "user_1"},
        "messages": [_TURN],
    },
    Dialect.OPENAI_CHAT: {"model": "gpt-5", "messages": [_TURN], "user": "user_1"},
    Dialect.OPENAI_COMPLETIONS: {"model": "gpt-5", "prompt": SAMPLE_TEXT},
    Dialect.OPENAI_EMBEDDINGS: {"model": "text-embedding-3-small", "input": [SAMPLE_TEXT]},
}
_CHOICE = {"index": 0, "finish_reason": "stop"}
SAMPLE_ANSWERS: dict[Dialect, dict[str, Any]] = {
    Dialect.ANTHROPIC_MESSAGES: {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": SAMPLE_TEXT}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 24},
    },
    Dialect.OPENAI_CHAT: {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-5",
        "choices": [{**_CHOICE, "message": {"role": "assistant", "content": SAMPLE_TEXT}}],
    },
    Dialect.OPENAI_COMPLETIONS: {
        "id": "cmpl-1",
        "object": "text_completion",
        "model": "gpt-5",
        "choices": [{**_CHOICE, "text": SAMPLE_TEXT}],
    },
    Dialect.OPENAI_EMBEDDINGS: {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
    },
}

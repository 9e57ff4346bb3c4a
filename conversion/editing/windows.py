"""Edits a text that comes in pieces, so that together they are what the whole text edited would be.

Theory of operation. Whether a match begins at some place is decided by the characters of the longest match from there
on, and one more (does the word end, does the line?). So what is nearer to the end than ``WINDOW_CHARS`` is held until
more has come, and before it everything is decided as it will be in the whole text. One character before the held part
is kept as context: a word or a line that began earlier does not begin again.

Two things make it better than that. Where it is known how every match begins, only what may be such a beginning is
held, which is mostly nothing. And a match that reaches to the end of what has come, and so may go on, is waited for,
though not beyond ``GROWING_CHARS_MAX``. What is inexact: a match longer than the window that does not show as a match
from its beginning (``BEGIN.*END``) is not found.

Each edit has its own window, because the next one has to see what the one before it has put there.
"""

from collections.abc import Sequence

from conversion.editing.edits import TextEdit

WINDOW_CHARS = 200
"""The longest match that is found wherever the stream was cut; at most so much of a text is held back by one edit."""
GROWING_CHARS_MAX = 10 * WINDOW_CHARS


class EditedText:
    """One text, and all edits on it in turn."""

    def __init__(self, edits: Sequence[TextEdit], *, window_chars: int = WINDOW_CHARS) -> None:
        self._windows = [Window(edit, window_chars) for edit in edits]

    def push(self, piece: str) -> str:
        """What may be said after one more piece; often less than the piece, or more."""
        for window in self._windows:
            piece = window.push(piece)
        return piece

    def finish(self) -> str:
        """What was held back: no more of the text comes."""
        rest = ""
        for window in self._windows:
            rest = window.push(rest) + window.finish()
        return rest


class Window:
    """One text, and one edit on it."""

    __slots__ = ("_edit", "_start", "_text", "_window_chars")

    def __init__(self, edit: TextEdit, window_chars: int) -> None:
        self._edit = edit
        self._window_chars = window_chars
        self._text = ""
        self._start = 0  # before it is context

    def push(self, piece: str) -> str:
        """What is decided after one more piece."""
        if not piece:
            return ""
        text = self._text + piece
        # The last character is what the one before it is judged by, so no match may include it yet.
        end = len(text) - 1
        undecided = len(text) - self._window_chars
        said: list[str] = []
        start = self._start
        for found in self._edit.find(text, start, end):
            is_growing = found.end == end and end - found.start < GROWING_CHARS_MAX
            if found.start >= undecided or is_growing:
                undecided = min(undecided, found.start)
                break
            said += (text[start : found.start], found.replacement)
            start = found.end
        hold = self._edit.first_chance(text, max(start, undecided))
        said.append(text[start:hold])
        self._keep(text, hold)
        return "".join(said)

    def finish(self) -> str:
        """The rest, edited. A text that goes on all the same begins behind it."""
        text, start = self._text, self._start
        said: list[str] = []
        for found in self._edit.find(text, start, len(text)):
            said += (text[start : found.start], found.replacement)
            start = found.end
        said.append(text[start:])
        self._keep(text, len(text))
        return "".join(said)

    def _keep(self, text: str, hold: int) -> None:
        self._start = min(hold, 1)
        self._text = text[hold - self._start :]

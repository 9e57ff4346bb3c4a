"""What an edit is: a value with a name, made elsewhere. Nothing here knows regular expressions or JSONPath."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias


class Found(NamedTuple):
    """A place in a text, in characters, and what is to stand there."""

    start: int
    end: int
    replacement: str


Say: TypeAlias = Callable[[str], str]
"""A text -> the text edited."""

Finder: TypeAlias = Callable[[str, int, int], Iterator[Found]]
"""(text, start, end) -> the places between start and end, left to right, none empty, none overlapping another.

What is outside of start and end is context: it decides whether a word or a line begins or ends there. Where a search
begins must not matter: from any place that is in no match on, the same are found.
"""


@dataclass(frozen=True, slots=True)
class TextEdit:
    """Replaces places in a text. ``begins_with`` is how every match begins, where that is known, else empty."""

    label: str
    find: Finder
    begins_with: str = ""

    def __call__(self, text: str) -> str:
        """The text edited; the same object when nothing was found."""
        pieces: list[str] = []
        start = 0
        for found in self.find(text, 0, len(text)):
            pieces += (text[start : found.start], found.replacement)
            start = found.end
        return "".join((*pieces, text[start:])) if pieces else text

    def first_chance(self, text: str, start: int) -> int:
        """The first place, from start on, where a match may begin that the text does not hold whole yet."""
        if not self.begins_with:
            return start
        place = text.find(self.begins_with, start)
        if place >= 0:
            return place
        longest = min(len(self.begins_with) - 1, len(text) - start)
        for chars in range(longest, 0, -1):
            if text.endswith(self.begins_with[:chars]):
                return len(text) - chars
        return len(text)


@dataclass(frozen=True, slots=True)
class BodyEdit:
    """Changes a body. ``change`` gives back the same object when there was nothing to do, and edits none in place."""

    label: str
    change: Callable[[dict[str, Any]], Any]


Edit: TypeAlias = TextEdit | BodyEdit


def in_turn(edits: Sequence[TextEdit], text: str) -> str:
    """The text after all edits, one after the other."""
    for edit in edits:
        text = edit(text)
    return text


def text_edits(edits: Sequence[Edit]) -> tuple[TextEdit, ...]:
    """Those of the edits that are about texts, in order."""
    return tuple(edit for edit in edits if isinstance(edit, TextEdit))


def body_edits(edits: Sequence[Edit]) -> tuple[BodyEdit, ...]:
    """Those of the edits that are about bodies, in order."""
    return tuple(edit for edit in edits if isinstance(edit, BodyEdit))

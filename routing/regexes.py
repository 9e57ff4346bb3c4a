"""Regular expressions of RE2 as edits of texts: matched in linear time, whatever the pattern and the text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

import re2

from conversion.editing.edits import Found, TextEdit

FLAGS = ("i", "m", "s")
BEGINNING_BYTES_MAX = 32
_PLACE = re.compile(r"\\(?:(\d{1,2})|g<(\w+)>|([\\nrt])|(.|$))", re.DOTALL)
_ESCAPES = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class ReplacementInvalid(ValueError):
    """The replacement names a group that is not there, or escapes what nobody knows."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """What is put in a match's place: texts, and between them numbers of groups."""

    pieces: tuple[str | int, ...]

    def write(self, match: Any) -> str:
        """The text for one match; a group that took no part in it is empty."""
        return "".join(
            piece if isinstance(piece, str) else (match.group(piece) or "") for piece in self.pieces
        )


@lru_cache(maxsize=512)
def compile_regex(pattern: str, flags: str) -> Any:
    """The expression, compiled.

    Raises:
        re2.error: it is none.
    """
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = "i" not in flags
    options.dot_nl = "s" in flags
    prefix = "(?m)" if "m" in flags else ""
    return re2.compile(prefix + pattern, options)


def read_replacement(text: str, compiled: Any) -> Replacement:
    r"""What ``text`` puts in place of a match: ``\\1`` and ``\\g<name>`` are groups, ``\\0`` is the whole match.

    RE2's own reading of it is not used: it takes characters beyond ASCII for others.

    Raises:
        ReplacementInvalid: with a sentence that says why.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ReplacementInvalid("It holds half a character.") from error
    pieces: list[str | int] = []
    end = 0
    for place in _PLACE.finditer(text):
        pieces.append(text[end : place.start()])
        pieces.append(_read_place(place, compiled))
        end = place.end()
    return Replacement(tuple(piece for piece in (*pieces, text[end:]) if piece != ""))


def _read_place(place: "re.Match[str]", compiled: Any) -> str | int:
    number, name, escape, _other = place.groups()
    if escape:
        return _ESCAPES[escape]
    if number is None and name is None:
        raise ReplacementInvalid(rf"{place.group()} means nothing here; \\ is a backslash.")
    if name is not None and not name.isdecimal():
        group = compiled.groupindex.get(name)
    else:
        group = int(number or name)
    if group is None or group > compiled.groups:
        raise ReplacementInvalid(
            rf"{place.group()} is a group that the expression does not have; \\ is a backslash."
        )
    return int(group)


def text_edit(label: str, pattern: str, flags: str, replacement: str) -> TextEdit:
    """The edit that puts the replacement in place of every match. Empty matches are passed over.

    Raises:
        re2.error: the pattern is no expression.
        ReplacementInvalid: the replacement does not fit it.
    """
    compiled = compile_regex(pattern, flags)
    written = read_replacement(replacement, compiled)
    beginning = beginning_of(pattern, flags)

    def find(text: str, start: int, end: int) -> Iterator[Found]:
        if beginning and text.find(beginning, start, end) < 0:
            return
        for match in compiled.finditer(text, start, end):
            first, last = match.span()
            if last > first:
                yield Found(first, last, written.write(match))

    return TextEdit(label, find, beginning)


@lru_cache(maxsize=512)
def beginning_of(pattern: str, flags: str) -> str:
    r"""How every match of a valid pattern begins, as far as RE2 can tell; empty where it cannot.

    RE2 tells the least and the greatest text that can match; what both begin with, all begin with. It looks at texts
    that stand at the beginning of everything, so assertions about what is before them, ``\\b`` and ``\\B``, are taken
    out first: without them only more can match.
    """
    if r"\Q" in pattern:  # between \Q and \E a \b is two characters
        return ""
    loose = _ESCAPED.sub(lambda escape: "(?:)" if escape[1] in "bB" else escape[0], pattern)
    try:
        least, greatest = compile_regex(loose, flags).possiblematchrange(BEGINNING_BYTES_MAX)
    except re2.error:
        return ""
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(least, greatest, strict=False))
    )
    return str(least[:same], "utf-8", "ignore")

"""Edits for tests, made of Python's own regular expressions."""

import re
from collections.abc import Iterator
from typing import Any

from conversion.editing.edits import BodyEdit, Found, TextEdit


def replacing(pattern: str, by: str = "", *, begins_with: str = "") -> TextEdit:
    """Replaces what the pattern matches; without assertions, for which Python takes the end of a search as the end."""
    compiled = re.compile(pattern)

    def find(text: str, start: int, end: int) -> Iterator[Found]:
        for match in compiled.finditer(text, start, end):
            if match.group():
                yield Found(match.start(), match.end(), match.expand(by))

    return TextEdit(f"s/{pattern}/{by}/", find, begins_with)


def setting(name: str, value: Any) -> BodyEdit:
    """Puts a member into the body, unless it is there already."""
    return BodyEdit(
        f"set {name}", lambda body: body if body.get(name) == value else {**body, name: value}
    )


def dropping(name: str) -> BodyEdit:
    """Takes a member out of the body."""
    return BodyEdit(
        f"drop {name}", lambda body: {key: value for key, value in body.items() if key != name}
    )

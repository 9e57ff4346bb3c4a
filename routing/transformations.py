"""Transformations of what is said: checked when they are saved, compiled when a snapshot is built.

A row becomes a picture with its edit; ``for_target`` picks those for one target. What an edit does to a body is the
business of ``conversion.editing``; the expressions are in ``regexes`` and ``json_paths``.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import re2

from conversion.editing.edits import BodyEdit, Edit
from conversion.errors import TransformationFailed
from routing import regexes

if TYPE_CHECKING:
    from routing.models import Transformation

TRIAL_S_MAX = 0.25
TRIAL_TEXT = (
    "The quick brown fox, sk-abcdefghijklmnopqrstuvwxyz0123456789 at 10.0.0.1: äöü\n" * 1500
)[:100_000]
TRIAL_BODY = {
    "model": "m",
    "metadata": {"user_id": "u"},
    "tools": [{"name": "t", "input_schema": {"type": "object"}}] * 30,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "word"}]}] * 200,
}
SCOPES = {"everything": 0, "provider": 1, "route": 2}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a transformation cannot be saved, and the field that is at fault."""

    field: str
    message: str


class TransformationUnusable(ValueError):
    """A row cannot be compiled. ``problem`` says why."""

    def __init__(self, label: str, problem: Problem) -> None:
        super().__init__(f"the transformation “{label}” cannot be used: {problem.message}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class TransformationPicture:
    """One transformation, compiled. ``provider_pk`` and ``alias_pk`` are set as the scope asks."""

    label: str
    kind: str
    direction: str
    scope: str
    position: int
    pk: int
    provider_pk: int | None
    alias_pk: int | None
    edit: Edit

    def is_for(self, provider_pk: int, alias_pk: int | None) -> bool:
        """Whether it holds for what goes to that provider by a route of that alias."""
        match self.scope:
            case "provider":
                return self.provider_pk == provider_pk
            case "route":
                return alias_pk is not None and self.alias_pk == alias_pk
        return True

    @property
    def order(self) -> tuple[int, int, int]:
        """By position; at the same one those for everything first, then a provider's, then a route's."""
        return self.position, SCOPES[self.scope], self.pk


def build_pictures(rows: "Iterable[Transformation]") -> tuple[TransformationPicture, ...]:
    """The pictures of the rows, in the order in which they are applied.

    Raises:
        TransformationUnusable: naming the row that cannot be compiled.
    """
    return tuple(sorted(map(picture_of, rows), key=lambda picture: picture.order))


def picture_of(row: "Transformation") -> TransformationPicture:
    """The picture of one row, also of one that was never saved.

    Raises:
        TransformationUnusable: it cannot be compiled.
    """
    label = f"{row} (number {row.pk})" if row.pk and not row.name else str(row)
    return TransformationPicture(
        label=label,
        kind=row.kind,
        direction=row.direction,
        scope=row.scope,
        position=row.position,
        pk=row.pk or 0,
        provider_pk=row.provider_id,
        alias_pk=row.alias_id,
        edit=_edit_of(row, label),
    )


def for_target(
    pictures: Iterable[TransformationPicture], provider_pk: int, alias_pk: int | None
) -> tuple[tuple[Edit, ...], tuple[Edit, ...]]:
    """The edits of requests to that provider by a route of that alias, and those of its answers, in order."""
    chosen = sorted(
        (picture for picture in pictures if picture.is_for(provider_pk, alias_pk)),
        key=lambda picture: picture.order,
    )
    requests = tuple(picture.edit for picture in chosen if picture.direction == "request")
    return requests, tuple(picture.edit for picture in chosen if picture.direction == "response")


def problem_with(
    *,
    kind: str,
    pattern: str,
    flags: str,
    replacement: str,
    direction: str,
    value: Any = None,
) -> Problem | None:
    """What is wrong with a transformation; None when it can be applied, and does not take long."""
    del direction
    if kind == "regex":
        return _problem_with_regex(pattern, flags, replacement)
    return _problem_with_path(kind, pattern, value)


def _edit_of(row: "Transformation", label: str) -> Edit:
    if row.kind != "regex":
        return _edit_by_path(row, label)
    try:
        return regexes.text_edit(label, row.pattern, row.flags, row.replacement)
    except re2.error as error:
        raise TransformationUnusable(label, _not_re2(error)) from error
    except regexes.ReplacementInvalid as error:
        raise TransformationUnusable(label, Problem("replacement", str(error))) from error


def _edit_by_path(row: "Transformation", label: str) -> Edit:
    # Imported where there is such a row only: it costs every start 0.1 s.
    from routing import json_paths  # noqa: PLC0415

    try:
        return BodyEdit(label, json_paths.change_for(row.kind, label, row.pattern, row.value))
    except json_paths.PathInvalid as error:
        raise TransformationUnusable(label, Problem("pattern", str(error))) from error
    except json_paths.ValueInvalid as error:
        raise TransformationUnusable(label, Problem("value", str(error))) from error


def _not_re2(error: re2.error) -> Problem:
    reason = error.args[0]
    text = reason.decode() if isinstance(reason, bytes) else reason
    return Problem("pattern", f"Not an RE2 expression: {text}")


def _problem_with_regex(pattern: str, flags: str, replacement: str) -> Problem | None:
    unknown = sorted(set(flags) - set(regexes.FLAGS))
    if unknown:
        return Problem("flags", f"Unknown: {', '.join(unknown)}. Known are i, m and s.")
    began_s = time.process_time()
    try:
        compiled = regexes.compile_regex(pattern, flags)
        regexes.read_replacement(replacement, compiled)
    except re2.error as error:
        return _not_re2(error)
    except regexes.ReplacementInvalid as error:
        return Problem("replacement", str(error))
    if compiled.search("") or any(not match.group() for match in compiled.finditer(TRIAL_TEXT)):
        return Problem("pattern", "It matches the empty text, which is everywhere.")
    if time.process_time() - began_s > TRIAL_S_MAX:
        return Problem("pattern", "It takes too long on a text of 100,000 characters.")
    return None


def _problem_with_path(kind: str, pattern: str, value: Any) -> Problem | None:
    from routing import json_paths  # noqa: PLC0415  (as above)

    began_s = time.process_time()
    try:
        json_paths.change_for(kind, "", pattern, value)(TRIAL_BODY)
    except (json_paths.PathInvalid, TransformationFailed) as error:
        return Problem("pattern", str(error))
    except json_paths.ValueInvalid as error:
        return Problem("value", str(error))
    if time.process_time() - began_s > TRIAL_S_MAX:
        return Problem("pattern", "It takes too long on a body of 200 messages.")
    return None

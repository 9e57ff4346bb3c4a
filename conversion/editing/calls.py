"""Edits a client's request before it is translated. An operator's mistake is never told as the client's."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import msgspec

from conversion.call import Call, read_call, read_count_call
from conversion.dialects import Dialect
from conversion.editing.edits import Edit, Say, body_edits, in_turn, text_edits
from conversion.editing.texts import edit_request_texts
from conversion.errors import RequestInvalid, TransformationFailed

_read_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_write = msgspec.json.Encoder().encode


class EditTexts(Protocol):
    """Finds the texts of a body: those of ``conversion.editing.texts``."""

    def __call__(self, dialect: Dialect, body: dict[str, Any], say: Say) -> dict[str, Any]:
        """The body with its texts edited; the same object when none changed."""
        ...


def edit_call(call: Call, edits: Sequence[Edit]) -> Call:
    """The call after all edits, in their order; the same object when none changed anything.

    What a target is chosen by stays as the client said it: the alias, and whether to stream. Members that no edit
    changed keep the client's own bytes.

    Raises:
        TransformationFailed: an edit left what is no request.
        RequestInvalid: the body is nested too deeply to be looked through.
    """
    try:
        body, changed_by = edit_body(edits, edit_request_texts, call.dialect, call.body)
        if body is call.body:
            return call
        raw = _write_changes(call, body, changed_by)
    except RecursionError as error:
        raise RequestInvalid("the request body is nested too deeply to be edited") from error
    if not changed_by:
        return msgspec.structs.replace(call, raw=raw, body=body)
    return _read_again(call, raw, changed_by)


def edit_body(
    edits: Sequence[Edit], edit_texts: EditTexts, dialect: Dialect, body: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The body after all edits, and the labels of the body edits that changed it.

    Raises:
        TransformationFailed: an edit failed, or left what is no JSON object.
    """
    changed_by = []
    for _kind, group in groupby(edits, key=type):
        members = tuple(group)
        if texts := text_edits(members):
            body = edit_texts(dialect, body, partial(in_turn, texts))
        for edit in body_edits(members):
            new = edit.change(body)
            if not isinstance(new, dict):
                raise failed([edit.label], "it is no JSON object")
            if new is not body:
                changed_by.append(edit.label)
            body = new
    return body, changed_by


def failed(labels: Sequence[str], why: str) -> TransformationFailed:
    """What to raise when these transformations left a body that is of no use."""
    named = ", ".join(f"“{label}”" for label in labels)
    return TransformationFailed(
        f"The body that {named} (Routing → Transformations) left cannot be sent on: {why}"
    )


def _write_changes(call: Call, body: dict[str, Any], changed_by: list[str]) -> bytes:
    own = _read_members(call.raw)
    kept = call.body
    changed = {
        name: own[name] if name in kept and kept[name] is value else value
        for name, value in body.items()
    }
    try:
        return _write(changed)
    except (TypeError, ValueError) as error:
        raise failed(changed_by, str(error)) from error


def _read_again(call: Call, raw: bytes, changed_by: list[str]) -> Call:
    is_count = call.dialect is Dialect.ANTHROPIC_MESSAGES and call.max_output_tokens is None
    try:
        edited = read_count_call(raw) if is_count else read_call(call.dialect, raw)
    except RequestInvalid as error:
        raise failed(changed_by, error.message) from error
    if edited.stream != call.stream:
        raise failed(changed_by, "stream is for the client to decide")
    return msgspec.structs.replace(edited, alias=call.alias)

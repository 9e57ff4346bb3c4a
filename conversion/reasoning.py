"""Packs an upstream's reasoning into the opaque strings that a Messages client carries back unread.

A Messages client returns thinking blocks as it got them: the visible text, and a ``signature`` that only the
maker can read. OpenRouter wants its ``reasoning_details`` back unmodified and in order (its page on reasoning
tokens, read August 2026), so they travel inside that signature: prefix, then base64url of JSON. A JSON list is
reasoning details, a JSON object is the extra content of one tool call.

The text of an entry is left out where the block already shows it. A packed ``[{"type": "reasoning.text"}]``
therefore means: plain text of an upstream that signs nothing (``reasoning_content``), marked so that a replay
knows it as the gateway's own and never sends it to Anthropic as if Anthropic had signed it.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

import orjson

PREFIX = "llmgw1."
"""Begins every string packed here; a signature of Anthropic's is plain base64 and holds no full stop."""


def is_ours(text: str) -> bool:
    """Whether the gateway made this signature or data, intact or not."""
    return text.startswith(PREFIX)


def pack_details(details: Sequence[dict[str, Any]], *, thinking: str | None) -> str:
    """One string that holds reasoning details.

    ``thinking`` is the text that the block shows; entries with the same text are packed without it. None where
    the block shows no text that could be read back.
    """
    return _pack([_without_text(entry, thinking) for entry in details])


def unpack_details(text: str, *, thinking: str = "") -> list[dict[str, Any]] | None:
    """The reasoning details in a signature or in redacted data; ``thinking`` is the text its block shows.

    None for what another maker signed, and for what was damaged on the way.
    """
    value = _unpack(text)
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return None
    return [_with_text(entry, thinking) for entry in value]


def pack_extra(tool_id: str, extra_content: Any) -> str:
    """One string that holds the ``extra_content`` of the tool call with this id.

    Gemini puts its thought signatures there and refuses the next turn without them (trap 44). A tool_use block
    has no place for it, so it goes in a redacted_thinking block right before.
    """
    return _pack({"tool_id": tool_id, "extra_content": extra_content})


def unpack_extra(data: str) -> dict[str, Any] | None:
    """``{"tool_id", "extra_content"}`` out of redacted data, or None when there is no such thing in it."""
    value = _unpack(data)
    if not isinstance(value, dict) or not isinstance(value.get("tool_id"), str):
        return None
    return {"tool_id": value["tool_id"], "extra_content": value.get("extra_content")}


def _pack(value: Any) -> str:
    return PREFIX + urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode("ascii")


def _unpack(text: str) -> Any:
    if not is_ours(text):
        return None
    packed = text.removeprefix(PREFIX)
    try:
        return orjson.loads(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (
        binascii.Error,
        ValueError,
    ):  # orjson.JSONDecodeError is a ValueError, as is text beyond ASCII
        return None


def _without_text(entry: dict[str, Any], thinking: str | None) -> dict[str, Any]:
    if entry.get("type") != "reasoning.text":
        return entry
    if thinking is not None and entry.get("text") == thinking:
        return {key: value for key, value in entry.items() if key != "text"}
    # An entry that never had a text is told apart from one whose text was left out by an explicit null.
    return entry if "text" in entry else {**entry, "text": None}


def _with_text(entry: dict[str, Any], thinking: str) -> dict[str, Any]:
    if entry.get("type") != "reasoning.text":
        return entry
    if "text" not in entry:
        return {**entry, "text": thinking}
    if entry["text"] is None:
        return {key: value for key, value in entry.items() if key != "text"}
    return entry

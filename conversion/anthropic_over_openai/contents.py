"""Reads the ``content`` of a message or a delta: text, or a list of parts."""

from collections.abc import Iterator
from typing import Any

from conversion.anthropic_over_openai.facts import Facts


def read_content(content: Any, facts: Facts) -> Iterator[tuple[str, str]]:
    """("text", "refusal" or "thinking"; text) for each part that is not empty. Other parts are noted."""
    if isinstance(content, str):
        if content:
            yield "text", content
        return
    if not isinstance(content, list):
        return
    for part in content:
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if kind in ("text", "refusal"):
            yield from _one(kind, part.get(kind))
        elif kind == "thinking":  # Mistral: the value is again a list of text parts
            for _, text in read_content(part.get("thinking"), facts):
                yield "thinking", text
        else:
            facts.note_dropped(f"content.{str(kind)[:40]}", "a Messages answer has no such part")


def _one(kind: str, text: Any) -> Iterator[tuple[str, str]]:
    if isinstance(text, str) and text:
        yield kind, text

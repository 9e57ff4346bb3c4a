"""Finds secrets that a stream spreads over many events: no line of it holds one, its reader sees it all the same.

Every event that is JSON is decoded, texts at the same place of successive events are put together, and what is secret
in the whole is taken out of its parts. Lines in which nothing is found stay as they are, byte for byte.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

DEPTH_MAX = 12


class Span(NamedTuple):
    """A place in a text, and what is to stand there instead."""

    start: int
    end: int
    replacement: bytes


FindSpans = Callable[[bytes], list[Span]]


@dataclass(slots=True)
class _Line:
    """One line; ``event`` is its decoded JSON, None where it holds none."""

    text: bytes
    head: bytes = b""
    event: Any = None
    is_changed: bool = False

    def written(self) -> bytes:
        if not self.is_changed:
            return self.text
        end = b"\r" if self.text.endswith(b"\r") else b""
        return self.head + orjson.dumps(self.event) + end


@dataclass(slots=True)
class _Part:
    """A text inside an event: ``holder[member]``."""

    line: _Line
    holder: Any
    member: Any

    @property
    def text(self) -> bytes:
        told: str = self.holder[self.member]
        return told.encode()

    def put(self, text: bytes) -> None:
        self.holder[self.member] = text.decode("utf-8", "replace")
        self.line.is_changed = True


def is_stream(text: bytes) -> bool:
    """Whether the text is a stream of events, or of lines of JSON (Ollama)."""
    start = text[:64].lstrip()
    if start.startswith(b"{"):
        return b"\n{" in text
    return b"data:" in text[:4096] and start.startswith(
        (b"data:", b"event:", b":", b"id:", b"retry:")
    )


def mask_across_events(text: bytes, limit: int, find_spans: FindSpans) -> tuple[bytes, int]:
    """The stream without the secrets in what its reader puts together from event to event, and the limit in it."""
    lines = [_read_line(line) for line in text.split(b"\n")]
    parts: dict[tuple[Any, ...], list[_Part]] = {}
    for line in lines:
        if line.event is not None:
            for place, holder, member in _texts_in(line.event, ()):
                parts.setdefault(place, []).append(_Part(line, holder, member))
    for together in parts.values():
        if len(together) > 1:
            _mask_parts(together, find_spans)
    return b"\n".join(line.written() for line in lines), _moved(lines, limit)


def _read_line(text: bytes) -> _Line:
    stripped = text.strip()
    payload = stripped.removeprefix(b"data:").lstrip()
    if not payload.startswith(b"{"):
        return _Line(text)
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return _Line(text)
    return _Line(text, b"data: " if stripped.startswith(b"data:") else b"", event)


def _texts_in(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """The texts in an event, each with its place: the names on the way, and the ``index`` that tells blocks apart."""
    if len(place) > DEPTH_MAX:
        return
    if isinstance(value, dict):
        members: Any = value.items()
        index = value.get("index")
        here = (*place, index) if isinstance(index, int) else place
    else:
        members = enumerate(value)
        here = place
    for member, inner in members:
        if isinstance(inner, str):
            yield (*here, member), value, member
        elif isinstance(inner, dict | list):
            yield from _texts_in(inner, (*here, member))


def _mask_parts(parts: list[_Part], find_spans: FindSpans) -> None:
    texts = [part.text for part in parts]
    if len(set(texts)) == 1:  # an id or a name that every event repeats
        return
    whole = b"".join(texts)
    end = 0
    bounds = [(end, end := end + len(text)) for text in texts]
    spans = find_spans(whole)
    if not spans:
        return
    for part, (start, end) in zip(parts, bounds, strict=True):
        _cut_out(part, whole, start, end, spans)


def _cut_out(part: _Part, whole: bytes, start: int, end: int, spans: list[Span]) -> None:
    pieces = []
    at = start
    for span in spans:
        if span.end <= start or span.start >= end:
            continue
        if span.start >= start:
            pieces += [whole[at : span.start], span.replacement]
        at = min(span.end, end)
    if at > start or pieces:
        part.put(b"".join([*pieces, whole[at:end]]))


def _moved(lines: list[_Line], limit: int) -> int:
    """Where a limit in the stream as it came lies in the stream as it is written; a changed line is not cut in two."""
    came = moved = 0
    for line in lines:
        written = len(line.written())
        if came + len(line.text) >= limit:
            is_whole = came + len(line.text) == limit
            if line.is_changed:
                return moved + written if is_whole else moved
            return moved + limit - came
        came += len(line.text) + 1
        moved += written + 1
    return moved

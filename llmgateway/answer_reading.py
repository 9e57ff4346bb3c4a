"""What a model said, out of an answer in a client's dialect, whole or streamed: for people to read and compare.

Forgiving: what came of an answer that was cut or broke off is told, and what is no answer tells nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from conversion.errors import GatewayError
from conversion.sse import Frames


@dataclass(slots=True)
class ReadAnswer:
    """What was said. ``calls`` are tools with their arguments as they were written; ``finish`` is the dialect's own word."""

    text: str = ""
    thinking: str = ""
    calls: list[str] = field(default_factory=list)
    finish: str = ""
    error: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing could be read."""
        return not (self.text or self.thinking or self.calls or self.error)


@dataclass(frozen=True, slots=True)
class Said:
    """What one event adds: text, thinking, or a piece of a tool's call, of which the first one is the tool's name."""

    kind: Literal["text", "thinking", "call"]
    text: str
    call: int = 0


class EventReader:
    """Reads a streamed answer as it comes."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._calls: dict[Any, list[str]] = {}
        self._told: dict[Any, int] = {}

    def feed(self, raw: bytes) -> list[Said]:
        """What the events say that are whole now."""
        try:
            frames = self._frames.feed(raw)
        except GatewayError:
            return []
        events = (_object(bytes(data)) for _event, data in frames)
        return [said for event in events if event for said in self._added(event)]

    def _added(self, event: dict[str, Any]) -> Iterator[Said]:
        added = ReadAnswer()
        _read_event(event, added, self._calls)
        if added.thinking:
            yield Said("thinking", added.thinking)
        if added.text:
            yield Said("text", added.text)
        for number, (index, pieces) in enumerate(self._calls.items()):
            for piece in pieces[self._told.get(index, 0) :]:
                yield Said("call", piece, number)
            self._told[index] = len(pieces)


def read_answer(body: str) -> ReadAnswer:
    """The answer in a body of either dialect."""
    raw = body.encode("utf-8", "replace")
    whole = _object(raw)
    read = ReadAnswer()
    if whole is not None:
        _read_whole(whole, read)
        return read
    calls: dict[Any, list[str]] = {}
    for event in _events(raw):
        _read_event(event, read, calls)
    read.calls = [f"{name}({''.join(pieces)})" for name, *pieces in calls.values()]
    return read


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else {}


def _events(raw: bytes) -> Iterator[dict[str, Any]]:
    frames = Frames()
    try:
        found = [*frames.feed(raw), *frames.close()]
    except GatewayError:
        return
    for _event, data in found:
        told = _object(bytes(data))
        if told:
            yield told


def _read_whole(body: dict[str, Any], read: ReadAnswer) -> None:
    _read_error(body, read)
    for block in _list(body.get("content")):  # Anthropic
        match block.get("type"):
            case "text":
                read.text += _text(block.get("text"))
            case "thinking":
                read.thinking += _text(block.get("thinking"))
            case "tool_use":
                written = orjson.dumps(block.get("input")).decode()
                read.calls.append(f"{_text(block.get('name'))}({written})")
    read.finish = _text(body.get("stop_reason"))
    for choice in _list(body.get("choices"))[:1]:  # OpenAI
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        read.text += _text(message.get("content")) or _text(choice.get("text"))
        read.thinking += _text(message.get("reasoning")) or _text(message.get("reasoning_content"))
        for call in _list(message.get("tool_calls")):
            function = _dict(call.get("function"))
            read.calls.append(f"{_text(function.get('name'))}({_text(function.get('arguments'))})")
        read.finish = _text(choice.get("finish_reason"))
    data = _list(body.get("data"))
    if data and "embedding" in data[0]:
        read.text = f"{len(data)} embedding{'' if len(data) == 1 else 's'}"


def _read_event(event: dict[str, Any], read: ReadAnswer, calls: dict[Any, list[str]]) -> None:
    _read_error(event, read)
    block, delta = _dict(event.get("content_block")), _dict(event.get("delta"))
    if block.get("type") == "tool_use":
        calls[event.get("index")] = [_text(block.get("name"))]
    read.text += _text(block.get("text")) + _text(delta.get("text"))
    read.thinking += _text(delta.get("thinking"))
    if event.get("index") in calls:
        calls[event.get("index")].append(_text(delta.get("partial_json")))
    read.finish = _text(delta.get("stop_reason")) or read.finish
    for choice in _list(event.get("choices"))[:1]:
        said = _dict(choice.get("delta"))
        read.text += _text(said.get("content")) or _text(choice.get("text"))
        read.thinking += _text(said.get("reasoning")) or _text(said.get("reasoning_content"))
        for call in _list(said.get("tool_calls")):
            function = _dict(call.get("function"))
            pieces = calls.setdefault(call.get("index"), [_text(function.get("name"))])
            pieces.append(_text(function.get("arguments")))
        read.finish = _text(choice.get("finish_reason")) or read.finish


def _read_error(body: dict[str, Any], read: ReadAnswer) -> None:
    error = body.get("error")
    if error:
        read.error = _text(_dict(error).get("message")) or _text(error) or "The answer is an error."


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

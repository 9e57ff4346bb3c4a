"""What both dialects' streams have in common while their texts are edited: one text for each block or choice."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from conversion.editing.edits import TextEdit
from conversion.editing.windows import EditedText
from conversion.sse import Frames


class Event(NamedTuple):
    """One event. ``value`` is empty where the data is no object."""

    name: bytes
    data: bytes
    value: dict[str, Any]


class EditedEvents(Protocol):
    """The events of one stream in one dialect, their texts edited."""

    def edit(self, frame: bytes) -> bytes:
        """What one whole frame makes due; the frame's own bytes where nothing changed."""
        ...

    def release(self) -> bytes:
        """Events with all that is held back: no more text comes."""
        ...


class Texts:
    """The texts of one stream, by the index of their block or choice."""

    def __init__(self, edits: Sequence[TextEdit], window_chars: int) -> None:
        self._edits = edits
        self._window_chars = window_chars
        self._by_index: dict[Any, EditedText] = {}

    def push(self, index: Any, piece: str) -> str:
        """What may be said of that text after one more piece."""
        text = self._by_index.get(index)
        if text is None:
            text = self._by_index[index] = EditedText(self._edits, window_chars=self._window_chars)
        return text.push(piece)

    def finish(self, index: Any) -> str:
        """What was held back of that text."""
        text = self._by_index.get(index)
        return text.finish() if text is not None else ""

    def finish_all(self) -> list[tuple[Any, str]]:
        """Every text of which something was held back, and what."""
        rests = [(index, text.finish()) for index, text in self._by_index.items()]
        return [(index, rest) for index, rest in rests if rest]

    def __contains__(self, index: Any) -> bool:
        return index in self._by_index


class FrameReader:
    """Reads whole frames one by one."""

    def __init__(self) -> None:
        self._frames = Frames()

    def read(self, frame: bytes) -> Event:
        """The event in a frame. What is no JSON object is for the client to make sense of, as it is unedited."""
        for event, data in self._frames.read(frame):
            try:
                value = orjson.loads(data)
            except orjson.JSONDecodeError:
                value = None
            return Event(event, data, value if isinstance(value, dict) else {})
        return Event(b"", b"", {})

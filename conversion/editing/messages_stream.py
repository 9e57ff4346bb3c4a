"""Edits the text deltas of Anthropic's stream events; every other event passes as it came."""

from collections.abc import Sequence

from conversion.editing.edits import TextEdit
from conversion.editing.streams import Event, FrameReader, Texts
from conversion.sse import write_anthropic_event


class EditedMessagesEvents:
    """Implements :class:`conversion.editing.streams.EditedEvents`."""

    def __init__(self, edits: Sequence[TextEdit], window_chars: int) -> None:
        self._texts = Texts(edits, window_chars)
        self._reader = FrameReader()

    def edit(self, frame: bytes) -> bytes:
        """What one whole frame makes due."""
        event = self._reader.read(frame)
        match event.value.get("type"):
            case "content_block_delta":
                return self._edit_piece(frame, event, "delta", "text_delta")
            case "content_block_start":
                return self._edit_piece(frame, event, "content_block", "text")
            case "content_block_stop":
                index = _index(event)
                rest = self._texts.finish(index)
                return (_delta(index, rest) if rest else b"") + frame
            case "message_delta" | "message_stop" | "error":
                # Every text must have been told whole by now, also that of a block that nobody stopped.
                return self.release() + frame
        return frame

    def release(self) -> bytes:
        """Deltas with what is held back of each block."""
        return b"".join(_delta(index, rest) for index, rest in self._texts.finish_all())

    def _edit_piece(self, frame: bytes, event: Event, holder: str, kind: str) -> bytes:
        """A piece of text in a delta, or, which the format allows, at the start of a block."""
        held = event.value.get(holder)
        if not isinstance(held, dict) or held.get("type") != kind:
            return frame
        piece = held.get("text")
        if not isinstance(piece, str):
            return frame
        text = self._texts.push(_index(event), piece)
        if text == piece:
            return frame
        if not text and holder == "delta":
            return b""
        value = {**event.value, holder: {**held, "text": text}}
        return write_anthropic_event(event.value["type"], value)


def _index(event: Event) -> int:
    index = event.value.get("index")
    return index if isinstance(index, int) else 0


def _delta(index: int, text: str) -> bytes:
    delta = {"type": "text_delta", "text": text}
    event = {"type": "content_block_delta", "index": index, "delta": delta}
    return write_anthropic_event("content_block_delta", event)

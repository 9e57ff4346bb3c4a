"""Edits what the choices of OpenAI's chunks say; every other member passes as it came.

What is held back comes out as a chunk of its own before the one with the finish reason, because there are clients that
read no further than that word. It also comes out before a tool call: there the text is over in all that is known, and
a client that shows what comes would otherwise show half a sentence for as long as the call is written.
"""

from collections.abc import Sequence
from typing import Any

from conversion.dialects import Dialect
from conversion.editing.edits import TextEdit
from conversion.editing.streams import FrameReader, Texts
from conversion.sse import is_end_mark, write_openai_chunk

OWN = ("choices", "usage")
"""Members of a chunk that belong to it alone, and not to one that is made after it."""


class EditedChunks:
    """Implements :class:`conversion.editing.streams.EditedEvents`, for chats and for old completions."""

    def __init__(self, dialect: Dialect, edits: Sequence[TextEdit], window_chars: int) -> None:
        self._is_chat = dialect is Dialect.OPENAI_CHAT
        self._name = "content" if self._is_chat else "text"
        self._texts = Texts(edits, window_chars)
        self._reader = FrameReader()
        self._envelope: dict[str, Any] = {}

    def edit(self, frame: bytes) -> bytes:
        """What one whole frame makes due."""
        event = self._reader.read(frame)
        chunk = event.value
        if is_end_mark(event.data) or chunk.get("error"):
            return self.release() + frame
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return frame
        self._envelope = {name: value for name, value in chunk.items() if name not in OWN}
        before: list[bytes] = []
        edited = [self._edit_choice(choice, before) for choice in choices]
        if all(new is old for new, old in zip(edited, choices, strict=True)):
            return b"".join((*before, frame))
        left = [choice for choice in edited if choice is not None]
        if left or chunk.get("usage"):
            before.append(write_openai_chunk({**chunk, "choices": left}))
        return b"".join(before)

    def release(self) -> bytes:
        """Chunks with what is held back of each choice."""
        return b"".join(self._chunk(index, rest) for index, rest in self._texts.finish_all())

    def _edit_choice(self, choice: Any, before: list[bytes]) -> Any:
        """The choice edited, the same when nothing changed, or None when there is nothing left for it to say."""
        holder = self._holder(choice)
        if not isinstance(holder, dict):
            return choice
        index, is_over = _index(choice), _is_over(choice, holder)
        is_first = index not in self._texts
        old = holder.get(self._name)
        new = self._push(index, old)
        rest = self._texts.finish(index) if is_over else ""
        if rest and old:
            new = new + rest if isinstance(new, str) else [*new, {"type": "text", "text": rest}]
        elif rest:
            before.append(self._chunk(index, rest))
        if new == old:
            return choice
        if not (new or is_first or is_over or self._says_more(holder)):
            return None
        edited = {**choice, **self._saying(new, holder)}
        if edited.get("logprobs") is not None:
            edited["logprobs"] = None  # they repeat the text unedited, token by token
        return edited

    def _holder(self, choice: Any) -> Any:
        """Where the text of a choice is."""
        return choice.get("delta") if self._is_chat and isinstance(choice, dict) else choice

    def _saying(self, text: Any, holder: dict[str, Any]) -> dict[str, Any]:
        return {"delta": {**holder, "content": text}} if self._is_chat else {"text": text}

    def _push(self, index: int, old: Any) -> Any:
        """What may be said now of a text, or of a list of parts (Mistral)."""
        if isinstance(old, str):
            return self._texts.push(index, old)
        return [self._push_part(index, part) for part in old] if isinstance(old, list) else old

    def _push_part(self, index: int, part: Any) -> Any:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        return {**part, "text": self._texts.push(index, text)} if isinstance(text, str) else part

    def _says_more(self, holder: dict[str, Any]) -> bool:
        """Whether a delta holds anything beside its text and whose it is."""
        return self._is_chat and any(
            value for name, value in holder.items() if name not in ("content", "role")
        )

    def _chunk(self, index: int, text: str) -> bytes:
        choice = {"index": index, **self._saying(text, {}), "logprobs": None, "finish_reason": None}
        return write_openai_chunk({**self._envelope, "choices": [choice]})


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _is_over(choice: dict[str, Any], delta: dict[str, Any]) -> bool:
    """Whether no more text comes: the answer has ended, or goes on with a call."""
    return bool(
        choice.get("finish_reason") or delta.get("tool_calls") or delta.get("function_call")
    )

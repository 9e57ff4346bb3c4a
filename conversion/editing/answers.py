"""Edits answers on their way to the client: whole ones, and streams through a window on each text.

What an answer says is edited, in the client's dialect; tool calls and thinking never are. Edits of bodies are for whole
answers only: a stream has no body. What is held back of a text leaves with its block's end, the finish reason, or the
end of the stream, and also when the stream fails: then before the client's error event.
"""

from collections.abc import Sequence

import orjson

from conversion.dialects import Converter, Dialect
from conversion.editing.calls import edit_body, failed
from conversion.editing.chunks_stream import EditedChunks
from conversion.editing.edits import Edit, text_edits
from conversion.editing.messages_stream import EditedMessagesEvents
from conversion.editing.streams import EditedEvents
from conversion.editing.texts import edit_answer_texts
from conversion.editing.windows import WINDOW_CHARS
from conversion.errors import UpstreamInvalid
from conversion.sse import split_frames
from conversion.watchers import AnthropicWatcher, OpenAIWatcher
from conversion.wrapping import Wrapping


class EditedAnswer(Wrapping):
    """Implements :class:`conversion.dialects.Converter` around the one that speaks to the upstream.

    A stream that breaks off without the converter's knowing must be told so by ``release``.
    """

    def __init__(
        self,
        inner: Converter,
        dialect: Dialect,
        edits: Sequence[Edit],
        *,
        window_chars: int = WINDOW_CHARS,
    ) -> None:
        super().__init__(inner)
        self._dialect = dialect
        self._edits = edits
        self._events = _make_events(dialect, edits, window_chars)
        is_messages = dialect is Dialect.ANTHROPIC_MESSAGES
        self._content = AnthropicWatcher.content if is_messages else OpenAIWatcher.content
        self._started = False
        self._content_started = False

    @property
    def request(self) -> bytes:
        """The body to send."""
        return self._inner.request

    @property
    def started(self) -> bool:
        """Whether bytes were returned by ``feed`` or ``finish``."""
        return self._started

    @property
    def content_started(self) -> bool:
        """Whether those bytes held content; what is still held back does not count."""
        return self._content_started

    def read_answer(self, body: bytes) -> bytes:
        """The client's whole answer, edited.

        Raises:
            UpstreamInvalid: the body is no answer, or is nested too deeply to be edited.
            UpstreamError: the body is an error in the clothes of a success.
            TransformationFailed: an edit left what is no answer.
        """
        written = self._inner.read_answer(body)
        answer = orjson.loads(written)
        try:
            edited, changed_by = edit_body(self._edits, edit_answer_texts, self._dialect, answer)
        except RecursionError as error:
            raise UpstreamInvalid("the answer is nested too deeply to be edited") from error
        if edited is answer:
            return written
        try:
            return orjson.dumps(edited)
        except TypeError as error:
            raise failed(changed_by, str(error)) from error

    def feed(self, data: bytes) -> bytes:
        """The client's events that one piece of the stream makes due. Raises nothing."""
        return self._edit(self._inner.feed(data))

    def finish(self) -> bytes:
        """The client's last events."""
        return self._edit(self._inner.finish())

    def release(self) -> bytes:
        """The client's events with all that is held back, for a stream that broke off."""
        return self._note(self._events.release()) if self._events is not None else b""

    def _edit(self, events: bytes) -> bytes:
        if self._events is not None:
            events = b"".join(map(self._events.edit, split_frames(events)))
            if self._inner.failure is not None or self._inner.done:
                events += self._events.release()
        return self._note(events)

    def _note(self, events: bytes) -> bytes:
        """Remember what has been given out."""
        self._started = self._started or bool(events)
        if not self._content_started and self._inner.content_started:
            self._content_started = self._content.search(events) is not None
        return events


def _make_events(dialect: Dialect, edits: Sequence[Edit], window_chars: int) -> EditedEvents | None:
    texts = text_edits(edits)
    if not texts:
        return None
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return EditedMessagesEvents(texts, window_chars)
    return EditedChunks(dialect, texts, window_chars)

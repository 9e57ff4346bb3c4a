"""One attempt of any client at Ollama's own chat API: the inner converter speaks OpenAI chat, this one the rest."""

import orjson

from conversion.dialects import Converter
from conversion.errors import TOO_DEEP, UpstreamInvalid
from conversion.ollama.answer import ChatLines
from conversion.ollama.request import write_request
from conversion.wrapping import Wrapping


class ThroughOllama(Wrapping):
    """Implements :class:`conversion.dialects.Converter` around one whose upstream speaks OpenAI chat."""

    def __init__(self, inner: Converter, *, answer_id: str, created_s: int) -> None:
        """Translate the inner converter's request.

        Raises:
            RequestInvalid: it breaks the chat dialect.
            RequestInexpressible: Ollama cannot take it.
        """
        super().__init__(inner)
        self.request: bytes = write_request(orjson.loads(inner.request), inner.report)
        self._lines = ChatLines(answer_id=answer_id, created_s=created_s)

    def drop_request(self) -> None:
        """Forget both requests: what was asked of this converter and what it sent."""
        super().drop_request()
        self.request = b""

    def read_answer(self, body: bytes) -> bytes:
        """The whole answer in the client's dialect.

        Raises:
            UpstreamInvalid: the body is no answer.
            UpstreamError: the body is an error in the clothes of a success.
        """
        try:
            chat = self._lines.write_whole(body)
        except orjson.JSONEncodeError as error:
            raise UpstreamInvalid(TOO_DEEP) from error
        return self._inner.read_answer(chat)

    def feed(self, data: bytes) -> bytes:
        """The client's events that one piece of the stream makes due. Raises nothing."""
        return self._pass(data, is_last=False)

    def finish(self) -> bytes:
        """The client's last events."""
        return self._pass(b"", is_last=True) + (b"" if self.failure else self._inner.finish())

    def _pass(self, data: bytes, *, is_last: bool) -> bytes:
        if self.failure is not None:
            return b""
        try:
            chunks = self._lines.close() if is_last else self._lines.feed(data)
        except UpstreamInvalid as error:
            self._failure = error.as_value()
            return b""
        except orjson.JSONEncodeError:
            self._failure = UpstreamInvalid(TOO_DEEP)
            return b""
        return self._inner.feed(chunks) if chunks else b""

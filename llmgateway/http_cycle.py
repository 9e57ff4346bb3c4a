"""uvicorn's cycle of one request over httptools (0.54), with short ways for what nearly every request does.

Between two ASGI messages of an answer, uvicorn looks at each header with two regular expressions and keeps what a body
may have next. An answer that is there in one piece, and a piece of a stream, need none of it: 20 of 300 us for a small
answer, 2 of 6 for an event. Each short way says whether it went; where it did not, the ASGI messages lead to the same.
Who serves the application otherwise (a test, another server) has none of this, and nothing misses it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

CLOSE = b"connection: close\r\n"


class Cycle(RequestResponseCycle):
    """One request and its answer; its transport is a ``Cork``."""

    transport: Any
    _on_gone: "Callable[[], None] | None" = None

    def watch(self, on_gone: "Callable[[], None]") -> None:
        """Have it called once the client has left before its answer was complete; at once, where it has."""
        self._on_gone = on_gone
        if self.disconnected:
            self.leave()
        else:  # the end of a long body has stopped the reading, without which nobody is seen to leave
            self.flow.resume_reading()

    def stop_watching(self) -> None:
        """It is no longer wanted."""
        self._on_gone = None

    def leave(self) -> None:
        """The client has left."""
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()

    def take_body(self) -> bytes | None:
        """The whole body, if it is here; it is nobody else's from then on. None where it must be waited for."""
        if self.more_body or self.disconnected or self.waiting_for_100_continue:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        self.flow.resume_reading()
        self.message_event.clear()
        return body

    def answer(
        self, status: int, content_type: str, headers: Mapping[str, str], body: bytes
    ) -> bool:
        """Send a whole answer in one write; whether that was possible. ``headers`` say nothing of the body.

        Raises:
            UnicodeEncodeError: a header is outside of ISO 8859-1.
        """
        head = self._head(status, content_type, headers)
        if not head:
            return False
        close = b"" if self.keep_alive else CLOSE
        self.transport.write_through(
            b"%bcontent-length: %d\r\n%b\r\n%b" % (head, len(body), close, body)
        )
        self._complete()
        return True

    def begin(self, status: int, content_type: str, headers: Mapping[str, str]) -> bool:
        """Begin an answer whose body comes in pieces; whether that was possible.

        Raises:
            UnicodeEncodeError: a header is outside of ISO 8859-1.
        """
        head = self._head(status, content_type, headers)
        if not head:
            return False
        self.chunked_encoding = True
        close = b"" if self.keep_alive else CLOSE
        self.transport.write(b"%b%btransfer-encoding: chunked\r\n\r\n" % (head, close))
        return True

    def write_piece(self, piece: bytes) -> bool:
        """Send a piece of a body that has no known length and more to come; whether that was possible."""
        if not (piece and self._is_open()):
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    def end(self, piece: bytes) -> bool:
        """Send the last piece of such a body, which may be empty; whether that was possible."""
        if not self._is_open():
            return False
        last = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        self.transport.write(last + b"0\r\n\r\n")
        self._complete()
        return True

    def _is_open(self) -> bool:
        return bool(
            self.chunked_encoding
            and not (self.response_complete or self.disconnected or self.flow.write_paused)
            and self.scope["method"] != "HEAD"
        )

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _head(self, status: int, content_type: str, headers: Mapping[str, str]) -> bytes:
        """The head but for what it says of the body and the connection, and the answer has begun; empty where uvicorn must."""
        if (
            self.response_started
            or self.disconnected
            or self.flow.write_paused
            or "connection" in headers
            or self.scope["method"] == "HEAD"
        ):
            return b""
        lines = [f"content-type: {content_type}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if not "".join(lines).isprintable():  # so that none can end early; uvicorn tells of it
            return b""
        lines.append("")
        parts = [STATUS_LINE[status]]
        for name, value in self.default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append("\r\n".join(lines).encode("latin-1"))
        self.response_started = True
        self.waiting_for_100_continue = False
        return b"".join(parts)

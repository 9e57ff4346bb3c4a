"""One connection to an upstream: HTTP/1.1, one request after the other, nothing pipelined.

Theory of operation. The loop hands what arrives to ``data_received``, which feeds llhttp (through httptools, the same
parser that the server's side uses); its callbacks note status, headers and pieces of the body. Whoever asked waits for
one future, which is resolved once there is something new. A connection is ``idle`` between two exchanges: what arrives
then was not asked for, and closes it. Measured against a general client this is a quarter of the CPU per call
(docs/contributors/measurements.md), because nothing is built that a gateway does not need: no redirects, no cookies,
no proxies from the environment, no retries.

What is refused: an answer whose head is larger than HEAD_BYTES_MAX, a switch to another protocol, a coding of the
body that was not asked for and is not known. What is waited for, waits for ever: the clocks are the caller's
(patience.py).
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import cast

import httptools
from multidict import CIMultiDict

from routing.upstream.unpacking import Unpacker

HEAD_BYTES_MAX = 256 * 1024
_CODING = b"content-encoding"
_CODING_CHARS = len(_CODING)
BUFFER_BYTES_MAX = 128 * 1024
"""So much of an answer waits for a slow reader; then the upstream is not read from, until it is read."""
WRITE_BYTES_AT_ONCE = 1024 * 1024


class BrokenOff(OSError):
    """The connection ended, or what came over it cannot be read. The text says which, and repeats nothing of it."""


class HeaderBroken(ValueError):
    """A header holds what would end it early: a line break, or a null byte."""


class Connection(asyncio.Protocol):
    """One exchange at a time: ``ask``, then ``take`` to the end, then it is idle again, or else to be closed."""

    __slots__ = (
        "_coding", "_head_bytes", "_is_asked", "_is_paused", "_is_until_close", "_keeps_alive", "_loop", "_on_lost", "_parser",
        "_pieces", "_size", "_transport", "_unpacker", "_waiter", "_whole_pieces", "_writable", "broken", "has_head",
        "is_complete", "on_body", "raw_headers", "status", "used_at",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_lost: "Callable[[Connection], None]"
    ) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        # A piece of a body: each event of a stream is one, and a call of Python for it would cost half as much again.
        self.on_body = self._pieces.append
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._is_asked = False
        self._is_paused = False
        self.broken = ""
        self.used_at = 0.0
        self._begin()

    def _begin(self) -> None:
        """Nothing of an answer has come."""
        self.status = 0
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self._coding = b""
        self.has_head = self.is_complete = self._is_until_close = self._keeps_alive = False
        self._pieces.clear()
        self._size = self._head_bytes = self._whole_pieces = 0
        self._unpacker: Unpacker | None = None

    # What the caller does

    async def ask(self, head: bytes, body: bytes) -> None:
        """Send a request, and wait until status and headers of the answer are there. ``head`` is as ``write_head`` makes it.

        Raises:
            BrokenOff: the connection is of no further use.
        """
        self._begin()
        self._is_asked = True
        if self._transport is None or self.broken:
            raise BrokenOff(self.broken or "closed the connection")
        if len(body) <= WRITE_BYTES_AT_ONCE:
            self._transport.write(_WHOLE % (head, len(body), body))
        else:
            await self._write_in_pieces(_WHOLE % (head, len(body), b""), body)
        while not self.has_head:
            await self.news()

    async def _write_in_pieces(self, head: bytes, body: bytes) -> None:
        """A large body, so that it holds nobody else up; an answer that comes before its end cuts it short."""
        transport = cast("asyncio.Transport", self._transport)
        transport.write(head)
        view = memoryview(body)
        for start in range(0, len(body), WRITE_BYTES_AT_ONCE):
            if self.broken or self.has_head:
                break
            transport.write(view[start : start + WRITE_BYTES_AT_ONCE])
            if self._writable is not None:
                await self._writable
            else:
                await asyncio.sleep(0)
        if self.has_head:  # what is left of the body is not sent, so that nothing else can be
            self._is_until_close = True

    def take(self) -> bytes | None:
        """What has come of the body since the last time; ``b""`` at its end, None where there is ``news`` to wait for.

        Raises:
            BrokenOff: the answer ended before its end.
        """
        unpacker = self._unpacker
        if unpacker is None:
            return self._take_raw()
        while True:
            try:
                if piece := unpacker.take():
                    return piece
                raw = self._take_raw()
                if raw is None:
                    return None
                if not raw:
                    unpacker.end()
                    return b""
                unpacker.feed(raw)
            except ValueError as error:
                self.fail(f"sent a body that cannot be unpacked ({error})")
                raise BrokenOff(self.broken) from error

    def _take_raw(self) -> bytes | None:
        pieces = self._pieces
        if pieces:
            piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._size = 0
            if self._is_paused:
                self._resume()
            return piece
        if self.is_complete:
            return b""
        if self.broken:
            raise BrokenOff(self.broken)
        return None

    @property
    def headers(self) -> "CIMultiDict[str]":
        """The headers of the answer so far."""
        return read_headers(self.raw_headers)

    @property
    def is_whole(self) -> bool:
        """Whether all of the answer is here, and can be taken in one piece."""
        return self.is_complete and self._unpacker is None

    @property
    def is_at_end(self) -> bool:
        """Whether all of the answer was read."""
        return self.is_complete and not self._pieces and self._unpacker is None

    @property
    def is_open(self) -> bool:
        """Whether something can be sent over it. The loop tells of an end a moment after it has begun to close."""
        transport = self._transport
        return transport is not None and not self.broken and not transport.is_closing()

    @property
    def is_reusable(self) -> bool:
        """Whether the answer is over and another request may follow."""
        return (
            self.is_complete and self._keeps_alive and not self.broken and not self._is_until_close
        )

    def rest(self) -> None:
        """The exchange is over; nothing is expected until the next."""
        self._is_asked = False
        if self._is_paused:
            self._resume()
        self._pieces.clear()

    def close(self) -> None:
        """Break it off at once, also in the middle of an answer."""
        self.broken = self.broken or "was closed"
        if self._transport is not None:
            self._transport.abort()

    def news(self) -> "asyncio.Future[None]":
        """Over once something has come, or the connection is broken; one waits at a time.

        Raises:
            BrokenOff: nothing will come.
        """
        if self.broken and not self.is_complete:
            raise BrokenOff(self.broken)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _resume(self) -> None:
        self._is_paused = False
        if self._transport is not None and not self.broken:
            self._transport.resume_reading()

    def fail(self, why: str) -> None:
        """The connection is of no further use; who waits is told."""
        self.broken = self.broken or why
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop has opened it."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        parser = self._parser
        if not self._is_asked or self.is_complete or parser is None:
            self.fail("sent what was not asked for")
            return
        if not self.has_head:
            self._head_bytes += len(data)
        else:
            self._size += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail("sent what is no HTTP")
            return
        if self.is_complete and len(self._pieces) > self._whole_pieces:
            del self._pieces[self._whole_pieces :]  # of what follows, and was not asked for
        if not self.has_head and self._head_bytes > HEAD_BYTES_MAX:
            self.fail(f"sent a head of more than {HEAD_BYTES_MAX} bytes")
            return
        if self._size > BUFFER_BYTES_MAX and not self._is_paused and not self.is_complete:
            self._is_paused = True
            cast("asyncio.Transport", self._transport).pause_reading()
        if self.has_head:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whomever. A body without a length is complete then, if the close was no failure."""
        if self._is_asked and self.has_head and self._ends_with_connection() and exc is None:
            self.is_complete = self._is_until_close = True
        self.broken = self.broken or "closed the connection"
        self._transport = self._parser = None
        self.resume_writing()
        self._wake()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The upstream reads slowly."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def _ends_with_connection(self) -> bool:
        return (
            not self.broken
            and "content-length" not in self.headers
            and "chunked" not in self.headers.get("transfer-encoding", "").lower()
        )

    # What the parser calls

    def on_message_begin(self) -> None:
        """An answer begins; the second one in a row belongs to nothing."""
        if self.is_complete:
            self.broken = "sent what was not asked for"

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; of a trailer nothing is wanted."""
        if not self.has_head:
            self.raw_headers.append((name, value))
            if len(name) == _CODING_CHARS and name.lower() == _CODING:
                self._coding = value

    def on_headers_complete(self) -> None:
        """The head is there, unless it is one of those that come before it (100, 103)."""
        parser = self._parser
        if parser is None or self.is_complete:
            return
        status = parser.get_status_code()
        if status < 200:
            return
        self.status = status
        self.has_head = True
        self._keeps_alive = parser.should_keep_alive()  # which it forgets once the body is over
        if self._coding and self._coding != b"identity":
            self._unpacker = Unpacker(self._coding.decode("latin-1"))
        if self._writable is not None:
            self.resume_writing()  # whoever sends the body need not wait any longer: none of it is wanted

    def on_message_complete(self) -> None:
        """The answer is over, or what came before it."""
        if self.has_head:
            if not self.is_complete:
                self._whole_pieces = len(self._pieces)
            self.is_complete = True
        else:
            self._head_bytes = 0
            self.raw_headers = []
            self._coding = b""


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> "CIMultiDict[str]":
    """Headers as they came, as texts."""
    return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def write_head(target: str, host: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of a POST, but for the length of its body. ``target`` is path and query as they go over the wire.

    Raises:
        HeaderBroken: it would be read as something else than was meant.
    """
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    breaks = len(lines)
    lines.append("")
    text = "\r\n".join(lines)
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise HeaderBroken("a header holds a line break or a null byte")
    return text.encode("utf-8", "surrogateescape")


_WHOLE = b"%bContent-Length: %d\r\n\r\n%b"

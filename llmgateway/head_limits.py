"""uvicorn's protocol over httptools, with bounds on a request's head, which uvicorn has none of (0.54).

Without them 50 MB of headers were taken and kept a worker busy for eight seconds, and a head that never ends held its
connection for good. What is bounded: bytes of all headers and the address together, their number, and the time in
which they must arrive. A whole head is measured once; one that comes in several pieces is measured as it comes, so
no more than the bound and one piece (256 kB) is ever held. The refusal has the parts that both dialects' clients read.

A chunked body may be followed by more headers, its trailers, which uvicorn appends to those of the head without end and
whoever asks for the head's. Here they are dropped, and held to the bound of a head where they come in several pieces.

An answer that was given before its request was read ends the connection. What is still on its way is dropped for some
seconds first: closed at once, the system would tell the client of a reset, which may take the answer with it.
"""

import asyncio
import math
from functools import cache
from typing import Any
from urllib.parse import unquote

import httptools
import orjson
from django.conf import settings
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmgateway import outcomes
from llmgateway.cork import Cork
from llmgateway.http_cycle import Cycle
from llmgateway.wire import CYCLE

TOO_LARGE = b"431 Request Header Fields Too Large"
TOO_SLOW = b"408 Request Timeout"
LINGER_S = 5.0


class HeadTooLarge(Exception):
    """Stops the parser, which hands it to ``send_400_response`` as a request that cannot be read."""


class HeadLimits(HttpToolsProtocol):
    """One connection."""

    _is_in_head = False
    _pieces_bytes = 0  # of the head under way, without its first piece
    _chunk_bytes = 0  # of the piece that is being parsed
    _messages = 0
    _chunk = 0  # the number of the chunk whose body has not begun, which the trailers' never does; 0 in any other place
    _chunks = 0
    _trailer_bytes = 0
    _is_too_large = False
    _is_lingering = False
    _is_upgrade = False
    _timer: asyncio.TimerHandle | None = None
    cycle: Any
    _served: Any = None
    """The cycle that is under way, where others wait behind it; ``cycle`` is the last one of them."""
    _idle_since = math.inf
    """In seconds of the loop's clock; without end while something is asked or answered."""

    def connection_made(self, transport: Any) -> None:
        """A client that connects has to ask for something."""
        super().connection_made(transport)
        # Settings cost a microsecond each time they are asked for.
        self._head_bytes_max, self._headers_max = settings.HEADER_BYTES_MAX, settings.HEADERS_MAX
        self._cork: Any = Cork(transport, self.loop, self._close_answered)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._stop_waiting()
        super()._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._cork.let_go()
        self._end_cycles()

    def data_received(self, data: bytes) -> None:
        """Measure a head, or trailers, that come in pieces."""
        if self._is_lingering:
            return
        head, chunk = self._is_in_head and self._messages, self._chunk
        self._chunk_bytes = len(data)
        super().data_received(data)
        if not self._is_in_head:
            if chunk and chunk == self._chunk:
                self._add_to_trailers(len(data))
            return
        if head != self._messages:  # the first piece of a head that has more to come
            self._wait_for_head()
            return
        self._pieces_bytes += len(data)
        if self._pieces_bytes > self._head_bytes_max and not self.transport.is_closing():
            self._is_too_large = True
            self._note("HeadTooLarge", 431)
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_in_head, self._pieces_bytes, self._chunk = True, 0, 0
        self._messages += 1
        self._idle_since = math.inf
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; drop a trailer. As uvicorn does it, whose own would cost each header a call more."""
        if not self._is_in_head:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_chunk_header(self) -> None:
        """A chunk begins; the last one has no body, and trailers follow."""
        self._chunks += 1
        self._chunk, self._trailer_bytes = self._chunks, 0

    def on_body(self, body: bytes) -> None:
        """Some of the body; as uvicorn takes it."""
        self._chunk = 0
        cycle = self.cycle
        if self._is_upgrade or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is over; as uvicorn takes it."""
        cycle = self.cycle
        if not (self._is_upgrade or cycle.response_complete):
            cycle.more_body = False
            cycle.message_event.set()

    def _add_to_trailers(self, count_bytes: int) -> None:
        self._trailer_bytes += count_bytes
        if self._trailer_bytes <= self._head_bytes_max or self.transport.is_closing():
            return
        if self.cycle.response_started:
            self.transport.close()
            return
        self._is_too_large = True
        told: Any = self.scope
        told[outcomes.REFUSED] = ("HeadTooLarge", 431)
        self.send_400_response("")

    def on_headers_complete(self) -> None:
        """A head is whole: measure it, if it can be too large at all."""
        self._is_in_head = False
        if self._timer is not None:
            self._stop_waiting()
        is_long = self._chunk_bytes + self._pieces_bytes > self._head_bytes_max
        if len(self.headers) > self._headers_max or (
            is_long and self._head_bytes() > self._head_bytes_max
        ):
            self._is_too_large = True
            self._note("HeadTooLarge", 431)
            raise HeadTooLarge
        self._is_upgrade = self.parser.should_upgrade() and self._should_upgrade()
        if self._is_upgrade:
            super().on_headers_complete()  # which leaves the rest to the WebSocket
        else:
            self._begin_cycle()

    def _begin_cycle(self) -> None:
        """As uvicorn does it, with our cycle, and without what ``serve`` never sets: a root path, a bound on connections."""
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        last = self.cycle
        cycle = self.cycle = Cycle(
            scope, self._cork, self.flow, self.logger, self.access_logger, self.access_log, self.server_state.default_headers,
            asyncio.Event(), self.expect_100_continue, version != "1.0" and parser.should_keep_alive(),
            self.on_response_complete,
        )  # fmt: skip
        told: Any = scope
        told[CYCLE] = cycle
        if last is None or last.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:  # as uvicorn keeps those that were sent without waiting for an answer
            self.flow.pause_reading()
            if not self.pipeline:
                self._served = last
            self.pipeline.appendleft((cycle, self.app))

    def on_response_complete(self) -> None:
        """The next request may come; as uvicorn does it, which arms a timer after each answer and cancels it with each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._served, app = self.pipeline.pop()
            self._start_asgi_task(self._served, app)
            return
        if not self._is_in_head:
            self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _unset_keepalive_if_required(self) -> None:
        """A piece has come. That ends no rest: empty lines may come for ever, and are no request."""

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, if nothing was asked for so long; else look again when that may be."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or self._idle_since == math.inf:
            return
        idle_s = self.loop.time() - self._idle_since
        if idle_s >= self.timeout_keep_alive:
            self.transport.close()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive - idle_s, self.timeout_keep_alive_handler
            )

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong, where it is one of the bounds."""
        if not self._is_too_large:
            super().send_400_response(msg)
            return
        self._refuse(
            TOO_LARGE,
            f"the headers and the address are larger than {self._head_bytes_max} bytes "
            f"(GATEWAY_HEADER_BYTES_MAX), or more than {self._headers_max} (GATEWAY_HEADERS_MAX)",
        )

    def _close_answered(self) -> None:
        """Close after an answer; where its request is still on its way, only once that is over, or seconds later."""
        if not self.cycle.more_body or self.cycle.disconnected:
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        self._is_lingering = True
        self._stop_waiting()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():  # the client knows that no more will come
            self.transport.write_eof()

    def _refuse(self, status: bytes, message: str) -> None:
        body = refusal(status, message)
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\ncontent-length: "
            + str(len(body)).encode() + b"\r\nconnection: close\r\n\r\n" + body
        )  # fmt: skip
        self._end_cycles()
        self._linger()

    def _end_cycles(self) -> None:
        """Whoever serves a request has nothing more to say here."""
        for cycle in (self._served, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
                cycle.leave()

    def _note(self, error: str, status: int, *, took_s: float = 0) -> None:
        scope = {
            "method": self.parser.get_method().decode("latin-1"),
            "path": unquote(self.url.partition(b"?")[0].decode("latin-1")),
            "headers": self.headers[: self._headers_max],
        }
        outcomes.note_unread(scope, status=status, error=error, took_s=took_s)

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(
            settings.BODY_READ_TIMEOUT_S, self._head_is_late, self._messages
        )

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self, messages: int) -> None:
        self._timer = None
        if self.transport.is_closing() or self._messages != messages:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_for_head()  # a refusal would stand amid the answer that is under way
        elif self._is_in_head:
            self._note("HeadTooSlow", 408, took_s=settings.BODY_READ_TIMEOUT_S)
            self._refuse(
                TOO_SLOW,
                f"the headers did not arrive within {settings.BODY_READ_TIMEOUT_S} s (GATEWAY_BODY_READ_TIMEOUT_S)",
            )
        else:  # nothing was ever asked
            self.transport.close()


@cache
def refusal(status: bytes, message: str) -> bytes:
    """A body that clients of both dialects read: which one it is stands in the head that was not read."""
    kind = "timeout_error" if status == TOO_SLOW else "invalid_request_error"
    return orjson.dumps(
        {
            "type": "error",
            "error": {"type": kind, "message": message, "param": None, "code": kind},
        }
    )

"""The sending side of one answer, and the pings that keep a silent one alive.

A ping is due when nothing was sent for a while, also before the answer has begun: Claude Code gives a
connection up after 300 s of silence, and many proxies after 30 to 60. One timer for each stream, re-armed
lazily: a piece that is sent only stores the time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from llmgateway.tasks import spawn

if TYPE_CHECKING:
    from accounting.snapshot import KeyPicture
    from llmgateway.exchange import ClientRequest
    from llmgateway.http_cycle import Cycle

CYCLE = "llmgateway.cycle"
"""Where the scope of a request has the server's cycle of it, if it is one with short ways (http_cycle.py)."""
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Wire:
    """Sends one HTTP answer. ``bytes_sent`` counts its body; ``client_is_gone`` is set by who watches for that.

    ``status`` is 0 until the answer has begun; ``error`` is the class of what the client was told went wrong. ``ask`` is
    what it asked, once that was read; ``key`` is whose it is, where that is known before. The cycle, where the server has
    one, knows shorter ways than messages.
    """

    __slots__ = (
        "_cycle", "_early_headers", "_early_type", "_is_sending", "_loop", "_ping", "_ping_after_s", "_send", "_sent_at", "_timer",
        "ask", "began_s", "bytes_sent", "client_is_gone", "error", "is_ended", "is_started", "key", "request_id", "status",
    )  # fmt: skip

    def __init__(self, send: Send, cycle: "Cycle | None" = None) -> None:
        self._send = send
        self._cycle = cycle
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._ping = b""
        self._ping_after_s = 0.0
        self._early_type = ""
        self._early_headers: Callable[[], Mapping[str, str]] = dict
        self._is_sending = False
        self.bytes_sent = 0
        self.client_is_gone = False
        self.is_started = False
        self.is_ended = False
        self.status = 0
        self.error = ""
        self.began_s = time.monotonic()
        self.request_id = ""
        self.key: KeyPicture | None = None
        self.ask: ClientRequest | None = None

    async def start(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        """Send status and headers; without effect if pings had to start the answer already."""
        if self.is_started:
            return
        self.is_started = True
        self.status = status
        cycle = self._cycle
        if cycle is not None and cycle.begin(status, content_type, headers):
            self._sent_at = self._loop.time()
            return
        await self._put_head(status, content_type, headers, "")

    async def write(self, data: bytes) -> None:
        """Send one piece of the body."""
        self.bytes_sent += len(data)
        cycle = self._cycle
        if cycle is not None and not self._is_sending and cycle.write_piece(data):
            self._sent_at = self._loop.time()
            return
        self._is_sending = (
            True  # as _put does it, which would cost each event of a stream a coroutine
        )
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        finally:
            self._is_sending = False
            self._sent_at = self._loop.time()

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece and finish."""
        self.stop_pings()
        self.bytes_sent += len(data)
        self.is_ended = True
        if self._cycle is not None and not self._is_sending and self._cycle.end(data):
            return
        await self._put({"type": "http.response.body", "body": data, "more_body": False})

    async def answer(
        self, status: int, content_type: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Send a whole answer; only its body, if pings had to start it already. ``headers`` say nothing of the body."""
        cycle = self._cycle
        if cycle is not None and not (self.is_started or self._is_sending):
            if self._timer is not None:
                self.stop_pings()
            if cycle.answer(status, content_type, headers, body):
                self.is_started = self.is_ended = True
                self.status = status
                self.bytes_sent = len(body)
                return
        if not self.is_started:
            self.is_started = True
            self.status = status
            await self._put_head(status, content_type, headers, str(len(body)))
        await self.end(body)

    def keep_alive(
        self,
        ping: bytes,
        *,
        after_s: float,
        content_type: str,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        """Ping from now on, whenever nothing was sent for ``after_s``; start with 200 and these headers if need be."""
        self._early_type = content_type
        self._ping = ping
        self._ping_after_s = after_s
        self._early_headers = headers
        self._timer = self._loop.call_later(after_s, self._look)

    def stop_pings(self) -> None:
        """No further ping."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _put_head(
        self, status: int, content_type: str, headers: Mapping[str, str], length: str
    ) -> None:
        texts = {"content-type": content_type, **headers}
        if length:
            texts["content-length"] = length
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in texts.items()]
        await self._put({"type": "http.response.start", "status": status, "headers": raw})

    async def _put(self, message: Message) -> None:
        self._is_sending = True
        try:
            await self._send(message)
        finally:
            self._is_sending = False
            self._sent_at = self._loop.time()

    def _look(self) -> None:
        due_at = self._sent_at + self._ping_after_s
        now = self._loop.time()
        if now >= due_at and not self._is_sending:
            spawn(self._send_ping(), name="ping")
            due_at = now + self._ping_after_s
        self._timer = self._loop.call_at(max(due_at, now + 0.01), self._look)

    async def _send_ping(self) -> None:
        if self.is_ended or self._is_sending:
            return
        await self.start(200, self._early_type, self._early_headers())
        if not self.is_ended:  # the answer may have come and gone while the start was on its way
            await self.write(self._ping)

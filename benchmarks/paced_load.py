"""Clients that keep streams open at a server of the paced upstream, and note how long each event was under way."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers import Server

MARK = re.compile(rb'(?: a(\d+))? t(\d+)"')


@dataclass
class Noted:
    """What the clients saw; times in nanoseconds.

    ``first`` is what a first event took without the time that the upstream held it: from the client to the upstream,
    and from there back. ``late`` is what each further event took.
    """

    first: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    streams: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def begun(self) -> int:
        """How many streams have begun, or failed."""
        return len(self.first) + len(self.failures)

    @property
    def events(self) -> int:
        """How many came."""
        return len(self.first) + len(self.late)


class Client(asyncio.Protocol):
    """One connection, one stream after the other until told to stop."""

    def __init__(self, request: bytes, noted: Noted, *, again: bool) -> None:
        self.request = request
        self.noted = noted
        self.again = again
        self.over = asyncio.get_running_loop().create_future()
        self._transport: Any = None
        self._asked_ns = 0
        self._has_answer = False

    def connection_made(self, transport: Any) -> None:
        """Ask."""
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._has_answer = False
        self._asked_ns = time.monotonic_ns()
        self._transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Note the events of a piece, the end, and what is no good answer."""
        now = time.monotonic_ns()
        if not self._has_answer:
            if not data.startswith(b"HTTP/1.1 200"):
                self._fail(f"answered {data[:200]!r}")
                return
            self._has_answer = True
        for arrived, left in MARK.findall(data):
            if arrived:
                held = int(left) - int(arrived)
                self.noted.first.append(now - self._asked_ns - held)
            else:
                self.noted.late.append(now - int(left))
        if b'"error"' in data:
            self._fail(f"a stream holds an error: {data[-300:]!r}")
        if data.endswith(b"0\r\n\r\n"):
            self.noted.streams += 1
            if self.again:
                self._ask()
            else:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Over; in the middle of a stream that is a failure of the server."""
        if self.again and not self.over.done() and not self._transport.is_closing():
            self.noted.failures.append(f"the connection was lost: {exc}")
        if not self.over.done():
            self.over.set_result(None)

    def _fail(self, why: str) -> None:
        self.noted.failures.append(why)
        self.again = False
        self._transport.close()

    def leave(self) -> None:
        """Hang up."""
        self.again = False
        if self._transport is not None:
            self._transport.abort()


def request_of(server: Server, path: str, body: bytes) -> bytes:
    """The bytes of a request."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\nauthorization: Bearer {server.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def open_streams(
    server: Server, path: str, body: bytes, count: int, *, over_s: float
) -> tuple[list[Client], Noted]:
    """So many clients, one after the other within ``over_s``."""
    noted = Noted()
    request = request_of(server, path, body)
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    began = loop.time()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + over_s * number / count - loop.time()))
        _transport, client = await loop.create_connection(
            lambda: Client(request, noted, again=True), "127.0.0.1", server.port
        )
        clients.append(client)
    return clients, noted


def percentile_ms(times: list[int], part: float) -> float:
    """The time that ``part`` of all stay under, in milliseconds."""
    if not times:
        return float("nan")
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] / 1e6

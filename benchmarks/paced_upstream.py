"""``python -m benchmarks.paced_upstream PORT``: a provider that streams at a steady pace to thousands at once.

Every event carries, as its text, the moment at which it left (nanoseconds of the machine's monotonic clock), so that
whoever reads it can say how long it was under way; the first carries the moment at which the request had come, too.
Raw protocols on uvloop, and a wheel of slots that each write to a share of the streams: the pace must cost little,
because it runs on the cores of what is measured.
"""

import asyncio
import os
import sys
import time
from typing import Any

import uvloop

PER_SECOND = float(os.environ.get("BENCH_PER_SECOND", "20"))
EVENTS = int(os.environ.get("BENCH_EVENTS", "100"))
SLOTS = 25
"""Slots of the wheel: 2 ms each at twenty events a second."""

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
_OPEN = b'data: {"id":"gen-bench","provider":"Bench","model":"bench/model","created":1763000000,'
_OPEN += b'"object":"chat.completion.chunk","choices":[{"index":0,"delta":'
_LAST = _OPEN + b'{},"finish_reason":"stop"}]}\n\n'
_LAST += (
    b'data: {"id":"gen-bench","object":"chat.completion.chunk","created":1763000000,"choices":[],'
)
_LAST += (
    b'"usage":{"prompt_tokens":42,"completion_tokens":100,"total_tokens":142,"cost":0.00123}}\n\n'
)
_LAST += b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    """As HTTP's chunked encoding wants it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(text: bytes) -> bytes:
    """One event with the text."""
    return chunk(_OPEN + b'{"content":"' + text + b'"},"finish_reason":null}]}\n\n')


class Wheel:
    """Streams under way, by the slot in which they write."""

    def __init__(self) -> None:
        self.slots: list[set[Stream]] = [set() for _ in range(SLOTS)]
        self.at = 0
        self._next = 0

    def add(self, stream: "Stream") -> None:
        """A stream joins a slot in turn: its first event leaves within one turn of the wheel."""
        self._next = (self._next + 1) % SLOTS
        self.slots[self._next].add(stream)

    async def turn(self) -> None:
        """Write on, until cancelled; slots that are late are made up for."""
        due = time.monotonic()
        while True:
            due += 1 / PER_SECOND / SLOTS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.at = (self.at + 1) % SLOTS
            over = [stream for stream in self.slots[self.at] if stream.write_on()]
            self.slots[self.at].difference_update(over)


class Stream(asyncio.Protocol):
    """A connection: one request after the other."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._transport: Any = None
        self._read = b""
        self._arrived_ns = 0
        self._left = 0

    def connection_made(self, transport: Any) -> None:
        """Somebody connects."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A request, or a part of one."""
        self._read += data
        head, mark, body = self._read.partition(b"\r\n\r\n")
        if not mark:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) >= int(length or b"0"):
            self._read = b""
            self._arrived_ns = time.monotonic_ns()
            self._left = EVENTS
            self._wheel.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody reads on."""
        self._left = -1

    def write_on(self) -> bool:
        """Write the next event; whether it was the last, or nobody is left to read it."""
        if self._left < 0:
            return True
        now = b" t%d" % time.monotonic_ns()
        if self._left == EVENTS:
            self._transport.write(HEAD + event(b" a%d" % self._arrived_ns + now))
        elif self._left == 0:
            self._transport.write(chunk(_LAST) + END)
            return True
        else:
            self._transport.write(event(now))
        self._left -= 1
        return False


async def main() -> None:
    """Serve until ended."""
    wheel = Wheel()
    server = await asyncio.get_running_loop().create_server(
        lambda: Stream(wheel), "127.0.0.1", int(sys.argv[1]), backlog=4096
    )
    async with server:
        await wheel.turn()


if __name__ == "__main__":
    uvloop.run(main())

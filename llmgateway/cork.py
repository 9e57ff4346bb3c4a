"""Holds an answer's head back until its body begins, so that both leave in one write.

uvicorn writes the head when it is told the status and the body when it is told that (0.54): two system calls, and two
packets, for what nearly always follows in the same moment; measured at 10 us of 300 for a small answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any

HEAD = b"HTTP/1.1 "
JOINED_BYTES_MAX = 64 * 1024
"""What is longer is written by itself: copying it would cost more than a write."""


class Cork:
    """A transport as uvicorn's cycle of one request uses it. A head leaves with the loop's next turn at the latest."""

    __slots__ = ("_close", "_held", "_loop", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        close: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._close = close
        self._held = b""

    def write(self, data: bytes) -> None:
        """Hold a head back; write what follows with it."""
        if held := self._held:
            self._held = b""
            if len(data) <= JOINED_BYTES_MAX:
                data = held + data
            else:
                self._transport.write(held)
        elif data[:9] == HEAD:
            self._held = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def write_through(self, data: bytes) -> None:
        """Write a head and its body, which are one already, behind what is held back: a 100 Continue may be."""
        if self._held:
            self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        """Write what is held back."""
        if held := self._held:
            self._held = b""
            self._transport.write(held)

    def close(self) -> None:
        """Close, once all is written."""
        self.flush()
        self._close()

    def let_go(self) -> None:
        """The connection is over: drop what is held back, and whoever closes it, who knows this in turn."""
        self._held = b""
        self._close = self._transport.close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

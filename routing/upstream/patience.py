"""The three clocks of one attempt: first byte, silence in between, and all of it.

One timer for each attempt, re-armed lazily: hearing from the upstream only stores the time, so that a stream of
a thousand pieces costs a thousand assignments and not a thousand timers. When the timer fires it looks at what
is really over; if something is, it cancels the task that waits for the upstream, and the wait turns that into
the timeout's error. A task that is busy elsewhere (writing to a slow client) is not cancelled: silence counts
only while somebody listens.
"""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import TypeVar

from routing.pictures import Timeouts
from routing.upstream.errors import FirstByteTimeout, IdleTimeout, TotalTimeout, UpstreamTimeout

T = TypeVar("T")


class Patience:
    """Wraps each wait of one attempt: ``await patience.wait_for(read())``."""

    __slots__ = (
        "_began_at",
        "_fired",
        "_heard",
        "_limits",
        "_loop",
        "_silent_since",
        "_timer",
        "_waiter",
    )

    def __init__(self, limits: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._began_at = self._silent_since = self._loop.time()
        self._heard = False
        self._fired: type[UpstreamTimeout] | None = None
        self._waiter: asyncio.Task[object] | None = None
        self._timer = self._loop.call_at(self._due_at(), self._look)

    async def wait_for(self, step: Awaitable[T]) -> T:
        """The step's result.

        Raises:
            UpstreamTimeout: a clock ran out while waiting.
        """
        self._waiter = asyncio.current_task(self._loop)
        self._silent_since = self._loop.time()
        try:
            return await step
        except asyncio.CancelledError:
            fired = self._fired
            task = self._waiter
            # The clock's own cancel is taken back; one that came from elsewhere as well must go on.
            if fired is not None and task is not None and task.uncancel() == 0:
                raise self._error(fired) from None
            raise
        finally:
            self._waiter = None

    def heard(self) -> None:
        """A piece of the answer has come."""
        if self._heard:
            return
        self._heard = True
        if self._limits.idle_s < self._limits.first_byte_s and not self._timer.cancelled():
            # The timer stands at the first byte's time: silence may be over sooner, once and never again.
            self._timer.cancel()
            self._silent_since = self._loop.time()
            self._timer = self._loop.call_at(self._due_at(), self._look)

    def stop(self) -> None:
        """No more waiting."""
        self._timer.cancel()

    def _limit_s(self) -> float:
        return self._limits.idle_s if self._heard else self._limits.first_byte_s

    def _due_at(self) -> float:
        since = self._silent_since if self._heard else self._began_at
        return min(since + self._limit_s(), self._began_at + self._limits.total_s)

    def _look(self) -> None:
        now = self._loop.time()
        due_at = self._due_at()
        if now < due_at or self._waiter is None:
            self._timer = self._loop.call_at(max(due_at, now + 0.05), self._look)
            return
        if now >= self._began_at + self._limits.total_s:
            self._fired = TotalTimeout
        else:
            self._fired = IdleTimeout if self._heard else FirstByteTimeout
        self._waiter.cancel()

    def _error(self, kind: type[UpstreamTimeout]) -> UpstreamTimeout:
        limit_s = self._limits.total_s if kind is TotalTimeout else self._limit_s()
        return kind(f"the provider did not answer in time ({kind.setting} is {limit_s:g} s)")

    def __enter__(self) -> "Patience":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

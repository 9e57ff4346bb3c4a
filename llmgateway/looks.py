"""A look at the database that all who ask at the same time share, and that nobody waits for long."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from llmgateway.postgres import waits

WAIT_S = 1.5
SILENCE_S = 5.0
"""When a connection that says nothing is given up, and the next look tries another one."""

Result = TypeVar("Result")


class SharedLook(Generic[Result]):
    """One look at a time, in a thread of its own that holds up no other work and no end of the process."""

    def __init__(self, look: Callable[[], Result], *, wait_s: float = WAIT_S) -> None:
        self._look = look
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._under_way: Future[Result] | None = None
        self._unanswered_since_s: float | None = None

    async def result(self) -> Result:
        """What the look finds that is under way, or a new one.

        Raises:
            TimeoutError: it found nothing yet; it goes on, for those who ask next.
        """
        return await asyncio.wait_for(asyncio.wrap_future(self._begin()), self._wait_s)

    def asked_for_s(self) -> float:
        """Seconds since the first look that had no answer in time, if none has had one since."""
        since_s = self._unanswered_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def _begin(self) -> "Future[Result]":
        with self._lock:
            if self._under_way is None:
                self._under_way = Future()
                self._under_way.set_running_or_notify_cancel()  # who gives up waiting ends it for nobody
                if self._unanswered_since_s is None:
                    self._unanswered_since_s = time.monotonic()
                threading.Thread(
                    target=self._run, args=[self._under_way], name="look", daemon=True
                ).start()
            return self._under_way

    def _run(self, told: "Future[Result]") -> None:
        waits.bear_silence(SILENCE_S)
        began_s = time.monotonic()
        try:
            found = self._look()
        except Exception as error:  # noqa: BLE001  (whatever it is, those who ask are told)
            self._is_over(began_s)
            told.set_exception(error)
        else:
            self._is_over(began_s)
            told.set_result(found)

    def _is_over(self, began_s: float) -> None:
        with self._lock:
            self._under_way = None
            if time.monotonic() - began_s < self._wait_s:
                self._unanswered_since_s = None

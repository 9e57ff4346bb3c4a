"""Gives memory back to the system after answers that were large.

Theory of operation. The C library keeps what was freed as long as something above it in the same heap is in use: after
answers without end up to 250 MB, for good. ``malloc_trim`` gives back every whole page that is free, wherever it lies,
in 0.1 ms for each MB, for which whoever allocates waits; with nothing to give back it takes 1 to 3 ms. So it is asked
only while the process holds clearly more than at the least, again soon where it helped or more has been added, and
else ever more rarely: what is in use now may be free later. Where the C library has no such function, nothing is done.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

EVERY_S = 5.0
AT_LEAST_EVERY_S = 60.0
GROWN_BYTES = 16 * 1024 * 1024
HELPED_BYTES = 4 * 1024 * 1024
_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """What the process holds in memory now; 0 where that is not told."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def find_trim() -> Callable[[int], int] | None:
    """The C library's ``malloc_trim``, where it has one."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


class Memory:
    """One for each process; looked at by one thread at a time."""

    def __init__(
        self,
        *,
        held: Callable[[], int] = resident_bytes,
        trim: Callable[[int], int] | None = None,
    ) -> None:
        self._held = held
        self._trim = trim or find_trim()
        self._least_bytes = self._after_bytes = held()
        self._wait_s = EVERY_S
        self._due_at_s = 0.0

    def give_back(self, now_s: float) -> int:
        """Give back what is free, if that may be much; how many bytes it was. Blocks, for a thread."""
        before = self._held()
        self._least_bytes = min(before, self._least_bytes)
        if self._trim is None or before - self._least_bytes <= GROWN_BYTES:
            return 0
        if before - self._after_bytes > GROWN_BYTES:
            self._wait_s, self._due_at_s = EVERY_S, now_s
        if now_s < self._due_at_s:
            return 0
        self._trim(0)
        self._after_bytes = self._held()
        given = before - self._after_bytes
        self._wait_s = EVERY_S if given > HELPED_BYTES else min(self._wait_s * 2, AT_LEAST_EVERY_S)
        self._due_at_s = now_s + self._wait_s
        return given

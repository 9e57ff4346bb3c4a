"""Waiting for what comes by itself, on a machine that may have other things to do.

A bound on a wait only says when to give up: it is so long that a machine under load keeps within it. Where a time is what
is promised, it is measured several times and the shortest counts: what others do on the machine only adds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE_S = 60.0
"""How long to wait for what comes within a moment on an idle machine."""
TRIES = 8


async def until(is_so: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait, while the loop goes on, until it is so."""
    give_up_at = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up_at, "it never came to be so"
        await asyncio.sleep(0.01)


def wait_until(is_so: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait in this thread until it is so."""
    give_up_at = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up_at, "it never came to be so"
        time.sleep(0.01)


async def assert_within(promised_s: float, once: Callable[[], Awaitable[float]]) -> None:
    """``once`` does it anew and tells the seconds it took; one of several times is within what is promised."""
    taken_s: list[float] = []
    while not taken_s or min(taken_s) >= promised_s:
        assert len(taken_s) < TRIES, f"promised within {promised_s} s, took {taken_s}"
        taken_s.append(await once())

"""How long a thread waits for PostgreSQL to say anything; knows nothing of what is asked, and not the driver.

Theory of operation. A server that is gone refuses connections or breaks them, and whoever asks is told. One that hangs
says nothing: behind a proxy, or on a machine that stands still, a question has no end. What the network can tell is told
by the timeouts in ``settings.py``; the rest is counted here, on this side, whatever the server does (``base.py``). A
thread that makes the process' own small look-ups says how long a silence it bears (``bear_silence``); pages, reports,
exports, roll-ups and migrations bear any, because a long question is answered late and not wrongly. When the process
stops, no wait that is under way outlives ``end_waits``: else its thread would hold up the end of the process.

A connection that was given up is closed, as nobody knows what it would have said next. What was asked may have been
done all the same: whoever asks again must bear that, as after any connection that broke.
"""

import threading
import time

SILENCE_S = 30.0
"""What the process' own threads bear: longer than any of their questions takes where the database is well."""


class Bears(threading.local):
    """What the calling thread bears; None for any silence."""

    silence_s: float | None = None


class _Stop:
    at_s: float | None = None


_bears = Bears()


def bear_silence(silence_s: float = SILENCE_S) -> None:
    """Have the calling thread give up connections that say nothing for so many seconds."""
    _bears.silence_s = silence_s


def end_waits(within_s: float) -> None:
    """Have all threads give up what they wait for now, unless it comes within so many seconds. Later waits may last."""
    _Stop.at_s = time.monotonic() + within_s


def is_over(*, began_s: float, heard_s: float, now_s: float) -> bool:
    """Whether the calling thread gives up a wait that began then, and has heard nothing since; by the monotonic clock."""
    silence_s, stop_s = _bears.silence_s, _Stop.at_s
    if silence_s is not None and now_s - heard_s > silence_s:
        return True
    return stop_s is not None and began_s < stop_s <= now_s

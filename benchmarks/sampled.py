"""``python -m benchmarks.sampled manage.py serve …``: run a program and note, 250 times a CPU second, where it is.

The kernel's profiling timer counts CPU time of the process; its signal is handled in the main thread, where the event
loop is, between two instructions: what C code does is told of the line that called it. SIGUSR1 writes what was
noted to BENCH_SAMPLES, as JSON, and begins anew. Nothing is measured around calls, so small functions look as small as
they are; threads are told apart by their own CPU clocks.
"""

import json
import os
import runpy
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY_S = 0.004
DEPTH_MAX = 60

samples: Counter[str] = Counter()
threads_s: dict[str, float] = {}


def note(_number: int, frame: FrameType | None) -> None:
    """Count the stack, innermost first: file and function."""
    words = []
    while frame is not None and len(words) < DEPTH_MAX:
        code = frame.f_code
        words.append(f"{code.co_filename}:{code.co_qualname}")
        frame = frame.f_back
    samples["\n".join(words)] += 1


def clocks() -> dict[str, float]:
    """CPU seconds of each thread so far."""
    read = {}
    for thread in threading.enumerate():
        if thread.ident is not None:
            clock = time.pthread_getcpuclockid(thread.ident)
            read[thread.name] = read.get(thread.name, 0.0) + time.clock_gettime(clock)
    return read


def tell(_number: int, _frame: FrameType | None) -> None:
    """Write, and begin anew."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    now = clocks()
    spent = {name: s - threads_s.get(name, 0.0) for name, s in now.items()}
    path = Path(os.environ["BENCH_SAMPLES"])
    path.with_suffix(".part").write_text(json.dumps({"samples": samples, "threads_s": spent}))
    path.with_suffix(".part").rename(path)
    samples.clear()
    threads_s.clear()
    threads_s.update(now)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, note)
    signal.signal(signal.SIGUSR1, tell)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.getcwd())
    runpy.run_path(sys.argv[0], run_name="__main__")

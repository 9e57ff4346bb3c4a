"""Runs a command as on a machine that has other things to do: ``.venv/bin/python -m tests.stalling pytest tests/routing``.

Its processes, all or some, are stopped for up to a second and a half, again and again. A test that fails so has a time in it
that is too short, or looks before it may. Standing still costs no CPU: other work goes on meanwhile. Linux only: it reads /proc.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

RUNS_S_MAX = 4.0
STANDS_S = (0.2, 1.5)


def started_by(pid: int) -> list[int]:
    """All processes below this one."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _state, parent, *_rest = stat.read_text().rpartition(")")[2].split()
            children[int(parent)].append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        below = children[left.pop()]
        found += below
        left += below
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def run(*command: str) -> int:
    """Run it so, to its end; its exit code."""
    chance = random.Random()
    process = subprocess.Popen([sys.executable, "-m", *command])
    stopped: list[int] = []
    try:
        while process.poll() is None:
            time.sleep(chance.uniform(0, RUNS_S_MAX))
            below = [process.pid, *started_by(process.pid)]
            share = chance.choice((0.5, 1.0))
            stopped = [pid for pid in below if chance.random() < share]
            send(stopped, signal.SIGSTOP)
            time.sleep(chance.uniform(*STANDS_S))
            send(stopped, signal.SIGCONT)
    finally:
        send(stopped, signal.SIGCONT)
        process.terminate()
    return process.wait()


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))

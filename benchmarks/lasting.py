"""``lasting``: resident memory after the start, and whether it grows while requests of all sorts go on.

All cases in turn, for so many minutes; memory is read after each turn. What it grows in the first third is caches that
fill; the slope of the rest, in MB an hour, is what would be a leak. ``--minutes 60`` is the hour of the bar; ``--rest``
lets others use the machine meanwhile. A line of JSON a minute goes to the standard error, so that a run that is cut
short has told something.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time

from benchmarks import servers
from benchmarks.ratios import cases, load, written
from benchmarks.servers import Server

START_BAR_S, MEMORY_BAR_MB, SLOPE_BAR_MB_H = 3.0, 130.0, 12.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--rest", type=float, default=0, help="seconds of nothing after each turn")
    parser.add_argument("--starts", type=int, default=3, help="how often the start is measured")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--check", action="store_true", help="fail when a figure is over its bar")


def run(options: argparse.Namespace) -> None:
    """Start some times, load the last, and print."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        base = stack.enter_context(servers.upstream()).url("/api/v1")
        key = servers.prepare_gateway(folder, base, limits=True)
        starts = []
        for _number in range(options.starts - 1):
            with servers.gateway(folder, key) as gateway:
                starts.append(gateway.start_s)
        gateway = stack.enter_context(servers.gateway(folder, key))
        starts.append(gateway.start_s)
        fresh_mb = gateway.memory_mb
        points, requests = lasted(gateway, options.minutes, options.rest)
    later = points[len(points) // 3 :]
    figures = {
        "start_s": round(min(starts), 2),
        "memory_after_start_mb": round(fresh_mb, 1),
        "requests": requests,
        "memory_mb": [round(mb, 1) for _at, mb in points[:: max(1, len(points) // 12)]],
        "memory_at_end_mb": round(points[-1][1], 1),
        "slope_mb_an_hour": round(slope(later), 1) if len(later) > 2 else None,
        "growth_bytes_a_request": round(
            (later[-1][1] - later[0][1]) * 1e6 / max(1, requests * len(later) / len(points)), 1
        ),
    }
    print(json.dumps(figures, indent=1))
    if options.check:
        check(figures)


def lasted(gateway: Server, minutes: float, rest_s: float) -> tuple[list[tuple[float, float]], int]:
    """Load it: hours and MB after each turn, and how many requests that were."""
    points: list[tuple[float, float]] = []
    requests = told = 0
    began = time.monotonic()
    while time.monotonic() - began < minutes * 60:
        for case in cases(0.5):
            body = [written(case.body)]
            asyncio.run(load(gateway.url(case.path), body, [gateway.key], case.requests))
            requests += case.requests
        points.append(((time.monotonic() - began) / 3600, gateway.memory_mb))
        if points[-1][0] * 60 >= told:
            told = int(points[-1][0] * 60) + 1
            tell(points[-1], requests)
        time.sleep(rest_s)
    return points, requests


def tell(point: tuple[float, float], requests: int) -> None:
    """Where it is, on the standard error."""
    at_h, memory_mb = point
    line = {"minutes": round(at_h * 60, 1), "memory_mb": round(memory_mb, 1), "requests": requests}
    print(json.dumps(line), file=sys.stderr, flush=True)


def slope(points: list[tuple[float, float]]) -> float:
    """MB an hour, by least squares."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def check(figures: dict[str, object]) -> None:
    """Compare with the bars.

    Raises:
        SystemExit: naming what is over.
    """
    bars = {
        "start_s": START_BAR_S,
        "memory_after_start_mb": MEMORY_BAR_MB,
        "slope_mb_an_hour": SLOPE_BAR_MB_H,
    }
    for name, bar in bars.items():
        value = figures[name]
        if isinstance(value, float) and value > bar:
            raise SystemExit(f"{name} is {value}, bar {bar}")

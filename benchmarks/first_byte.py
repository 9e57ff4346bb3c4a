"""``first-byte``: what is added to the time to the first content, and to each event, by who stands in between.

STREAMS clients read paced streams (twenty events a second) without a pause: from the upstream itself, through the
pass-through, and through the gateway, in turn. For each first event the time that the upstream held it is known and
left out; what the direct way takes all the same is subtracted, percentile by percentile.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import uvloop

from benchmarks import servers
from benchmarks.paced_load import Noted, open_streams, percentile_ms
from benchmarks.ratios import CHAT, SMALL, written
from benchmarks.servers import Server

P50_BAR_MS, P99_BAR_MS = 2.0, 10.0


@contextlib.contextmanager
def paced_servers(*, events: int = 40, per_second: float = 20) -> Iterator[dict[str, Server]]:
    """The paced upstream, the pass-through and the gateway before it."""
    servers.allow_many_sockets()
    port = servers.free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        upstream = stack.enter_context(
            servers.serving(
                [sys.executable, "-m", "benchmarks.paced_upstream", str(port)],
                port,
                BENCH_EVENTS=str(events),
                BENCH_PER_SECOND=str(per_second),
            )
        )
        base = upstream.url("/api/v1")
        floor = stack.enter_context(servers.pass_through(base))
        key = servers.prepare_gateway(folder, base, limits=True)
        gateway = stack.enter_context(servers.gateway(folder, key))
        yield {"direct": upstream, "pass-through": floor, "gateway": gateway}


async def read_streams(server: Server, path: str, body: bytes, streams: int, for_s: float) -> Noted:
    """What clients see who read so many streams at once for a while."""
    clients, noted = await open_streams(server, path, body, streams, over_s=2)
    await asyncio.sleep(1)
    noted.first.clear()  # those for whom connections had to be opened
    noted.late.clear()
    await asyncio.sleep(for_s)
    for client in clients:
        client.leave()
    await asyncio.gather(*(client.over for client in clients))
    return noted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10, help="for each server and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--check", action="store_true", help="fail when a figure is over its bar")


def run(options: argparse.Namespace) -> None:
    """Measure in turn; the best round of each is what counts, as the machine is shared."""
    rounds: list[dict[str, dict[str, Any]]] = []
    asked = {
        "direct": ("/api/v1/chat/completions", {**CHAT, "stream": True}),
        "pass-through": ("/", {**CHAT, "stream": True}),
        "gateway": ("/v1/messages", {**SMALL, "stream": True}),
    }
    with paced_servers() as by_name:
        for _number in range(options.rounds):
            rounds.append({})
            for name, server in by_name.items():
                path, body = asked[name]
                noted = uvloop.run(
                    read_streams(server, path, written(body), options.streams, options.seconds)
                )
                rounds[-1][name] = told(noted)
    figures = {
        "rounds": rounds,
        "added": added(rounds, "gateway"),
        "floor": added(rounds, "pass-through"),
    }
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        print_table(rounds, figures)
    over = figures["added"]
    if options.check and (over["p50_ms"] > P50_BAR_MS or over["p99_ms"] > P99_BAR_MS):
        raise SystemExit(f"the gateway adds {over}, bars {P50_BAR_MS} and {P99_BAR_MS} ms")


def told(noted: Noted) -> dict[str, Any]:
    """The figures of one server's round.

    Raises:
        SystemExit: a stream was not served well.
    """
    if noted.failures:
        raise SystemExit(f"{len(noted.failures)} failures, the first: {noted.failures[0]}")
    return {
        "streams": len(noted.first),
        "p50_ms": round(percentile_ms(noted.first, 0.5), 2),
        "p99_ms": round(percentile_ms(noted.first, 0.99), 2),
        "event_p50_ms": round(percentile_ms(noted.late, 0.5), 2),
        "event_p99_ms": round(percentile_ms(noted.late, 0.99), 2),
    }


def added(rounds: list[dict[str, dict[str, Any]]], name: str) -> dict[str, float]:
    """What a server adds to the direct way, in the round where that is least."""
    return {
        figure: round(min(by[name][figure] - by["direct"][figure] for by in rounds), 2)
        for figure in ("p50_ms", "p99_ms", "event_p50_ms", "event_p99_ms")
    }


def print_table(rounds: list[dict[str, dict[str, Any]]], figures: dict[str, Any]) -> None:
    """Round by round, and what is added."""
    for number, by_name in enumerate(rounds, 1):
        for name, row in by_name.items():
            print(
                f"round {number}  {name:<13} first content p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms "
                f"({row['streams']} streams)   event p50 {row['event_p50_ms']:.2f} ms, p99 {row['event_p99_ms']:.2f} ms"
            )
    for name, row in (("pass-through", figures["floor"]), ("gateway", figures["added"])):
        print(
            f"{name} adds: first content p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms; "
            f"event p50 {row['event_p50_ms']:.2f} ms, p99 {row['event_p99_ms']:.2f} ms"
        )

"""``streams``: thousands of paced streams open at once in one worker: errors, late events, CPU and memory of each.

The load and the upstream run on the same machine; what the gateway itself takes is told by its own CPU time. A
worker is saturated where that nears one second a second: from there on events are late, and the next number of
streams says by how much.
"""

import argparse
import asyncio
import json
import time
from typing import Any

import uvloop

from benchmarks.first_byte import paced_servers
from benchmarks.paced_load import Noted, open_streams, percentile_ms
from benchmarks.ratios import CHAT, SMALL, written
from benchmarks.servers import Server

MEMORY_BAR_KB = 60
OPEN_S = 40.0
WAYS = {
    "converted": ("gateway", "/v1/messages", {**SMALL, "stream": True}),
    "same dialect": ("gateway", "/v1/chat/completions", {**SMALL, "stream": True}),
    "pass-through": ("pass-through", "/", {**CHAT, "stream": True}),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--streams", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--per-second", type=float, default=20, help="events of each stream")
    parser.add_argument("--seconds", type=float, default=8, help="for each number of streams")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument(
        "--prompt-kb",
        type=int,
        default=0,
        help="size of each prompt: coding agents send 150 and more",
    )
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument(
        "--check", action="store_true", help="fail when a stream failed or memory is over its bar"
    )


def run(options: argparse.Namespace) -> None:
    """Measure each way with each number of streams."""
    figures: list[dict[str, Any]] = []
    for way in options.ways:
        name, path, body = WAYS[way]
        body = {**body, "messages": with_prompt(body["messages"], options.prompt_kb)}
        # New servers for each way: memory is measured from what a start leaves.
        with paced_servers(events=10**6, per_second=options.per_second) as by_name:
            server = by_name[name]
            warm_up(server, path, written(body), by_name["direct"])
            fresh_mb = server.memory_mb
            for count in options.streams:
                row = uvloop.run(
                    hold(server, path, written(body), count, options.seconds, by_name["direct"])
                )
                row = {"way": way, "streams": count, **row}
                row["kb_a_stream"] = round((row.pop("memory_mb") - fresh_mb) * 1000 / count, 1)
                figures.append(row)
                if not options.json:
                    print(line(row), flush=True)
                time.sleep(2)  # those that hung up are booked
    if options.json:
        print(json.dumps(figures, indent=1))
    if options.check:
        check(figures)


def with_prompt(messages: list[dict[str, Any]], size_kb: int) -> list[dict[str, Any]]:
    """The messages after a prompt of so many kB."""
    if not size_kb:
        return messages
    said = "lorem ipsum dolor sit amet " * (size_kb * 1000 // 27)
    return [{"role": "user", "content": said}, {"role": "assistant", "content": "Yes."}, *messages]


def warm_up(server: Server, path: str, body: bytes, upstream: Server) -> None:
    """Have everything loaded that a first stream loads."""
    uvloop.run(hold(server, path, body, 20, 1, upstream))
    time.sleep(1)


async def hold(
    server: Server, path: str, body: bytes, count: int, for_s: float, upstream: Server
) -> dict[str, Any]:
    """Open so many streams, and look at them for a while once all are open."""
    clients, noted = await open_streams(server, path, body, count, over_s=max(1.0, count / 250))
    until = time.monotonic() + OPEN_S
    while noted.begun < count and time.monotonic() < until:  # noqa: ASYNC110  (clients only count)
        await asyncio.sleep(0.2)
    await asyncio.sleep(1)
    opened = len(noted.first)
    noted.first.clear()
    noted.late.clear()
    spent_s = [server.cpu_s, upstream.cpu_s, time.process_time()]
    began = time.monotonic()
    await asyncio.sleep(for_s)
    took_s = time.monotonic() - began
    now_s = [server.cpu_s, upstream.cpu_s, time.process_time()]
    cpu_s, upstream_s, load_s = (now - then for now, then in zip(now_s, spent_s, strict=True))
    row = told(noted, took_s, cpu_s)
    row.update(
        upstream_of_a_core=round(upstream_s / took_s, 2), load_of_a_core=round(load_s / took_s, 2)
    )
    row.update(opened=opened, memory_mb=server.memory_mb)
    for client in clients:
        client.leave()
    await asyncio.gather(*(client.over for client in clients))
    return row


def told(noted: Noted, took_s: float, cpu_s: float) -> dict[str, Any]:
    """The figures of the time in which all were open."""
    return {
        "failures": noted.failures[:3],
        "failed": len(noted.failures),
        "events_per_s": round(noted.events / took_s),
        "cpu_of_a_core": round(cpu_s / took_s, 2),
        "cpu_us_an_event": round(cpu_s / max(1, noted.events) * 1e6, 1),
        "event_p50_ms": round(percentile_ms(noted.late, 0.5), 1),
        "event_p99_ms": round(percentile_ms(noted.late, 0.99), 1),
    }


def line(row: dict[str, Any]) -> str:
    """A row as a line."""
    return (
        f"{row['way']:<13} {row['opened']:>5} of {row['streams']} streams   {row['events_per_s']:>6} events/s   "
        f"{row['cpu_us_an_event']:>5.1f} us an event   {row['cpu_of_a_core'] * 100:>4.0f} % of a core   "
        f"late p50 {row['event_p50_ms']:.1f} ms, p99 {row['event_p99_ms']:.1f} ms   "
        f"{row['kb_a_stream']} kB a stream   {row['failed']} failed   "
        f"(upstream {row['upstream_of_a_core'] * 100:.0f} %, load {row['load_of_a_core'] * 100:.0f} % of a core)"
    )


def check(figures: list[dict[str, Any]]) -> None:
    """Fail where a stream did, or needs too much memory.

    Raises:
        SystemExit: naming what.
    """
    for row in figures:
        if row["failed"]:
            raise SystemExit(f"{row['failed']} streams failed, the first: {row['failures'][0]}")
        if row["way"] != "pass-through" and row["kb_a_stream"] > MEMORY_BAR_KB:
            raise SystemExit(f"{row['kb_a_stream']} kB a stream, bar {MEMORY_BAR_KB}")

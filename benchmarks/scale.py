"""``scale``: whether a request costs more with many keys, routes and records, and what an edit among them stalls.

Two gateways stand beside each other: one with a key, an alias and no record, one with as many as wanted, asked with
its keys and aliases in turn. Rounds alternate; the ratio of the least CPU that each needed is the figure. Then the
large one is asked at a steady pace, first left alone, then with an edit of a key, then with one of a route every
second: what the percentiles gain is what a swap of the picture stalls.
"""

import argparse
import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from benchmarks import servers
from benchmarks.ratios import SMALL, Measured, measure, written
from benchmarks.servers import ROOT, Server

RATIO_BAR = 1.15
PER_SECOND = 100

MANY = """
import hashlib
VirtualKey.objects.bulk_create(
    (VirtualKey(team=team, name=f"key-{{n}}", digest=hashlib.sha256(f"gw-bench-{{n}}".encode()).hexdigest(),
                prefix="gw-benc", last_four=f"{{n % 10000:04d}}",
                requests_per_minute=10**6 if n % 10 == 0 else None)
     for n in range({keys})), batch_size=5000)
deployments = Deployment.objects.bulk_create(
    Deployment(provider=provider, upstream_model=f"bench/model-{{n}}") for n in range({routes}))
aliases = ModelAlias.objects.bulk_create(
    ModelAlias(name=f"bench-{{n}}-*" if n % 2 else f"bench-{{n}}", match="wildcard" if n % 2 else "exact")
    for n in range({routes}))
routes = Route.objects.bulk_create(Route(alias=alias) for alias in aliases)
RouteTarget.objects.bulk_create(
    RouteTarget(route=route, deployment=deployment) for route, deployment in zip(routes, deployments))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument(
        "--routes",
        type=int,
        default=2_000,
        help="aliases with a route each; every second a pattern",
    )
    parser.add_argument(
        "--records", type=int, default=100_000, help="usage records before the start"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000, help="of each round")
    parser.add_argument("--seconds", type=float, default=10, help="at a steady pace, for each sort")
    parser.add_argument("--keep", type=Path, help="keep the large folder there, and use it again")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--check", action="store_true", help="fail when a ratio is over its bar")


def run(options: argparse.Namespace) -> None:
    """Prepare both, and measure."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        base = stack.enter_context(servers.upstream()).url("/api/v1")
        small_dir, large_dir = Path(folder, "small"), options.keep or Path(folder, "large")
        small_dir.mkdir()
        small_key = servers.prepare_gateway(str(small_dir), base, limits=True)
        prepare_large(large_dir, base, options)
        small = stack.enter_context(servers.gateway(str(small_dir), small_key))
        large = stack.enter_context(servers.gateway(str(large_dir), "gw-bench-0"))
        figures = {
            "keys": options.keys,
            "routes": options.routes,
            "records": options.records,
            "start_s": [round(small.start_s, 2), round(large.start_s, 2)],
            "memory_mb": [round(small.memory_mb), round(large.memory_mb)],
            "database_mb": round((large_dir / "gateway.sqlite3").stat().st_size / 1e6),
            **compare(small, large, options),
            "edits": edits(large, large_dir, options.seconds),
            "memory_after_edits_mb": round(large.memory_mb),
        }
    print(json.dumps(figures, indent=1))
    if options.check and figures["ratio"] > RATIO_BAR:
        raise SystemExit(f"a request costs {figures['ratio']} times as much, bar {RATIO_BAR}")


def prepare_large(large_dir: Path, base: str, options: argparse.Namespace) -> None:
    """The large folder; one that was kept is given the upstream's new address."""
    if (large_dir / "gateway.sqlite3").exists():
        with contextlib.closing(sqlite3.connect(large_dir / "gateway.sqlite3")) as database:
            database.execute("UPDATE routing_provider SET base_url = ?", (base,))
            database.commit()
        return
    large_dir.mkdir(parents=True)
    many = MANY.format(keys=options.keys, routes=options.routes)
    servers.prepare_gateway(str(large_dir), base, limits=True, more=many)
    if options.records:
        words = [sys.executable, "-m", "benchmarks.million", "--out", str(large_dir)]
        subprocess.run(
            [*words, "--records", str(options.records), "--records-only"],
            cwd=ROOT,
            env=servers.clean_environment(),
            check=True,
        )


def compare(small: Server, large: Server, options: argparse.Namespace) -> dict[str, Any]:
    """CPU of a small request at both."""
    keys = [f"gw-bench-{n}" for n in range(0, options.keys, max(1, options.keys // 5000))]
    names = [f"bench-{n}-x" if n % 2 else f"bench-{n}" for n in range(options.routes)]
    ways: list[tuple[str, Server, list[bytes], list[str]]] = [
        ("small", small, [written(SMALL)], [small.key]),
        ("large", large, [written({**SMALL, "model": name}) for name in names], keys),
    ]
    measured = {name: Measured() for name, *_ in ways}
    for number in range(options.rounds + 1):
        for name, server, bodies, secrets in ways:
            cpu_us, per_second = measure(
                server, "/v1/messages", bodies, options.requests, keys=secrets
            )
            if number:
                measured[name].cpu_us.append(cpu_us)
                measured[name].per_second.append(per_second)
    least = [measured[name].least_us for name in ("small", "large")]
    return {"cpu_us": [round(us) for us in least], "ratio": round(least[1] / least[0], 2)}


def edits(large: Server, large_dir: Path, for_s: float) -> dict[str, Any]:
    """Percentiles of a paced load: alone, and with an edit of each sort every second."""
    database = large_dir / "gateway.sqlite3"
    bumps: dict[str, Callable[[], None]] = {
        "none": lambda: None,
        "a key": lambda: touch(database, "accounting_keysversion"),
        "a route": lambda: touch(database, "routing_routingversion"),
    }
    rows: dict[str, Any] = {}
    for name, bump in bumps.items():
        cpu_s = large.cpu_s
        rows[name] = uvloop.run(paced(large, for_s, bump))
        rows[name]["cpu_of_a_core"] = round((large.cpu_s - cpu_s) / for_s, 2)
    return rows


def touch(database: Path, table: str) -> None:
    """Count a version up, as every saved row does."""
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as connection:
        connection.execute(f"UPDATE {table} SET number = number + 1")
        connection.commit()


async def paced(server: Server, for_s: float, bump: Callable[[], None]) -> dict[str, Any]:
    """Ask at a steady pace whoever is slow, and bump every second; percentiles of what clients wait."""
    took: list[float] = []
    body, url = written(SMALL), server.url("/v1/messages")
    headers = {"content-type": "application/json", "authorization": f"Bearer {server.key}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask() -> None:
            began = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as reply:
                await reply.read()
                if reply.status != 200:
                    raise SystemExit(f"{reply.status}")
            took.append((time.perf_counter() - began) * 1000)

        loop = asyncio.get_running_loop()
        began, asked = loop.time(), []
        for number in range(int(for_s * PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - loop.time()))
            asked.append(asyncio.ensure_future(ask()))
            if number % PER_SECOND == PER_SECOND // 2:
                asked.append(loop.run_in_executor(None, bump))  # type: ignore[arg-type]
        await asyncio.gather(*asked)
    took.sort()
    at = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}
    row = {name: round(took[int(len(took) * part)], 1) for name, part in at.items()}
    return {**row, "max_ms": round(took[-1], 1)}

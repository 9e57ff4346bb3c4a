"""``sharing``: what PostgreSQL, Redis and a second worker add to a request, beside one worker on SQLite and a pass-through.

All with limits and a hard budget, which is what Redis is asked for. Rounds of all alternate; told is the CPU of all
workers together for each request, the least of the rounds, and as times the pass-through's. PostgreSQL's and Redis' own
is not counted. It needs a server of each: ``--postgres`` and ``--redis`` say where.
"""

import argparse
import contextlib
import json
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

from benchmarks import servers
from benchmarks.ratios import Measured, cases, measure, written
from benchmarks.servers import Server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--postgres", default="postgres://root@127.0.0.1:5432/postgres")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--ways", type=int, nargs="+", help="only these, counted from 0")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")


def run(options: argparse.Namespace) -> None:
    """Start all, measure in turn, and print."""
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(servers.upstream()).url("/api/v1")
        floor = stack.enter_context(servers.pass_through(base))
        gateways = {
            name: stack.enter_context(prepared(base, **how)) for name, how in ways(options).items()
        }
        small, streamed, *_others = cases(options.scale)
        figures: list[dict[str, Any]] = []
        for case in (small, streamed):
            took = {name: Measured() for name in ("pass-through", *gateways)}
            for number in range(options.rounds + 1):
                add_round(took["pass-through"], floor, "/", case.floor_body, case.requests, number)
                for name, gateway in gateways.items():
                    add_round(took[name], gateway, case.path, case.body, case.requests, number)
            floor_us = took["pass-through"].least_us
            figures.extend(
                {
                    "case": case.name,
                    "server": name,
                    "cpu_us": round(measured.least_us),
                    "ratio": round(measured.least_us / floor_us, 2),
                    "per_s": round(max(measured.per_second)),
                }
                for name, measured in took.items()
            )
        memory = {name: round(memory_mb(gateway)) for name, gateway in gateways.items()}
    if options.json:
        print(json.dumps({"figures": figures, "memory_mb": memory}, indent=1))
        return
    for row in figures:
        print(
            f"{row['case']:<24} {row['server']:<30} {row['cpu_us']:>6} us   {row['ratio']:>5} times   {row['per_s']} per s"
        )
    for name, mb in memory.items():
        print(f"{name}: {mb} MB for the largest worker")


def add_round(
    into: Measured, server: Server, path: str, body: dict[str, Any], requests: int, number: int
) -> None:
    """One round; the first is to warm up, and not counted."""
    cpu_us, per_second = measure(server, path, [written(body)], requests if number else 100)
    if number:
        into.cpu_us.append(cpu_us)
        into.per_second.append(per_second)


def ways(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What is compared."""
    redis, postgres = {"redis": options.redis}, {"postgres": options.postgres}
    found: dict[str, dict[str, Any]] = {
        "1 worker, SQLite": {},
        "1 worker, SQLite, Redis": redis,
        "1 worker, PostgreSQL, Redis": {**redis, **postgres},
        "2 workers, SQLite, Redis": {**redis, "workers": 2},
        "2 workers, PostgreSQL, Redis": {**redis, **postgres, "workers": 2},
    }
    names = list(found)
    chosen = range(len(names)) if options.ways is None else options.ways
    return {names[number]: found[names[number]] for number in chosen}


@contextlib.contextmanager
def prepared(
    base: str, *, workers: int = 1, postgres: str = "", redis: str = ""
) -> Iterator[Server]:
    """A gateway on databases of its own."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        environment = {}
        if redis:
            environment = {"REDIS_URL": redis, "GATEWAY_REDIS_PREFIX": f"bench-{uuid.uuid4().hex}"}
        if postgres:
            environment["DATABASE_URL"] = stack.enter_context(a_database(postgres))
        key = servers.prepare_gateway(folder, base, limits=True, **environment)
        yield stack.enter_context(servers.gateway(folder, key, workers=workers, **environment))


@contextlib.contextmanager
def a_database(url: str) -> Iterator[str]:
    """The URL of a new database on the server of another, which is dropped at the end."""
    import psycopg

    name = f"llmgateway_bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{url.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def memory_mb(server: Server) -> float:
    """Of the largest of its processes."""
    return max(Server(pid, server.port).memory_mb for pid in (server.pid, *server.workers()))

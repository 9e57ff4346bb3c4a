"""``python -m benchmarks``: the gateway beside a bare pass-through, round by round, as ratios of CPU.

What is counted is the CPU time (user + system, all threads) of the measured server process alone, from the
first request of a round to the last, divided by requests. Rounds of the two servers alternate, so that a drift
of the machine falls on both; the median of the rounds' ratios is the figure to quote.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 16


@dataclass(frozen=True)
class Case:
    """One sort of request, as the gateway gets it and as the pass-through gets it. ``bar`` is the ratio allowed."""

    name: str
    path: str
    body: dict[str, Any]
    floor_body: dict[str, Any]
    requests: int
    bar: float | None


ASK = [{"role": "user", "content": "Say something short."}]


def cases(scale: float) -> list[Case]:
    """What is measured."""
    small = {"model": "bench", "max_tokens": 100, "messages": ASK}
    chat = {"model": "bench/model", "max_tokens": 100, "messages": ASK}
    big = {
        "model": "bench",
        "max_tokens": 32000,
        "stream": True,
        "system": [
            {"type": "text", "text": "word " * 6000, "cache_control": {"type": "ephemeral"}}
        ],
        "tools": [
            {
                "name": f"Tool{number}",
                "description": "does things " * 150,
                "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
            }
            for number in range(25)
        ],
        "messages": [
            {
                "role": role,
                "content": [{"type": "text", "text": f"{number} " + "lorem ipsum " * 200}],
            }
            for number in range(30)
            for role in ("user" if number % 2 == 0 else "assistant",)
        ]
        + ASK,
    }
    return [
        Case("small, whole", "/v1/messages", small, chat, int(2000 * scale), 2.5),
        Case(
            "100 events, converted",
            "/v1/messages",
            {**small, "stream": True},
            {**chat, "stream": True},
            int(400 * scale),
            3.0,
        ),
        Case(
            "100 events, same dialect",
            "/v1/chat/completions",
            {**chat, "model": "bench", "stream": True},
            {**chat, "stream": True},
            int(400 * scale),
            None,
        ),
        Case(
            "150 kB Claude Code body",
            "/v1/messages",
            big,
            {**chat, "stream": True},
            int(200 * scale),
            None,
        ),
    ]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, all threads, to the nanosecond."""
    spent_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            spent_ns += int((task / "schedstat").read_text().split()[0])
    return spent_ns / 1e9


def resident_mb(pid: int) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(words: list[str], port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server, from when it listens until the block ends."""
    running = subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if running.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"did not start: {' '.join(words)}")
            time.sleep(0.02)
        yield running
    finally:
        running.terminate()
        running.wait(20)


def uvicorn_words(application: str, port: int) -> list[str]:
    """The command that serves an ASGI application as the gateway's own server does."""
    return [
        sys.executable, "-m", "uvicorn", application, "--port", str(port), "--loop", "uvloop", "--http", "httptools",
        "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip


def prepare_gateway(data_dir: str, upstream: str) -> str:
    """Migrate, and set up one provider, one alias and one key; the key."""
    script = f"""
from accounting import keys
from accounting.models import Team
from llmgateway.beginnings import add_target
from routing.models import *
provider = Provider.objects.create(slug="bench", kind="openrouter", base_url="{upstream}")
credential = Credential(provider=provider, label="main"); credential.seal("sk-or-bench-0000"); credential.save()
deployment = Deployment.objects.create(provider=provider, upstream_model="bench/model")
add_target(ModelAlias.objects.create(name="bench"), deployment)
print(keys.mint(Team.objects.create(slug="bench"), "bench").secret)
"""
    environment = {**os.environ, "GATEWAY_DATA_DIR": data_dir}
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    run = subprocess.run(
        [*manage, "shell", "-v0", "-c", script],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return run.stdout.strip().splitlines()[-1]


async def load(url: str, body: bytes, key: str, requests: int) -> float:
    """Send the requests over CONNECTIONS connections; requests per second."""
    headers = {"content-type": "application/json", "x-api-key": key}
    left = iter(range(requests))

    async def worker(session: aiohttp.ClientSession) -> None:
        for _number in left:
            async with session.post(url, data=body, headers=headers) as reply:
                answer = await reply.read()
                if reply.status != 200 or b"rror" in answer[:60]:
                    raise SystemExit(f"{url}: {reply.status} {answer[:300]!r}")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
        return requests / (time.perf_counter() - began)


@dataclass
class Round:
    """What one round of one server took."""

    cpu_us: float
    per_second: float


def measure(pid: int, url: str, body: bytes, key: str, requests: int) -> Round:
    """One round."""
    before = cpu_s(pid)
    per_second = asyncio.run(load(url, body, key, requests))
    time.sleep(0.15)  # the ledger's last batch belongs to the round
    return Round((cpu_s(pid) - before) / requests * 1e6, per_second)


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiplies the number of requests"
    )
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--check", action="store_true", help="fail when a ratio is over its bar")
    options = parser.parse_args()
    upstream_port, floor_port, gateway_port = free_port(), free_port(), free_port()
    base = f"http://127.0.0.1:{upstream_port}/api/v1"
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as data_dir, contextlib.ExitStack() as stack:
        stack.enter_context(
            process(uvicorn_words("benchmarks.upstream:application", upstream_port), upstream_port)
        )
        floor = stack.enter_context(
            process(
                uvicorn_words("benchmarks.passthrough:application", floor_port),
                floor_port,
                BENCH_UPSTREAM=f"{base}/chat/completions",
            )
        )
        key = prepare_gateway(data_dir, base)
        began = time.perf_counter()
        gateway = stack.enter_context(
            process(
                [sys.executable, "manage.py", "serve", "--port", str(gateway_port)],
                gateway_port,
                GATEWAY_DATA_DIR=data_dir,
            )
        )
        start_s = time.perf_counter() - began
        memory_mb = resident_mb(gateway.pid)
        for case in cases(options.scale):
            figures.append(
                run_case(
                    case, options.rounds, (floor.pid, floor_port), (gateway.pid, gateway_port), key
                )
            )
            if not options.json:
                print(line(figures[-1]), flush=True)
        summary = {
            "start_s": round(start_s, 2),
            "memory_after_start_mb": round(memory_mb, 1),
            "memory_after_load_mb": round(resident_mb(gateway.pid), 1),
        }
    print(json.dumps({"cases": figures, **summary}, indent=1) if options.json else summary)
    if options.check and any(f["bar"] and f["ratio"] > f["bar"] for f in figures):
        raise SystemExit("a ratio is over its bar")


def run_case(
    case: Case, rounds: int, floor: tuple[int, int], gateway: tuple[int, int], key: str
) -> dict[str, Any]:
    """Alternate rounds of both servers; the medians."""
    body = json.dumps(case.body, separators=(",", ":")).encode()
    floor_body = json.dumps(case.floor_body, separators=(",", ":")).encode()
    floor_url, gateway_url = (
        f"http://127.0.0.1:{floor[1]}/",
        f"http://127.0.0.1:{gateway[1]}{case.path}",
    )
    for pid, url, warm in ((floor[0], floor_url, floor_body), (gateway[0], gateway_url, body)):
        measure(pid, url, warm, key, 50)
    pairs = [
        (
            measure(floor[0], floor_url, floor_body, key, case.requests),
            measure(gateway[0], gateway_url, body, key, case.requests),
        )
        for _ in range(rounds)
    ]
    return {
        "case": case.name,
        "floor_us": round(statistics.median(a.cpu_us for a, _ in pairs)),
        "gateway_us": round(statistics.median(b.cpu_us for _, b in pairs)),
        "ratio": round(statistics.median(b.cpu_us / a.cpu_us for a, b in pairs), 2),
        "bar": case.bar,
        "gateway_per_s": round(statistics.median(b.per_second for _, b in pairs)),
        "floor_per_s": round(statistics.median(a.per_second for a, _ in pairs)),
    }


def line(figure: dict[str, Any]) -> str:
    """One case as a line."""
    bar = f" (bar {figure['bar']})" if figure["bar"] else ""
    return (
        f"{figure['case']:<26} floor {figure['floor_us']:>5} us   gateway {figure['gateway_us']:>5} us   "
        f"ratio {figure['ratio']:.2f}{bar}   {figure['gateway_per_s']} / {figure['floor_per_s']} per s"
    )


if __name__ == "__main__":
    main()

"""``ratios``: the gateway beside a bare pass-through and a LiteLLM proxy, round by round, as ratios of CPU.

What is counted is the CPU time of the measured server process alone, from the first request of a round to the last,
divided by requests: with one worker on one core, requests per second are its inverse. Rounds of the servers
alternate, so that a drift of the machine falls on all. The figure to quote is the ratio of the least that each
needed: what other work on the machine adds, it adds to the rest.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import litellm_beside, servers
from benchmarks.servers import Server

CONNECTIONS = 16
ASK = [{"role": "user", "content": "Say something short."}]
SMALL = {"model": "bench", "max_tokens": 100, "messages": ASK}
CHAT = {"model": "bench/model", "max_tokens": 100, "messages": ASK}


@dataclass(frozen=True)
class Case:
    """One sort of request, as the gateway gets it and as the pass-through gets it.

    ``bar`` is the ratio of CPU to the pass-through's that is allowed, ``litellm_bar`` how many times the CPU a LiteLLM
    proxy must need at least, ``cpu_us_bar`` the CPU that is allowed.
    """

    name: str
    path: str
    body: dict[str, Any]
    floor_body: dict[str, Any]
    requests: int
    bar: float | None = None
    litellm_bar: float | None = None
    cpu_us_bar: float | None = None


def claude_code_body() -> dict[str, Any]:
    """A streamed request of 150 kB as Claude Code sends it in the middle of its work."""
    tools = [
        {
            "name": f"Tool{number}",
            "description": "does things " * 150,
            "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
        }
        for number in range(25)
    ]
    turns = [
        {
            "role": "assistant" if number % 2 else "user",
            "content": [{"type": "text", "text": f"{number} " + "lorem ipsum " * 200}],
        }
        for number in range(30)
    ]
    system = {"type": "text", "text": "word " * 6000, "cache_control": {"type": "ephemeral"}}
    return {
        "model": "bench",
        "max_tokens": 32000,
        "stream": True,
        "system": [system],
        "tools": tools,
        "messages": turns + ASK,
    }


def cases(scale: float = 1.0) -> list[Case]:
    """What is measured, with the bars that it is held to."""
    streamed = {**CHAT, "stream": True}
    return [
        Case(
            "small, whole",
            "/v1/messages",
            SMALL,
            CHAT,
            int(2000 * scale),
            bar=2.0,
            litellm_bar=25,
        ),
        Case(
            "100 events, converted",
            "/v1/messages",
            {**SMALL, "stream": True},
            streamed,
            int(400 * scale),
            bar=3.0,
            litellm_bar=30,
        ),
        Case(
            "100 events, same dialect",
            "/v1/chat/completions",
            {**streamed, "model": "bench"},
            streamed,
            int(400 * scale),
            bar=1.67,
        ),
        Case(
            "150 kB Claude Code body",
            "/v1/messages",
            claude_code_body(),
            streamed,
            int(200 * scale),
            cpu_us_bar=3000,
        ),
    ]


async def load(url: str, bodies: list[bytes], keys: list[str], requests: int) -> float:
    """Send so many requests over CONNECTIONS connections, bodies and keys in turn; requests per second.

    Raises:
        SystemExit: one was not answered well.
    """
    left = iter(range(requests))

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in left:
            headers = {"content-type": "application/json"}
            headers["authorization"] = f"Bearer {keys[number % len(keys)]}"
            body = bodies[number % len(bodies)]
            async with session.post(url, data=body, headers=headers) as reply:
                answer = await reply.read()
                if reply.status != 200 or b"rror" in answer[:60]:
                    raise SystemExit(f"{url}: {reply.status} {answer[:300]!r}")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
        return requests / (time.perf_counter() - began)


def written(body: dict[str, Any]) -> bytes:
    """The body as clients send it."""
    return json.dumps(body, separators=(",", ":")).encode()


@dataclass
class Measured:
    """What a server took for one sort of request, round by round."""

    cpu_us: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)

    @property
    def least_us(self) -> float:
        """CPU of a request in the round that was disturbed least."""
        return min(self.cpu_us)


def measure(
    server: Server, path: str, bodies: list[bytes], requests: int, keys: list[str] | None = None
) -> tuple[float, float]:
    """One round: microseconds of CPU a request, requests per second."""
    before = server.cpu_s
    per_second = asyncio.run(load(server.url(path), bodies, keys or [server.key], requests))
    time.sleep(0.15)  # the ledger's last batch belongs to the round
    return (server.cpu_s - before) / requests * 1e6, per_second


@dataclass
class Beside:
    """The servers that are compared; the proxy where there is one."""

    floor: Server
    gateway: Server
    litellm: Server | None = None

    def run(self, case: Case, rounds: int) -> "Figure":
        """Alternate rounds of all; a round before the first is not counted."""
        figure = Figure(case)
        for number in range(rounds + 1):
            self.add_round(figure, is_warm_up=number == 0)
        return figure

    def add_round(self, figure: "Figure", *, is_warm_up: bool = False) -> None:
        """One further round of each."""
        case = figure.case
        lots = [
            (self.floor, "/", case.floor_body, case.requests, figure.floor),
            (self.gateway, case.path, case.body, case.requests, figure.gateway),
        ]
        if self.litellm is not None:  # needs so much that a few do
            few = max(case.requests // 20, 10)
            lots.append((self.litellm, case.path, case.body, few, figure.litellm))
        for server, path, body, requests, into in lots:
            count = min(requests, 50) if is_warm_up else requests
            cpu_us, per_second = measure(server, path, [written(body)], count)
            if not is_warm_up and cpu_us > 0:  # less, where a process of the proxy ended meanwhile
                into.cpu_us.append(cpu_us)
                into.per_second.append(per_second)


@dataclass
class Figure:
    """What a case took."""

    case: Case
    floor: Measured = field(default_factory=Measured)
    gateway: Measured = field(default_factory=Measured)
    litellm: Measured = field(default_factory=Measured)

    @property
    def ratio(self) -> float:
        """CPU of the gateway to that of the pass-through."""
        return self.gateway.least_us / self.floor.least_us

    @property
    def litellm_ratio(self) -> float | None:
        """CPU of the LiteLLM proxy to that of the gateway; None where there is none."""
        return self.litellm.least_us / self.gateway.least_us if self.litellm.cpu_us else None

    def over_bars(self) -> list[str]:
        """The bars that it is over, as sentences."""
        case, told = self.case, []
        if case.bar and self.ratio > case.bar:
            told.append(f"{case.name}: {self.ratio:.2f} times the pass-through, bar {case.bar}")
        if case.cpu_us_bar and self.gateway.least_us > case.cpu_us_bar:
            told.append(f"{case.name}: {self.gateway.least_us:.0f} us, bar {case.cpu_us_bar:.0f}")
        beside = self.litellm_ratio
        if case.litellm_bar and beside is not None and beside < case.litellm_bar:
            told.append(
                f"{case.name}: LiteLLM proxy needs {beside:.1f} times, bar {case.litellm_bar}"
            )
        return told

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        row: dict[str, Any] = {
            "case": self.case.name,
            "floor_us": round(self.floor.least_us),
            "gateway_us": round(self.gateway.least_us),
            "ratio": round(self.ratio, 2),
            "bar": self.case.bar,
            "gateway_per_s": round(max(self.gateway.per_second)),
            "floor_per_s": round(max(self.floor.per_second)),
        }
        if self.litellm_ratio is not None:
            row["litellm_us"] = round(self.litellm.least_us)
            row["litellm_ratio"] = round(self.litellm_ratio, 1)
            row["litellm_bar"] = self.case.litellm_bar
            row["litellm_per_s"] = round(max(self.litellm.per_second))
        return row

    def __str__(self) -> str:
        row = self.as_row()
        bar = f" (bar {row['bar']})" if row["bar"] else ""
        text = (
            f"{row['case']:<26} floor {row['floor_us']:>5} us   gateway {row['gateway_us']:>5} us   "
            f"ratio {row['ratio']:.2f}{bar}   {row['gateway_per_s']} / {row['floor_per_s']} per s"
        )
        if "litellm_us" not in row:
            return text
        bar = f" (bar {row['litellm_bar']})" if row["litellm_bar"] else ""
        return (
            f"{text}   LiteLLM {row['litellm_us']} us: {row['litellm_ratio']} times the gateway's{bar}, "
            f"{row['litellm_per_s']} per s"
        )


@contextlib.contextmanager
def all_servers(*, limits: bool, litellm: bool) -> Any:
    """Everything that is compared, started; how the gateway started is told by its ``start_s``."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        base = stack.enter_context(servers.upstream()).url("/api/v1")
        floor = stack.enter_context(servers.pass_through(base))
        key = servers.prepare_gateway(folder, base, limits=limits)
        gateway = stack.enter_context(servers.gateway(folder, key))
        beside = Beside(floor, gateway)
        if litellm:
            beside.litellm = stack.enter_context(litellm_beside.litellm_proxy(Path(folder), base))
        yield beside


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiplies the number of requests"
    )
    parser.add_argument(
        "--limits",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put the key under limits and a hard budget",
    )
    parser.add_argument("--cases", type=int, nargs="+", help="only these, counted from 0")
    parser.add_argument(
        "--no-litellm", action="store_true", help="leave the LiteLLM proxy out, if there is one"
    )
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--check", action="store_true", help="fail when a figure is over its bar")


def run(options: argparse.Namespace) -> None:
    """Run all cases and print a table."""
    litellm = litellm_beside.is_installed() and not options.no_litellm
    if not options.json and not litellm_beside.is_installed():
        print(litellm_beside.MISSING)
    figures: list[Figure] = []
    with all_servers(limits=options.limits, litellm=litellm) as beside:
        memory_mb = beside.gateway.memory_mb
        chosen = cases(options.scale)
        for number in options.cases or range(len(chosen)):
            case = chosen[number]
            figures.append(beside.run(case, options.rounds))
            if not options.json:
                print(figures[-1], flush=True)
        summary = {
            "start_s": round(beside.gateway.start_s, 2),
            "memory_after_start_mb": round(memory_mb, 1),
            "memory_after_load_mb": round(beside.gateway.memory_mb, 1),
        }
        if beside.litellm is not None:
            summary["litellm_start_s"] = round(beside.litellm.start_s, 2)
            summary["litellm_memory_mb"] = round(beside.litellm.memory_mb, 1)
    rows = [figure.as_row() for figure in figures]
    print(json.dumps({"cases": rows, **summary}, indent=1) if options.json else summary)
    over = [sentence for figure in figures for sentence in figure.over_bars()]
    if options.check and over:
        raise SystemExit("\n".join(over))

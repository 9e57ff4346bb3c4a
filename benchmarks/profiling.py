"""``profile``: microseconds of CPU that each step of a request takes in the gateway's own process.

A gateway is sampled while it serves one case after the other (``sampled.py``). A sample belongs to the innermost step
of the story that is on its stack; its share of the CPU, divided by requests, is the step's. ``--top`` lists functions.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.ratios import Case, cases, load, written
from benchmarks.servers import Server


@dataclass(frozen=True)
class Step:
    """A step and the code that is it: parts of file names, each with the function where only that one is meant."""

    name: str
    places: tuple[str, ...]


STEPS = (
    Step("journal: note the attempt, and its end", ("accounting/journal.py", "accounting/ledger.py:Ledger.")),
    Step("settle: entry, usage, cost", ("llmgateway/attempt.py:Attempt.settle", "accounting/pricing.py", "accounting/price_book.py", "llmgateway/attempt.py:Attempt._new_entry", "accounting/ledger.py")),
    Step("authenticate", ("accounting/keys.py", "llmgateway/auth.py")),
    Step("read the call", ("conversion/call.py", "llmgateway/attribution.py", "llmgateway/views.py:read_request")),
    Step("plan", ("routing/planning.py", "routing/ordering.py", "llmgateway/pipeline.py:plan_for")),
    Step("admit: limits and hold", ("llmgateway/admitting.py", "accounting/admission/")),
    Step("translate the request", ("llmgateway/attempt.py:Attempt.__init__",)),
    Step("translate the answer", ("llmgateway/attempt.py:Attempt.whole_answer+conversion/", "llmgateway/attempt.py:Attempt.first_events+conversion/", "llmgateway/relay.py+conversion/")),
    Step("send upstream, and read", ("routing/upstream/", "/aiohttp/", "/yarl/", "/multidict/")),
    Step("relay: answer to the client", ("llmgateway/relay.py", "llmgateway/wire.py", "llmgateway/http_cycle.py", "llmgateway/cork.py", "llmgateway/answers.py", "llmgateway/lean_handler.py:send_answer")),
    Step("pipeline: attempts, headers", ("llmgateway/pipeline.py", "llmgateway/attempt.py", "routing/cooldown.py", "routing/live.py")),
    Step("lean handler and view", ("llmgateway/lean_handler.py", "llmgateway/views.py", "llmgateway/exchange.py", "llmgateway/logs.py")),
    Step("server: parse, sockets, loop", ("/uvicorn/", "llmgateway/head_limits.py", "/asyncio/", "llmgateway/asgi.py")),
)  # fmt: skip
OTHER = "anything else"


def step_of(stack: str) -> str:
    """The step that a stack belongs to. ``conversion`` is none by itself: whoever called it says which."""
    in_conversion = False
    for place in stack.split("\n"):
        if "/conversion/" in place and "conversion/call.py" not in place:
            in_conversion = True
            continue
        for step in STEPS:
            if any(_is_at(place, wanted, in_conversion=in_conversion) for wanted in step.places):
                return step.name
    return OTHER


def _is_at(place: str, wanted: str, *, in_conversion: bool) -> bool:
    caller, mark, _callee = wanted.partition("+")
    return caller in place and (not mark or in_conversion)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument(
        "--scale", type=float, default=2.0, help="multiplies the number of requests"
    )
    parser.add_argument("--top", type=int, default=0, help="list so many functions, too")
    parser.add_argument("--cases", type=int, nargs="+", help="only these, counted from 0")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")


def run(options: argparse.Namespace) -> None:
    """Sample each case, and print its steps."""
    chosen = cases(options.scale)
    if options.cases:
        chosen = [chosen[number] for number in options.cases]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        base = stack.enter_context(servers.upstream()).url("/api/v1")
        key = servers.prepare_gateway(folder, base, limits=True)
        path = Path(folder, "samples.json")
        gateway = stack.enter_context(
            servers.gateway(
                folder, key, before=("-m", "benchmarks.sampled"), BENCH_SAMPLES=str(path)
            )
        )
        rows = [sample(gateway, case, path, options.top) for case in chosen]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"\n{row['case']}: {row['cpu_us']} us of CPU a request, {row['samples']} samples")
        for part in ("steps_us", "threads_us", "top_us"):
            for name, us in row[part].items():
                print(f"  {us:>7.1f}  {name}")


def sample(gateway: Server, case: Case, path: Path, top: int) -> dict[str, Any]:
    """The steps of one case."""
    send = [written(case.body)]
    asyncio.run(load(gateway.url(case.path), send, [gateway.key], 100))
    take(gateway, path)
    cpu_s = gateway.cpu_s
    asyncio.run(load(gateway.url(case.path), send, [gateway.key], case.requests))
    time.sleep(0.3)
    cpu_s = gateway.cpu_s - cpu_s
    taken = take(gateway, path)
    samples: Counter[str] = Counter(taken["samples"])
    threads_us = {
        f"thread {name}": s / case.requests * 1e6 for name, s in taken["threads_s"].items()
    }
    main_us = threads_us.pop("thread MainThread")
    steps: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for stack, count in samples.items():
        steps[step_of(stack)] += count
        functions[stack.partition("\n")[0].removeprefix(f"{servers.ROOT}/")] += count
    us = main_us / max(1, samples.total())
    order = [step.name for step in STEPS] + [OTHER]
    return {
        "case": case.name,
        "cpu_us": round(cpu_s / case.requests * 1e6),
        "samples": samples.total(),
        "steps_us": {name: round(steps[name] * us, 1) for name in order if steps[name]},
        "threads_us": {name: round(v, 1) for name, v in threads_us.items() if v >= 0.5},
        "top_us": {name: round(count * us, 1) for name, count in functions.most_common(top)},
    }


def take(gateway: Server, path: Path) -> dict[str, Any]:
    """What was noted since the last time.

    Raises:
        SystemExit: the gateway writes nothing.
    """
    path.unlink(missing_ok=True)
    os.kill(gateway.pid, signal.SIGUSR1)
    until = time.monotonic() + 10
    while not path.exists():
        if time.monotonic() > until:
            raise SystemExit("the gateway wrote no samples")
        time.sleep(0.05)
    taken: dict[str, Any] = json.loads(path.read_text())
    return taken

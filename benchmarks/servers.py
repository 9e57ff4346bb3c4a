"""The processes that are measured, what they are measured with, and the gateway's rows before it starts."""

import contextlib
import http.client
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_S = 90.0
OURS = ("GATEWAY_", "DATABASE_", "REDIS_", "COVERAGE_", "COV_", "PYTEST_")
"""Variables that a measured process must not take over: the machine's own settings, and a tracer of lines."""


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, which process it is, and how long it took until it was ready."""

    pid: int
    port: int
    start_s: float = 0.0
    key: str = "bench"

    def url(self, path: str) -> str:
        """Its address for a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, all threads of it and its workers, to the nanosecond."""
        spent_ns = 0
        for pid in (self.pid, *self.workers()):
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    spent_ns += int((task / "schedstat").read_text().split()[0])
        return spent_ns / 1e9

    def workers(self) -> list[int]:
        """The processes that it started."""
        started = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in started.split()]

    @property
    def memory_mb(self) -> float:
        """Resident memory in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def allow_many_sockets() -> None:
    """Raise this process's limit of open files, and with it that of what it starts."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would change the measured one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, **more}


@contextlib.contextmanager
def serving(
    words: list[str], port: int, *, ready: str = "", key: str = "bench", **environment: str
) -> Iterator[Server]:
    """A server, from when it listens (or answers 200 at the path ``ready``) until the block ends."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        running = subprocess.Popen(
            words, cwd=ROOT, env=clean_environment(**environment), stdout=log, stderr=log
        )
        try:
            while not _is_up(port, ready):
                if running.poll() is not None or time.perf_counter() - began > START_S:
                    log.seek(0)
                    told = log.read()[-2000:].decode(errors="replace")
                    raise SystemExit(f"did not start: {' '.join(words)}\n{told}")
                time.sleep(0.02)
            yield Server(running.pid, port, time.perf_counter() - began, key)
        finally:
            running.terminate()
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:  # the bare server waits for clients without end
                running.kill()
                running.wait()


def _is_up(port: int, ready: str) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        if not ready:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(asking):
            asking.request("GET", ready)
            return asking.getresponse().status == 200
    return False


def uvicorn_words(application: str, port: int) -> list[str]:
    """The command that serves an ASGI application as the gateway's own server does."""
    return [
        sys.executable, "-m", "uvicorn", application, "--port", str(port), "--loop", "uvloop", "--http", "httptools",
        "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip


def upstream(**environment: str) -> contextlib.AbstractContextManager[Server]:
    """The provider that answers at once."""
    port = free_port()
    return serving(uvicorn_words("benchmarks.upstream:application", port), port, **environment)


def pass_through(base_url: str) -> contextlib.AbstractContextManager[Server]:
    """The floor: uvicorn and aiohttp, nothing in between."""
    port = free_port()
    return serving(
        uvicorn_words("benchmarks.passthrough:application", port),
        port,
        BENCH_UPSTREAM=f"{base_url}/chat/completions",
    )


def gateway(
    data_dir: str, key: str, *, before: tuple[str, ...] = (), workers: int = 1, **environment: str
) -> contextlib.AbstractContextManager[Server]:
    """The gateway's own server on a prepared folder; ``before`` stands between the interpreter and manage.py."""
    port = free_port()
    serve = ["manage.py", "serve", "--port", str(port), "--workers", str(workers)]
    return serving(
        [sys.executable, *before, *serve],
        port,
        ready="/health/ready",
        key=key,
        GATEWAY_DATA_DIR=data_dir,
        GATEWAY_PROVIDER_CHECKS="false",
        **environment,
    )


LIMITS = """
from datetime import UTC, datetime
from accounting.models import Budget, Price
VirtualKey.objects.update(requests_per_minute=10**8, tokens_per_minute=10**9, concurrent_requests=10**5)
team = Team.objects.get()
team.requests_per_minute = 10**8; team.save()
Budget.objects.create(team=team, amount_usd=10**6)
Price.objects.create(
    provider="bench", upstream_model="bench/model", prompt_usd_per_mtok=3, completion_usd_per_mtok=15,
    valid_from_at=datetime(2026, 1, 1, tzinfo=UTC), source="bench")
"""


def prepare_gateway(
    data_dir: str, base_url: str, *, limits: bool, more: str = "", **environment: str
) -> str:
    """Migrate, and set up one provider, one alias and one key, under limits and a hard budget if wanted; the key.

    ``more`` is run after that, with ``provider``, ``deployment`` and ``team`` at hand.
    """
    script = f"""
from accounting import keys
from accounting.models import Team, VirtualKey
from llmgateway.beginnings import add_target
from routing.models import *
provider = Provider.objects.create(slug="bench", kind="openrouter", base_url="{base_url}")
credential = Credential(provider=provider, label="main"); credential.seal("sk-or-bench-0000"); credential.save()
deployment = Deployment.objects.create(provider=provider, upstream_model="bench/model")
add_target(ModelAlias.objects.create(name="bench"), deployment)
team = Team.objects.create(slug="bench")
secret = keys.mint(team, "bench").secret
{LIMITS if limits else ""}
{more}
print(secret)
"""
    surroundings = clean_environment(GATEWAY_DATA_DIR=data_dir, **environment)
    manage = [sys.executable, "manage.py"]
    for words in (["migrate", "-v0"], ["collectstatic", "-v0", "--noinput"]):  # as first_run does
        subprocess.run([*manage, *words], cwd=ROOT, env=surroundings, check=True)
    run = subprocess.run(
        [*manage, "shell", "-v0", "-c", script],
        cwd=ROOT,
        env=surroundings,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return run.stdout.strip().splitlines()[-1]

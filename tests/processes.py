"""The gateway as a process of its own, set up by its own commands, for tests that kill it."""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml
from psycopg.rows import dict_row

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parent.parent
START_S_MAX = 120
"""How long a start may take: a busy machine has other things to do."""
PREPARE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("collectstatic", verbosity=0, interactive=False)
"""
CONFIGURE = """
from django.core.management import call_command
call_command("import_config", {path!r})
call_command("create_key", team="alder", name="laptop")
"""


def free_port() -> int:
    """A port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class GatewayProcess:
    """One installation in a folder of its own; started and killed as often as a test wants."""

    straight = ""
    """Where its database is, if its own way there is a proxy's."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("GATEWAY_", "DATABASE_", "REDIS_"))
            },
            "GATEWAY_DATA_DIR": str(data_dir),
            "GATEWAY_PROVIDER_CHECKS": "false",
            "DJANGO_SETTINGS_MODULE": "llmgateway.settings",
            **environment,
        }
        self._running: subprocess.Popen[bytes] | None = None

    def manage(self, *words: str, fails: bool = False, **environment: str) -> str:
        """Run a management command; what it printed."""
        run = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert (run.returncode != 0) == fails, run.stderr
        return run.stderr if fails else run.stdout

    def begin_prepared(self) -> None:
        """Begin with tables and collected static files, as ``migrate`` and a first start make them, in 8 s less.

        A database that ``DATABASE_URL`` names is as it is: tests/conftest.py has one with tables.
        """
        if "DATABASE_URL" not in self.environment:
            shutil.copy(prepared() / "gateway.sqlite3", self.data_dir)
        (self.data_dir / "static").symlink_to(prepared() / "static")

    def set_up(self, upstream_url: str) -> str:
        """Prepare it with one provider behind every name, and make a key: that key."""
        tree: dict[str, Any] = {
            "version": 1,
            "providers": {
                "openrouter": {
                    "kind": "openrouter",
                    "base_url": upstream_url,
                    "retries": {"max": 0},
                    "credentials": [{"label": "main", "secret": "${UPSTREAM_SECRET}"}],
                }
            },
            "aliases": {
                "*": {"match": "wildcard", "targets": [{"provider": "openrouter", "model": "{1}"}]}
            },
            "teams": {"alder": {"projects": ["web"]}},
        }
        return self.set_up_as(tree, UPSTREAM_SECRET="sk-or-process")

    def set_up_as(self, tree: dict[str, Any], **environment: str) -> str:
        """Prepare it, import the configuration and make a key of team alder: that key."""
        self.begin_prepared()
        path = self.data_dir / "config.yaml"
        path.write_text(yaml.safe_dump(tree))
        program = CONFIGURE.format(path=str(path))
        return self.manage("shell", "--no-imports", "-c", program, **environment).split()[-1]

    def start(self, *, until: str = "/health/ready", workers: int = 1) -> None:
        """Start the server and wait until it is ready, or another page says 200."""
        log = (self.data_dir / "server.log").open("ab")
        self._running = subprocess.Popen(
            [
                sys.executable,
                "manage.py",
                "serve",
                "--port",
                str(self.port),
                *(["--workers", str(workers)] if workers > 1 else []),
            ],
            cwd=ROOT,
            env=self.environment,
            stdout=log,
            stderr=log,
        )
        log.close()
        give_up_at = time.monotonic() + START_S_MAX
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}{until}", timeout=10, verify=False).status_code == 200:
                    return
            assert self._running.poll() is None, self.log
            assert time.monotonic() < give_up_at, self.log
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return (self.data_dir / "server.log").read_text()

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._running is not None
        return self._running.pid

    def workers(self) -> list[int]:
        """The numbers of the processes that serve, where there are several."""
        started = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [
            int(pid)
            for pid in started
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._running is not None
        self._running.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait until it has ended; its exit code."""
        assert self._running is not None
        return self._running.wait(timeout_s)

    def kill(self) -> None:
        """End it at once, as a crash of the machine's kernel would."""
        self.signal(signal.SIGKILL)
        self.wait()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._running is not None and self._running.poll() is None

    def stop(self) -> None:
        """End it cleanly, if it runs."""
        if self._running is not None and self._running.poll() is None:
            self._running.terminate()
            self.wait()

    def records(self) -> list[dict[str, Any]]:
        """The usage rows as they lie in its database, past any proxy."""
        of_its_own = f"sqlite:///{self.data_dir}/gateway.sqlite3"
        url = self.straight or self.environment.get("DATABASE_URL", of_its_own)
        asked = "SELECT * FROM accounting_usagerecord ORDER BY id"
        if url.startswith("postgres"):
            with psycopg.connect(url, row_factory=dict_row) as database:
                return database.execute(asked).fetchall()
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.row_factory = sqlite3.Row
            return [dict(row) for row in file.execute(asked)]

    def wait_for_records(self, count: int, *, within_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """The usage rows once there are ``count`` of them."""
        until = time.monotonic() + within_s
        while len(rows := self.records()) < count:
            assert time.monotonic() < until, f"{len(rows)} usage records, not {count}"
            time.sleep(0.05)
        return rows


@cache
def prepared() -> Path:
    """A data folder with tables and collected static files and nothing in them, made once in this process: to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="llmgateway-prepared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    GatewayProcess(folder).manage("shell", "--no-imports", "-c", PREPARE)
    return folder


@contextlib.contextmanager
def gateway_process(data_dir: Path, **environment: str) -> Iterator[GatewayProcess]:
    """An installation that is stopped at the end."""
    data_dir.mkdir(parents=True, exist_ok=True)
    process = GatewayProcess(data_dir, **environment)
    try:
        yield process
    finally:
        process.stop()

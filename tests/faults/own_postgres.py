"""A PostgreSQL of a test's own, which may be stopped and started for real."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import free_port

DEBIAN = Path("/usr/lib/postgresql")
OWNER = "postgres" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""


class OwnPostgres:
    """A server at a port of this machine, whose data lie in a folder of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder / "data"
        self._log = folder / "log"
        self.url = f"postgres://root@127.0.0.1:{free_port()}"
        port = self.url.rpartition(":")[2]
        self._run("initdb", "--auth=trust", "--username=root", "--no-sync")
        (self._folder / "postgresql.auto.conf").write_text(
            f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run("pg_ctl", "start", "--wait", f"--log={self._log}")

    def stop(self, how: str = "fast") -> None:
        """Stop it: ``fast``, or ``immediate``, which is as good as a crash."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={how}")

    def _run(self, program: str, *words: str) -> None:
        run = subprocess.run(
            [self._programs / program, f"--pgdata={self._folder}", *words],
            user=OWNER,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # which a server that it starts would hold open
            stderr=subprocess.DEVNULL,
            timeout=120,
        )
        assert run.returncode == 0, self._log.read_text() if self._log.exists() else program


def find_programs() -> Path | None:
    """The folder with the server's programs: Debian's newest, or where ``initdb`` is."""
    debians = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = debians[-1] if debians else shutil.which("initdb")
    return Path(found).parent if found else None


@contextlib.contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """One that runs, and is gone after it; skipped where PostgreSQL's programs are not installed."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed here.")
    with tempfile.TemporaryDirectory(prefix="llmgateway-postgres-") as name:
        if OWNER is not None:
            shutil.chown(name, OWNER)
        server = OwnPostgres(programs, Path(name))
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")

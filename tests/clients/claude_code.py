"""Claude Code itself, as npm installs it, run without a terminal and without a way past loopback."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.house import House
from tests.processes import ROOT

FOLDER = ROOT / ".venv" / "claude-code"
PROGRAM = FOLDER / "node_modules" / ".bin" / "claude"
INSTALLED = ".venv/claude-code/installed"
RUN_S = 200.0
TURNS_MAX = "8"
# Whatever it would ask of the world goes to a port where nobody listens.
NOWHERE = "http://127.0.0.1:9"


@dataclass
class Run:
    """One run: its exit code, and the result that it printed as JSON."""

    code: int
    result: dict[str, Any]


@dataclass
class ClaudeCode:
    """Claude Code with a home of its own, at work in ``project``."""

    house: House
    home: Path

    @property
    def project(self) -> Path:
        return self.home / "project"

    async def ask(self, prompt: str, *words: str, model: str, **environment: str) -> Run:
        """Let it work on a prompt until it is done."""
        async with self.at_work(prompt, *words, model=model, **environment) as process:
            out, err = await asyncio.wait_for(process.communicate(), RUN_S)
            assert out.startswith(b"{"), (out, err)
            assert process.returncode is not None
            return Run(process.returncode, json.loads(out))

    @contextlib.asynccontextmanager
    async def at_work(
        self, prompt: str, *words: str, model: str, **environment: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """The process that works on a prompt; it does not outlive the block."""
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM),
            *("-p", prompt, "--output-format", "json", "--max-turns", TURNS_MAX),
            *("--model", model, *words),
            cwd=self.project,
            env={
                **quiet_environment(self.home),
                "ANTHROPIC_BASE_URL": self.house.url,
                "ANTHROPIC_AUTH_TOKEN": self.house.key,
                **environment,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def quiet_environment(home: Path) -> dict[str, str]:
    """What it finds in a home of its own; where the gateway is, is not in it."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "HTTPS_PROXY": NOWHERE,
        "HTTP_PROXY": NOWHERE,
        "NO_PROXY": "127.0.0.1",
    }


def install() -> None:
    """Install it where it is not yet; the Makefile knows how, and does so before it runs the tests.

    Only a machine without npm goes without this test.
    """
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to install Claude Code with")
    subprocess.run(["make", "--silent", INSTALLED], cwd=ROOT, check=True)

"""A real LiteLLM proxy as a process of its own, in front of a provider that a test scripts.

Its packages do not get along with those of the checks (it wants a rich below 14, import-linter one above), and must
not be found by the gateway, which runs without them: it has an environment of its own, inside the other one.
``requirements-litellm-proxy.lock`` holds what is in there:

    .venv/bin/python -m venv .venv/litellm-proxy
    .venv/litellm-proxy/bin/pip install --require-hashes -r requirements-litellm-proxy.lock
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import yaml

from tests.fakes.upstream import FakeUpstream
from tests.processes import free_port

PROGRAM = Path(sys.prefix) / "litellm-proxy" / "bin" / "litellm"
MASTER_KEY = "sk-litellm-master-0123456789abcdef"
UPSTREAM_KEY = "sk-behind-the-proxy-0123456789"
START_S = 200.0


class UpstreamAt(FakeUpstream):
    """The scripted provider at a port that is known before it starts: the proxy outlives many of them."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._at = port

    async def __aenter__(self) -> "UpstreamAt":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._at, limit=2**26)
        self.port = self._at
        return self


class LiteLLMProxy:
    """The proxy, with the models ``plain`` (no price known) and ``priced`` at the upstream's port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.upstream_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder

    def config(self) -> Path:
        """The configuration file: no database, nothing repeated, nothing told to anybody."""
        base = f"http://127.0.0.1:{self.upstream_port}/api/v1"
        models = {"plain": "openai/some-model", "priced": "openai/gpt-4o"}
        tree = {
            "model_list": [
                {
                    "model_name": name,
                    "litellm_params": {"model": model, "api_base": base, "api_key": UPSTREAM_KEY},
                }
                for name, model in models.items()
            ],
            "general_settings": {"master_key": MASTER_KEY},
            "litellm_settings": {
                "telemetry": False,
                "num_retries": 0,
                "request_timeout": 30,
                # Else /v1/messages asks a model of OpenAI's at /responses, which the scripted provider has not.
                "use_chat_completions_url_for_anthropic_messages": True,
            },
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        path = self._folder / "litellm.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    @contextlib.contextmanager
    def running(self) -> Iterator["LiteLLMProxy"]:
        """Start it, wait until it answers, and end it after."""
        words = [str(PROGRAM), "--config", str(self.config()), "--host", "127.0.0.1"]
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self._folder),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
            "LITELLM_LOCAL_BLOG_POSTS": "True",
            "LITELLM_MODE": "PRODUCTION",
        }
        with (self._folder / "litellm.log").open("wb") as log:
            process = subprocess.Popen(
                [*words, "--port", str(self.port)],
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_for(process)
            yield self
        finally:
            process.terminate()
            process.wait(60)

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + START_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (
                    httpx.get(f"{self.url}/health/liveliness", timeout=10, verify=False).status_code
                    == 200
                ):
                    return
            assert process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.1)

    @property
    def log(self) -> str:
        return (self._folder / "litellm.log").read_text(errors="replace")

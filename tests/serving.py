"""The gateway as a real server inside a test: uvicorn on a free port, in the test's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn

from accounting import snapshot as keys_snapshot
from accounting.models import UsageRecord
from llmgateway import current
from llmgateway.asgi import application
from llmgateway.head_limits import HeadLimits
from llmgateway.runtime import Runtime
from routing import snapshot as routing_snapshot
from tests.waiting import PATIENCE_S


@dataclass
class Serving:
    """A running gateway: its address, its runtime, and a client that sends the team's key."""

    url: str
    runtime: Runtime
    http: httpx.AsyncClient

    async def messages(self, body: dict[str, Any] | bytes, **headers: str) -> httpx.Response:
        """POST /v1/messages as Claude Code does it."""
        return await self._post("/v1/messages?beta=true", body, headers)

    async def chat(self, body: dict[str, Any] | bytes, **headers: str) -> httpx.Response:
        """POST /v1/chat/completions."""
        return await self._post("/v1/chat/completions", body, headers)

    async def post(self, path: str, body: dict[str, Any] | bytes, **headers: str) -> httpx.Response:
        """POST to any path."""
        return await self._post(path, body, headers)

    async def _post(
        self, path: str, body: dict[str, Any] | bytes, headers: dict[str, str]
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, content=content, headers=named)

    async def records(
        self, count: int | None = None, *, within_s: float = PATIENCE_S
    ) -> list[UsageRecord]:
        """All usage records, oldest first; waits until there are ``count``, or all that was settled is written."""
        until = asyncio.get_running_loop().time() + within_s
        while True:
            rows = [row async for row in UsageRecord.objects.order_by("id")]
            if count is None:
                await asyncio.to_thread(self.runtime.ledger.flush, PATIENCE_S)
                return [row async for row in UsageRecord.objects.order_by("id")]
            if len(rows) >= count:
                assert len(rows) == count
                return rows
            assert asyncio.get_running_loop().time() < until, (
                f"{len(rows)} usage records, not {count}"
            )
            await asyncio.sleep(0.02)


class PromptServer(uvicorn.Server):
    """Ends when it is told to and nothing is under way; uvicorn's own looks whether it is so ten times a second.

    That is the ending of the thousand gateways that run inside tests. Processes of their own end as uvicorn does it.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told_to_end = asyncio.Event()

    def end(self) -> None:
        """End once the requests under way have."""
        self.should_exit = True
        self._told_to_end.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._told_to_end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:  # noqa: ASYNC110  (they tell nobody)
                    await asyncio.sleep(0.005)
        for task in state.tasks:
            task.cancel()
        await self.lifespan.shutdown()


@contextlib.asynccontextmanager
async def serving(
    journal_dir: Path, *, key: str = "", ping_after_s: float = PATIENCE_S
) -> AsyncIterator[Serving]:
    """Start the gateway on the rows that the test has made, and stop it after."""
    routing_snapshot.put_in_force(None)
    keys_snapshot.put_in_force(keys_snapshot.KeyRing(number=-1, by_digest={}, prices={}))
    runtime = Runtime(journal_dir, ping_after_s=ping_after_s)
    current.hold(runtime)
    config = uvicorn.Config(
        application,
        http=HeadLimits,
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        loop="none",
    )
    server = PromptServer(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        task = asyncio.ensure_future(server._serve(sockets=[listener]))
        while not server.started:
            if task.done():
                await task  # which says why
                raise AssertionError("the server did not start; its log says why")
            await asyncio.sleep(0.005)
        # It reads no certificates, which it does not need: that is 40 ms of CPU, as much as many a test.
        async with httpx.AsyncClient(
            base_url=url, headers={"x-api-key": key}, timeout=PATIENCE_S, verify=False
        ) as http:
            yield Serving(url, runtime, http)
        server.end()
        await task

"""An ASGI application behind the gateway's own protocol, in the test's loop, and who asks it byte by byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

from llmgateway.head_limits import HeadLimits
from llmgateway.tasks import spawn
from tests.waiting import PATIENCE_S


@contextlib.asynccontextmanager
async def serving(app: Any, **settings: Any) -> AsyncIterator[int]:
    """The port at which it is served, from when it listens until the block ends; ``settings`` are uvicorn's."""
    config = uvicorn.Config(
        app, http=HeadLimits, port=0, log_config=None, lifespan="off", ws="none", **settings
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = spawn(server.serve(), name="a server")
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def all_that_comes(port: int, *pieces: bytes) -> bytes:
    """Everything until the server closes, for what is sent in pieces."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

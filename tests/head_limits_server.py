"""An ASGI application behind the gateway's own protocol, in the test's loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

from llmgateway.head_limits import HeadLimits
from llmgateway.tasks import spawn


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

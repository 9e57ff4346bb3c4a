"""The runtime of this process, made and started on first use: Daphne, the development server, tells no start."""

import asyncio

from django.conf import settings

from llmgateway.runtime import Runtime, State


class _Held:
    runtime: Runtime | None = None
    loop: asyncio.AbstractEventLoop | None = None


def hold(made: Runtime) -> None:
    """Take a runtime that was made elsewhere for the event loop that runs now."""
    _Held.runtime = made
    _Held.loop = asyncio.get_running_loop()


def held() -> Runtime | None:
    """The runtime, if there is one: for pages, which serve no requests."""
    return _Held.runtime


async def runtime() -> Runtime:
    """The runtime, serving."""
    held = _Held.runtime
    if held is None or _Held.loop is not asyncio.get_running_loop():
        held = Runtime(settings.JOURNAL_DIR, ping_after_s=settings.PING_AFTER_S)
        hold(held)
    if held.state is State.NEW:
        await held.start()
    return held


async def stop() -> None:
    """Stop the runtime, if there is one."""
    held, _Held.runtime = _Held.runtime, None
    if held is not None:
        await held.stop()

"""The ASGI application: the hot path through the lean handler, pages through Django's own."""

import asyncio
import os
import threading
from functools import cache
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")

from django.core.asgi import get_asgi_application

django_pages = get_asgi_application()

# What follows needs the apps to be loaded.
from django.conf import settings
from django.urls import resolve

from llmgateway import current
from llmgateway.body_room import Room
from llmgateway.lean_handler import LeanHandler, Receive
from llmgateway.letting_in import check_sender
from llmgateway.page_bodies import Application, PageBodies
from llmgateway.wire import CYCLE, Send

pages = PageBodies(
    cast("Application", django_pages),
    page_bytes_max=settings.PAGE_BYTES_MAX,
    upload_bytes_max=settings.UPLOAD_BYTES_MAX,
    read_timeout_s=settings.BODY_READ_TIMEOUT_S,
)

HOT_PREFIXES = ("/v1/", "/health/", "/metrics")

hot = LeanHandler(
    "llmgateway.hot_urls",
    body_bytes_max=settings.BODY_BYTES_MAX,
    body_read_timeout_s=settings.BODY_READ_TIMEOUT_S,
    room=Room(settings.BODIES_BYTES_MAX, "GATEWAY_BODIES_BYTES_MAX"),
    check_sender=check_sender,
)


are_pages_loaded = threading.Event()


def load_pages() -> None:
    """Load what only pages need: seconds of work at the first page, beside the requests that are under way."""
    resolve("/admin/")
    are_pages_loaded.set()


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """What an ASGI server calls."""
    if scope["type"] == "http":
        if scope["path"].startswith(HOT_PREFIXES):
            await hot(scope, receive, send)
        else:
            scope.pop(CYCLE, None)  # of which pages know nothing
            if not are_pages_loaded.is_set():
                await asyncio.to_thread(load_pages)
            await pages(scope, receive, send)
    elif scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await sockets()(scope, receive, send)


@cache
def sockets() -> Any:
    """The WebSockets, loaded when the first one comes: most processes never see one."""
    from llmgateway.live_view.sockets import application as live_application  # noqa: PLC0415

    return live_application


async def lifespan(receive: Receive, send: Send) -> None:
    """Start before the first request, stop after the last."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await current.runtime()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await current.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return

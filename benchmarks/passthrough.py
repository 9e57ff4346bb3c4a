"""The floor: uvicorn and aiohttp with nothing in between. No key, no conversion, no accounts."""

import os
from typing import Any

import aiohttp

UPSTREAM = os.environ.get("BENCH_UPSTREAM", "")


class _Held:
    session: aiohttp.ClientSession | None = None


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Hand the body over, hand the answer back."""
    if scope["type"] != "http":
        return
    if _Held.session is None:
        _Held.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {"content-type": "application/json", "authorization": "Bearer bench"}
    async with _Held.session.post(UPSTREAM, data=body, headers=headers) as reply:
        content_type = reply.headers["content-type"].encode()
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(b"content-type", content_type)],
            }
        )
        async for piece in reply.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

"""A provider that answers at once: a small completion, or a stream of EVENTS text chunks in as many writes."""

import asyncio
import os
from typing import Any

import orjson

EVENTS = int(os.environ.get("BENCH_EVENTS", "100"))
PAUSE_S = float(os.environ.get("BENCH_PAUSE_S", "0"))

_HEAD = {"id": "gen-bench", "provider": "Bench", "model": "bench/model", "created": 1763000000}
_USAGE = {
    "prompt_tokens": 42,
    "completion_tokens": EVENTS,
    "total_tokens": 42 + EVENTS,
    "cost": 0.00123,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def _chunk(delta: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None)}
    return (
        b"data: "
        + orjson.dumps({**_HEAD, "object": "chat.completion.chunk", "choices": [choice], **more})
        + b"\n\n"
    )


WHOLE = orjson.dumps(
    {
        **_HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A short answer."},
                "finish_reason": "stop",
            }
        ],
        "usage": _USAGE,
    }
)
PIECES = [
    _chunk({"role": "assistant", "content": ""}),
    *(_chunk({"content": f" word{number}"}) for number in range(EVENTS)),
    _chunk({}, finish_reason="stop"),
    _chunk({}, usage=_USAGE) + b"data: [DONE]\n\n",
]


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer whatever comes."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if b'"stream":true' not in body:
        await _start(send, b"application/json")
        await send({"type": "http.response.body", "body": WHOLE, "more_body": False})
        return
    await _start(send, b"text/event-stream")
    for piece in PIECES:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if PAUSE_S:
            await asyncio.sleep(PAUSE_S)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _start(send: Any, content_type: bytes) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]}
    )

"""A provider that does what a test tells it to: a real HTTP server on loopback, down to the bytes.

Each request takes the next scripted ``Answer``; without one, the server answers what ``answer_with`` makes of the
request, or with ``default``. What arrived is kept in ``requests``, and when its client went away, in
``SeenRequest.left_after_s``.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True)
class Answer:
    """What to send. ``pieces`` go out one by one, ``pause_s`` before each but the first.

    ``ending``: "close" ends properly, "cut" closes before the announced end, "reset" sends a TCP reset,
    "stall" keeps the connection open and silent. ``before_s`` waits before the status line. A test that must see
    something before the answer begins, or before its last piece, holds it up with an event instead of a time.
    """

    pieces: Sequence[bytes] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    before_s: float = 0.0
    ending: str = "close"
    begins_after: asyncio.Event | None = None
    ends_after: asyncio.Event | None = None


def json_answer(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """A whole JSON answer."""
    return Answer(
        [orjson.dumps(body)], status, {"content-type": "application/json", **(headers or {})}
    )


def stream_answer(events: Sequence[Any], *, done: bool = True, **how: Any) -> Answer:
    """A stream of chunks; strings go out as they are (comments), everything else as a data event."""
    pieces = [
        event.encode() if isinstance(event, str) else b"data: " + orjson.dumps(event) + b"\n\n"
        for event in events
    ]
    if done:
        pieces.append(b"data: [DONE]\n\n")
    return Answer(pieces, headers={"content-type": "text/event-stream"}, **how)


def bytes_answer(body: bytes, *, cut: int = 0, **how: Any) -> Answer:
    """Recorded bytes, in pieces of ``cut`` bytes (0: in one)."""
    pieces = [body[at : at + cut] for at in range(0, len(body), cut)] if cut else [body]
    return Answer(pieces, headers={"content-type": "text/event-stream"}, **how)


NOTHING_AT_ALL = Answer(ending="reset", status=0)
SILENCE = Answer(ending="stall", status=0)


@dataclass
class SeenRequest:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float
    left_after_s: float | None = None

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    async def left(self) -> float:
        """Seconds from its coming to its client's going; waits for that to be noted, also on a busy machine."""
        async with asyncio.timeout(60):
            while self.left_after_s is None:  # noqa: ASYNC110  (it tells nobody)
                await asyncio.sleep(0.01)
        return self.left_after_s

    def note_leaving(self) -> None:
        """Its client is gone; the first time counts."""
        if self.left_after_s is None:
            self.left_after_s = time.monotonic() - self.at_s


class FakeUpstream:
    """The server; use as ``async with FakeUpstream() as upstream``."""

    def __init__(
        self, default: Answer | None = None, *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.default = default or json_answer(chat_answer("Hello."))
        self.script: deque[Answer] = deque()
        self.answer_with: Callable[[SeenRequest], Answer | None] | None = None
        self.requests: list[SeenRequest] = []
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = port
        self.connections = 0
        self.under_way = 0
        self.under_way_most = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/api/v1"

    def answers(self, *answers: Answer) -> None:
        """Answer the next requests so."""
        self.script.extend(answers)

    async def __aenter__(self) -> "FakeUpstream":
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls, limit=2**26
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                if not await self._counted(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def _choose(self, request: SeenRequest) -> Answer:
        if self.script:
            return self.script.popleft()
        made = self.answer_with(request) if self.answer_with else None
        return made or self.default

    async def _counted(
        self, request: SeenRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send the answer, as one of those under way; whether the connection may be used again."""
        self.under_way += 1
        self.under_way_most = max(self.under_way_most, self.under_way)
        try:
            return await self._answer(request, self._choose(request), reader, writer)
        finally:
            self.under_way -= 1

    async def _answer(
        self,
        request: SeenRequest,
        answer: Answer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Send the answer; whether the connection may be used again."""
        watch = asyncio.ensure_future(_note_leaving(request, reader))
        try:
            await asyncio.sleep(answer.before_s)
            if answer.begins_after:
                await answer.begins_after.wait()
            if answer.status:
                headers = {"transfer-encoding": "chunked", **answer.headers}
                lines = [
                    f"HTTP/1.1 {answer.status} Whatever",
                    *(f"{k}: {v}" for k, v in headers.items()),
                ]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
                await writer.drain()
            for count, piece in enumerate(answer.pieces):
                if count and answer.pause_s:
                    await asyncio.sleep(answer.pause_s)
                if answer.ends_after and count == len(answer.pieces) - 1:
                    await answer.ends_after.wait()
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
            if answer.ending == "stall":
                await asyncio.sleep(3600)
            if answer.ending == "reset":
                _reset(writer)
            if answer.ending == "close":
                writer.write(b"0\r\n\r\n")
                await writer.drain()
                return True
            return False
        except ConnectionError:  # a reset that writing meets before the watch looks
            request.note_leaving()
            raise
        finally:
            watch.cancel()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _note_leaving(request: SeenRequest, reader: asyncio.StreamReader) -> None:
    while not (reader.at_eof() or reader.exception()):  # noqa: ASYNC110  (reading would take the next request's bytes)
        await asyncio.sleep(0.01)
    request.note_leaving()


async def _read(reader: asyncio.StreamReader) -> SeenRequest | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _version = first.split(" ")
    headers = {
        name.strip().lower(): value.strip()
        for name, _colon, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return SeenRequest(method, path, headers, body, time.monotonic())


def usage(
    prompt: int = 20, completion: int = 5, *, cost: float | None = 0.000125, **more: Any
) -> dict[str, Any]:
    """OpenRouter's usage object."""
    figures = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return {**figures, **({} if cost is None else {"cost": cost}), **more}


def chat_answer(text: str, **more: Any) -> dict[str, Any]:
    """A whole answer as OpenRouter gives it; ``more`` replaces members of the message."""
    return {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1,
        "model": "anthropic/claude-sonnet-4.5",
        "provider": "Anthropic",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text, **more},
            }
        ],
        "usage": usage(),
    }


def chunk(delta: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a stream; ``finish_reason`` goes into its choice, the rest beside it."""
    finish_reason = more.pop("finish_reason", None)
    return {
        "id": "gen-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "anthropic/claude-sonnet-4.5",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish_reason}],
        **more,
    }


def text_stream(*words: str) -> list[dict[str, Any]]:
    """The chunks of a plain text answer, usage at the end."""
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": word}) for word in words),
        chunk(finish_reason="stop"),
        chunk(usage=usage()),
    ]

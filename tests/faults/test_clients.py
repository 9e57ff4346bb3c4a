"""Clients that vanish, that read or send slowly, and that send half of a request."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from tests.faults.ground import PATHS, Ground, Installed, body_for

CLIENTS = 50


@pytest.fixture
def shared(installed: Installed, tmp_path: Path) -> Iterator[Ground]:
    with installed.ground(tmp_path / "data", GATEWAY_BODY_READ_TIMEOUT_S="6") as ground:
        yield ground
        ground.gateway.stop()
        ground.check_stopped()


@pytest.fixture
async def ground(shared: Ground) -> AsyncIterator[Ground]:
    await shared.warm_up()
    return shared


def head(ground: Ground, path: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {ground.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


async def connect(
    ground: Ground, *, buffer_bytes: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    raw = socket.socket()
    if buffer_bytes:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", ground.gateway.port))
    return await asyncio.open_connection(sock=raw, limit=1024 if buffer_bytes else 2**16)


async def vanish(ground: Ground, number: int) -> None:
    """Ask, read the first words, and go: with a goodbye, or with a reset as a crashed machine's would be."""
    reader, writer = await connect(ground)
    path = PATHS[number % 2]
    body = orjson.dumps(body_for("chat/stalls", stream=True))
    writer.write(head(ground, path, len(body)) + body)
    await reader.readuntil(b"Once ")
    if number % 4 < 2:
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def read_slowly(ground: Ground, number: int) -> bytes:
    """Ask for a stream of four seconds, and begin to read it after one, a little at a time."""
    reader, writer = await connect(ground, buffer_bytes=2048)
    body = orjson.dumps(body_for("chat/slow", stream=True))
    writer.write(head(ground, PATHS[number % 2], len(body)) + body)
    await asyncio.sleep(1)
    told = b""
    while b"\r\n0\r\n\r\n" not in told[-10:]:
        piece = await reader.read(700)
        assert piece, "the stream was broken off"
        told += piece
        await asyncio.sleep(0.01)
    writer.close()
    return told


async def send_slowly(ground: Ground, number: int) -> bytes:
    """Send a byte now and then, and never get ready: what the gateway says to that."""
    reader, writer = await connect(ground)
    writer.write(head(ground, PATHS[number % 2], 1000))
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof() and not reader._buffer:  # type: ignore[attr-defined]
            writer.write(b" ")
            await asyncio.sleep(0.2)
    told = await reader.read(4096)
    writer.close()
    return told


async def send_half(ground: Ground, number: int) -> None:
    """Send half of a head, or half of a body, and go."""
    _reader, writer = await connect(ground)
    request = head(ground, PATHS[number % 2], 1000) + b'{"model": "chat/sound", '
    writer.write(request[: 40 if number % 4 < 2 else None])
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()


async def test_clients_of_all_bad_manners_at_once(ground: Ground):
    """Sound ones beside them are answered; who vanishes is booked, and ends the call to the upstream."""
    before = len(ground.upstream.requests)
    earlier = {row["id"] for row in ground.gateway.records()}
    async with asyncio.timeout(120):
        groups = await asyncio.gather(
            *(
                asyncio.gather(*(behave(ground, number) for number in range(CLIENTS)))
                for behave in (vanish, read_slowly, send_slowly, send_half)
            ),
            ground.ask_in_all_ways("chat/sound", count=10),
        )
    _vanished, slow, late, _half, sound = groups

    for told in sound:
        told.check_end()
        assert told.status == 200
    for raw in slow:
        assert b"message_stop" in raw or b"[DONE]" in raw
    for raw in late:
        assert raw.startswith(b"HTTP/1.1 408 ")
        error = orjson.loads(raw.partition(b"\r\n\r\n")[2])["error"]
        assert error["type"] in {"timeout_error", "invalid_request_error"}

    rows = await ground.check()
    told_of = Counter(row["status"] for row in rows if row["id"] not in earlier)
    assert told_of == {"client_closed": CLIENTS, "succeeded": CLIENTS + len(sound) + 1}
    for request in ground.upstream.requests[before:]:
        if b"stalls" in request.body:
            await request.left()

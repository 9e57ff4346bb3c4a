"""Unpacks request bodies that a client has compressed; knows of HTTP only the words of ``Content-Encoding``.

Unpacking goes in steps that take and give at most STEP_BYTES, so that no body costs more memory than is allowed
of it, and so that a short one is done at once while a long one, or one made to look short, moves to a thread.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from llmgateway.errors import BodyBroken, EncodingUnknown, RequestTooLarge

STEP_BYTES = 64 * 1024
STEPS_AT_ONCE = 4
"""So much is unpacked where it is asked for: a quarter of a megabyte, a millisecond or two."""
STEPS_IN_THREAD = 16
"""So much is unpacked in a thread before it is looked whether there is room for more."""

GZIP, DEFLATE = "gzip", "deflate"
KNOWN: Mapping[str, str] = {GZIP: GZIP, "x-gzip": GZIP, DEFLATE: DEFLATE}  # RFC 9110, 8.4.1.3
GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


def read_encoding(values: Iterable[str]) -> str:
    """The one compression that all ``Content-Encoding`` headers together name; empty for none.

    Raises:
        EncodingUnknown: it is none that is known here, or there are several.
    """
    words = [word.strip().lower() for value in values for word in value.split(",")]
    named = [word for word in words if word not in {"", "identity"}]
    if not named:
        return ""
    if len(named) > 1 or named[0] not in KNOWN:
        raise EncodingUnknown(
            f"The body's Content-Encoding {', '.join(named)[:100]!r} is not read here. "
            "Send it as gzip or deflate, once, or not compressed."
        )
    return KNOWN[named[0]]


def _anywhere(_count_bytes: int) -> None:
    """There is room for all."""


async def unpack(
    body: bytes, encoding: str, *, bytes_max: int, take: Callable[[int], None] = _anywhere
) -> bytes:
    """The body as it was before it was compressed; long ones are unpacked in a thread.

    ``take`` is told of bytes as they are unpacked, and raises where there is no room for them.

    Raises:
        RequestTooLarge: it has more than ``bytes_max`` bytes; no more than that and one step are ever held.
        BodyBroken: it is cut off, followed by something else, or not compressed so at all.
    """
    unpacking = Unpacking(body, encoding, bytes_max=bytes_max)
    is_whole = unpacking.go_on(STEPS_AT_ONCE)
    take(unpacking.size)
    while not is_whole:
        size = unpacking.size
        is_whole = await asyncio.to_thread(unpacking.go_on, STEPS_IN_THREAD)
        take(unpacking.size - size)
    return unpacking.whole()


class Unpacking:
    """One body that is being unpacked; ``size`` is how many bytes it has so far."""

    def __init__(self, body: bytes, encoding: str, *, bytes_max: int) -> None:
        self._steps = unpack_steps(body, encoding)
        self._bytes_max = bytes_max
        self._pieces: list[bytes] = []
        self.size = 0

    def go_on(self, steps: int) -> bool:
        """Do so many more steps; whether the body is at its end.

        Raises:
            RequestTooLarge, BodyBroken: as ``unpack`` tells.
        """
        for _ in range(steps):
            piece = next(self._steps, None)
            if piece is None:
                return True
            self._add(piece)
        return False

    def _add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        if self.size > self._bytes_max:
            raise RequestTooLarge(
                f"the request body is larger than {self._bytes_max} bytes when it is unpacked (GATEWAY_BODY_BYTES_MAX)"
            )

    def whole(self) -> bytes:
        """All that was unpacked."""
        return b"".join(self._pieces)


def unpack_steps(body: bytes, encoding: str) -> Iterator[bytes]:
    """The unpacked pieces, one for each step; some may be empty.

    Raises:
        BodyBroken: after what could be unpacked.
    """
    unpacker = zlib.decompressobj(_window(body, encoding))
    view = memoryview(body)
    try:
        for start in range(0, len(view), STEP_BYTES):
            if unpacker.eof:
                raise _followed(encoding)
            yield from _steps_of(unpacker, view[start : start + STEP_BYTES])
    except zlib.error as error:
        raise BodyBroken(f"The request body is no {encoding} stream, or a damaged one.") from error
    if not unpacker.eof:
        raise BodyBroken(f"The request body's {encoding} stream is cut off.")
    if unpacker.unused_data:
        raise _followed(encoding)


def _followed(encoding: str) -> BodyBroken:
    return BodyBroken(f"Something follows the end of the request body's {encoding} stream.")


def _steps_of(unpacker: "zlib._Decompress", packed: bytes | memoryview) -> Iterator[bytes]:
    while True:
        piece = unpacker.decompress(packed, STEP_BYTES)
        yield piece
        packed = unpacker.unconsumed_tail
        # A full piece may have left more inside, although all that was packed is taken.
        if not packed and len(piece) < STEP_BYTES:
            return


def _window(body: bytes, encoding: str) -> int:
    """zlib's word for the format. ``deflate`` means zlib's, but clients that send it bare exist (RFC 9110, 8.4.1.2)."""
    if encoding == GZIP:
        return GZIP_WINDOW
    has_head = len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return ZLIB_WINDOW if has_head else RAW_WINDOW

"""Bounds on what a request for a page may send, around Django, which has none until all of it lies in a file.

Nobody knows who asks before the request is read, so a body may have ``page_bytes_max`` and all of a process eight times
that: more than any form of the house holds. A longer one, such as a provider's bill, is read only of somebody who is
signed in, with a length that is told, up to ``upload_bytes_max`` for all of them together. Forms bound their own files
and say so more kindly; here the answer is a sentence, or JSON where the API was asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module

import orjson
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import Error as DatabaseError
from django.http import parse_cookie

from conversion.errors import GatewayError
from llmgateway.body_room import Room, Share
from llmgateway.errors import RequestTooLarge, RequestTooSlow, error_headers
from llmgateway.exchange import new_request_id
from llmgateway.lean_handler import Receive, Scope
from llmgateway.provider_checks import in_own_connection
from llmgateway.wire import Message, Send

PAGES_AT_ONCE = 8
SHORT_BYTES = 64 * 1024
"""A body up to here, of a length that is told, always finds room: people shall come in although others fill it."""
API = "/api/"
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
STATUSES: Mapping[type[GatewayError], tuple[int, str]] = {
    RequestTooLarge: (413, "too_large"),
    RequestTooSlow: (408, "timeout"),
}
NO_ROOM = (503, "overloaded")


class PageBodies:
    """An ASGI application around that of the pages."""

    def __init__(
        self,
        pages: Application,
        *,
        page_bytes_max: int,
        upload_bytes_max: int,
        read_timeout_s: float,
    ) -> None:
        self._pages = pages
        self._page_bytes_max = page_bytes_max
        self._upload_bytes_max = upload_bytes_max
        self._read_timeout_s = read_timeout_s
        self._rooms = {
            page_bytes_max: Room(
                page_bytes_max * PAGES_AT_ONCE, f"{PAGES_AT_ONCE} times GATEWAY_PAGE_BYTES_MAX"
            ),
            upload_bytes_max: Room(upload_bytes_max, "GATEWAY_UPLOAD_BYTES_MAX"),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        length_bytes = int(length) if length.isdigit() else 0
        if not length_bytes and b"transfer-encoding" not in headers:
            await self._pages(scope, receive, send)
            return
        try:
            reading = await self._begin(headers, receive, length_bytes)
        except GatewayError as error:
            await refuse(error, scope, send)
            return
        try:
            await self._pages(scope, reading, send)
        finally:
            reading.share.end()
        if reading.refusal is not None:
            await refuse(reading.refusal, scope, send)

    async def _begin(
        self, headers: Mapping[bytes, bytes], receive: Receive, length_bytes: int
    ) -> "Reading":
        bytes_max, within_s = self._page_bytes_max, self._read_timeout_s
        if length_bytes > bytes_max and await asyncio.to_thread(
            in_own_connection, partial(is_signed_in, headers.get(b"cookie", b""))
        ):
            # As much time for each part of an upload as others have for all.
            within_s *= -(-length_bytes // bytes_max)
            bytes_max = self._upload_bytes_max
        if length_bytes > bytes_max:
            raise self._too_large(bytes_max)
        room = self._rooms[bytes_max]
        if 0 < length_bytes <= SHORT_BYTES:
            room = Room(SHORT_BYTES, "")
        room.check(length_bytes)
        return Reading(
            receive,
            Share(room),
            bytes_max=bytes_max,
            within_s=within_s,
            too_large=self._too_large(bytes_max),
        )

    def _too_large(self, bytes_max: int) -> RequestTooLarge:
        setting = "GATEWAY_PAGE_BYTES_MAX; signed in, GATEWAY_UPLOAD_BYTES_MAX"
        if bytes_max == self._upload_bytes_max:
            setting = "GATEWAY_UPLOAD_BYTES_MAX"
        return RequestTooLarge(f"The request's body is larger than {bytes_max} bytes ({setting}).")


class Reading:
    """What Django calls for the pieces of one body; where one is refused, the client seems to have left."""

    def __init__(
        self,
        receive: Receive,
        share: Share,
        *,
        bytes_max: int,
        within_s: float,
        too_large: RequestTooLarge,
    ) -> None:
        self.share = share
        self.refusal: GatewayError | None = None
        self._receive = receive
        self._bytes_max = bytes_max
        self._within_s = within_s
        self._until_s = asyncio.get_running_loop().time() + within_s
        self._too_large = too_large
        self._is_whole = False
        self._bytes = 0

    async def __call__(self) -> Message:
        """The next piece."""
        if self._is_whole:
            return await self._receive()
        try:
            return await self._next_piece()
        except GatewayError as error:
            self.refusal = error
            return {"type": "http.disconnect"}

    async def _next_piece(self) -> Message:
        try:
            async with asyncio.timeout_at(self._until_s):
                message = await self._receive()
        except TimeoutError:
            raise RequestTooSlow(
                f"The request's body did not arrive within {self._within_s:g} s (GATEWAY_BODY_READ_TIMEOUT_S)."
            ) from None
        size = len(message.get("body", b""))
        self._bytes += size
        if self._bytes > self._bytes_max:
            raise self._too_large
        self.share.take(size)
        self._is_whole = not message.get("more_body", False)
        return message


def is_signed_in(cookies: bytes) -> bool:
    """Whether the cookies are somebody's who is signed in. Asks the database, where sessions lie."""
    key = parse_cookie(cookies.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
    if not key:
        return False
    try:
        return SESSION_KEY in import_module(settings.SESSION_ENGINE).SessionStore(key)
    except DatabaseError:
        return False


async def refuse(error: GatewayError, scope: Scope, send: Send) -> None:
    """Say why the request is not read; the connection ends."""
    status, kind = STATUSES.get(type(error), NO_ROOM)
    body, content_type = error.message.encode(), b"text/plain; charset=utf-8"
    if scope["path"].startswith(API):
        told = {
            "type": kind,
            "message": error.message,
            "fields": {},
            "request_id": new_request_id(),
        }
        body, content_type = orjson.dumps({"error": told}), b"application/json"
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
        *((name.encode(), value.encode()) for name, value in error_headers(error).items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})

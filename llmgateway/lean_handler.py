"""Django's request, resolver and views for the hot path, without what the hot path does not need.

Theory of operation. The stock ASGI handler costs about 800 us of CPU a request: a thread-sensitive context, a
spooled file for the body, request signals, a task group. This subclass keeps what makes a view a Django view
(``ASGIRequest``, the URL resolver, ``HttpResponse``) and leaves the rest out: 25 us. What is left out nothing on
the hot path needs: there is no ORM there (hence no ``close_old_connections``), no form and no upload.

When the client leaves while the view works, the view's task is cancelled, which breaks the upstream call off and books
what was used. Our own server tells of it; under another one a second task waits for it.

A body that is long, of unknown length or compressed is read only where its headers hold a key that is taken, so that
nobody without one can make the gateway hold or unpack much. Others are read first: what they are is in memory before
anybody could ask. All bodies under way share a room (``body_room.py``). Who is refused before all is read loses the
connection, as the rest would have to be read for nothing.
"""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, get_resolver
from django.utils.functional import cached_property

from accounting.errors import KeyRefused
from accounting.snapshot import KeyPicture
from conversion.errors import GatewayError
from llmgateway import bodies, outcomes
from llmgateway.answers import JSON, EventStream, WholeAnswer, error_answer
from llmgateway.body_room import Room, Share
from llmgateway.errors import InternalFault, PathUnknown, RequestTooLarge, RequestTooSlow
from llmgateway.exchange import new_request_id
from llmgateway.outcomes import dialect_of
from llmgateway.tasks import spawn
from llmgateway.wire import CYCLE, Message, Send, Wire

if TYPE_CHECKING:
    from llmgateway.http_cycle import Cycle

log = logging.getLogger(__name__)

WATCH_AFTER_S = 0.02
SHORT_BYTES = 64 * 1024
"""A body up to here is read before anybody is asked: so much the server has read by itself already."""
FOR_KEYS = "/v1/"
Receive = Callable[[], Awaitable[Message]]
Scope = Mapping[str, Any]
CheckSender = Callable[[Iterable[tuple[bytes, bytes]]], Awaitable[KeyPicture]]


class ClientGone(Exception):
    """The client left before its request was read."""


class HotRequest(ASGIRequest):
    """A request whose body is in memory, with the wire its answer goes out on and our id for it.

    What Django derives from the headers (``META``, hence ``headers``, ``GET``, ``COOKIES``) is derived when
    somebody looks: most views of the hot path read the scope's own headers.
    """

    def __init__(self, scope: Scope, body: bytes, *, wire: Wire, gateway_id: str) -> None:
        # ASGIRequest.__init__ would build META for every request, at 4 us of its 250.
        self.scope = scope
        self.path = self.path_info = scope["path"]
        self.method = scope["method"]
        self.resolver_match = None
        self._body = body
        self._post_parse_error = False
        self._read_started = True
        self.wire = wire
        self.gateway_id = gateway_id

    def drop_body(self) -> None:
        """Forget the body."""
        self._body = b""

    @cached_property
    def META(self) -> dict[str, Any]:  # type: ignore[override]  # noqa: N802
        """As Django builds it."""
        return ASGIRequest(self.scope, _NO_FILE).META


class LeanHandler(ASGIHandler):
    """An ASGI application for the views in one URLconf."""

    def __init__(
        self,
        urlconf: str,
        *,
        body_bytes_max: int,
        body_read_timeout_s: float,
        room: Room,
        check_sender: CheckSender,
    ) -> None:
        # ASGIHandler.__init__ would load the middleware of the pages.
        self._resolver = get_resolver(urlconf)
        self._known: dict[str, ResolverMatch] = {}
        self._body_bytes_max = body_bytes_max
        self._short_bytes = min(SHORT_BYTES, body_bytes_max)
        self._body_read_timeout_s = body_read_timeout_s
        self._room = room
        self._check_sender = check_sender

    async def __call__(  # type: ignore[override]
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        # Taken out: a scope that knew its cycle, which knows the scope, would be garbage that nobody finds for a while.
        cycle: Cycle | None = scope.pop(CYCLE, None)
        wire = Wire(send, cycle)
        task: Any = asyncio.current_task()
        stop_watching: Callable[[], None] | None = None
        share = Share(self._room)
        try:
            request = await self._read_request(scope, receive, wire, task, share, cycle)
            if not isinstance(request, HttpResponseBase):
                stop_watching = watch(receive, task, wire, cycle)
                response = await self._respond(request)
                if isinstance(
                    response, EventStream
                ):  # it may go on for long, and needs its body no more
                    request.drop_body()
                    share.end()
            else:
                response = request
            await send_answer(response, wire)
        except ClientGone:
            wire.client_is_gone = True
            # What its trailers were refused with is told on the connection, past the wire.
            wire.error, wire.status = scope.get(outcomes.REFUSED, ("", 0))
        except asyncio.CancelledError:
            if not wire.client_is_gone or task.uncancel() > 0:
                raise
        finally:
            wire.stop_pings()
            share.end()
            if stop_watching is not None:
                stop_watching()
            if scope["path"].startswith(outcomes.PREFIX):
                outcomes.note(scope, wire)

    async def _read_request(
        self,
        scope: Scope,
        receive: Receive,
        wire: Wire,
        task: "asyncio.Task[None]",
        share: Share,
        cycle: "Cycle | None",
    ) -> HotRequest | HttpResponseBase:
        """The request with its body, or the answer that says why it is not read."""
        wire.request_id = request_id = new_request_id()
        headers = _CLOSE
        try:
            encoding, bytes_max = await self._look_at_head(scope, wire)
            body = cycle.take_body() if cycle is not None else None
            if body is None:
                body = await self._read_body(receive, task, share, bytes_max)
            else:
                self._count(len(body), len(body), share, bytes_max)
            if encoding and body:
                headers = _NO_TEXTS
                packed_bytes = len(body)
                body = await bodies.unpack(body, encoding, bytes_max=bytes_max, take=share.take)
                share.give(packed_bytes)
        except GatewayError as error:
            return refuse(error, scope, wire, headers)
        return HotRequest(scope, body, wire=wire, gateway_id=request_id)

    async def _look_at_head(self, scope: Scope, wire: Wire) -> tuple[str, int]:
        """How the body is compressed, and how many bytes it may have, where its head lets it be read.

        Raises:
            GatewayError: it does not.
        """
        raw_headers = scope["headers"]
        headers = dict(raw_headers)
        encoding = ""
        if b"content-encoding" in headers:
            encoding = bodies.read_encoding(header_values(scope, b"content-encoding"))
        length = headers.get(b"content-length", b"")
        length_bytes = int(length) if length.isdigit() else 0
        is_short = length_bytes <= self._short_bytes and b"transfer-encoding" not in headers
        if is_short and not encoding:
            return "", self._body_bytes_max
        bytes_max = self._short_bytes
        if scope["path"].startswith(FOR_KEYS):
            wire.key = await self._check_sender(raw_headers)
            bytes_max = self._body_bytes_max
        if length_bytes > bytes_max:
            raise self._too_large(bytes_max)
        self._room.check(length_bytes)
        return encoding, bytes_max

    async def _read_body(
        self, receive: Receive, task: "asyncio.Task[None]", share: Share, bytes_max: int
    ) -> bytes:
        late: list[bool] = []
        # As asyncio.timeout does it, at a quarter of its 4 us: nearly every body is there already.
        timer = asyncio.get_running_loop().call_later(
            self._body_read_timeout_s, lambda: late.append(task.cancel())
        )
        try:
            return await self._read_pieces(receive, share, bytes_max)
        except asyncio.CancelledError:
            if late and task.uncancel() == 0:
                raise RequestTooSlow(
                    f"the request body did not arrive within {self._body_read_timeout_s:g} s "
                    "(GATEWAY_BODY_READ_TIMEOUT_S)"
                ) from None
            raise
        finally:
            timer.cancel()

    async def _read_pieces(self, receive: Receive, share: Share, bytes_max: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            pieces.append(piece)
            size += len(piece)
            self._count(len(piece), size, share, bytes_max)
            if not message.get("more_body", False):
                return b"".join(pieces)

    def _count(self, more: int, size: int, share: Share, bytes_max: int) -> None:
        if size > bytes_max:
            raise self._too_large(bytes_max)
        share.take(more)

    def _too_large(self, bytes_max: int) -> RequestTooLarge:
        why = "GATEWAY_BODY_BYTES_MAX"
        if bytes_max < self._body_bytes_max:
            why = "nothing is read at this address"
        return RequestTooLarge(f"the request body is larger than {bytes_max} bytes ({why})")

    def _resolve(self, path: str) -> ResolverMatch:
        """The view for a path. Paths without words in them are few, and looked up once."""
        match = self._known.get(path)
        if match is None:
            match = self._resolver.resolve(path)
            if not match.kwargs:
                self._known[path] = match
        return match

    async def _respond(self, request: HotRequest) -> HttpResponseBase:
        try:
            match = self._resolve(request.path_info)
        except Resolver404:
            error = PathUnknown(f"There is nothing at {request.path_info[:200]}.")
            return refuse(error, request.scope, request.wire)
        request.resolver_match = match
        try:
            response: HttpResponseBase = await match.func(request, *match.args, **match.kwargs)
        except Exception:
            # The one broad catch, at the edge: a bug must reach the log, and the client as an error it can read.
            log.exception(
                "a request failed inside the gateway", extra={"request_id": request.gateway_id}
            )
            fault = InternalFault(
                f"The gateway failed inside; its log has the reason under {request.gateway_id}."
            )
            return refuse(fault, request.scope, request.wire)
        return response


_NO_FILE = io.BytesIO()
_CLOSE: Mapping[str, str] = {"connection": "close"}
_NO_TEXTS: Mapping[str, str] = {}


def header_values(scope: Scope, wanted: bytes) -> list[str]:
    """The values of all headers of a name, which is in lower case."""
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def refuse(
    error: GatewayError, scope: Scope, wire: Wire, headers: Mapping[str, str] = _NO_TEXTS
) -> HttpResponseBase:
    """The error as an answer to a request that no view has understood."""
    wire.error = type(error).__name__
    if isinstance(error, KeyRefused):
        wire.key = error.key
    return error_answer(error, dialect_of(scope), request_id=wire.request_id, headers=headers)


class Watch:
    """Waits beside the view for the client to leave, and then cancels the view's task; for servers that do not tell.

    It begins a moment late, because most short requests are over by then: a timer costs a fifth of a task.
    """

    __slots__ = ("_receive", "_task", "_timer", "_view", "_wire")

    def __init__(self, receive: Receive, view: "asyncio.Task[None]", wire: Wire) -> None:
        self._receive = receive
        self._view = view
        self._wire = wire
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._begin)

    def stop(self) -> None:
        """No longer needed."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = spawn(self._wait(), name="disconnect watch")

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        leave(self._wire, self._view)


def watch(
    receive: Receive, view: "asyncio.Task[None]", wire: Wire, cycle: "Cycle | None"
) -> Callable[[], None]:
    """Have the view ended when the client leaves; what is returned is to be called once it is over by itself."""
    if cycle is None:
        return Watch(receive, view, wire).stop
    cycle.watch(partial(leave, wire, view))
    return cycle.stop_watching


def leave(wire: Wire, view: "asyncio.Task[None]") -> None:
    """The client has left: end the view, unless all is said."""
    if not wire.is_ended:
        wire.client_is_gone = True
        view.cancel()


async def send_answer(response: HttpResponseBase, wire: Wire) -> None:
    """Send a whole answer, or a stream to its end."""
    if isinstance(response, WholeAnswer):
        await wire.answer(response.status_code, JSON, response.gateway_headers, response.body)
        return
    headers: Mapping[str, str] = getattr(response, "gateway_headers", _NO_TEXTS)
    if not isinstance(response, EventStream):
        content: bytes = getattr(response, "content", b"")
        await wire.answer(response.status_code, response["content-type"], headers, content)
        return
    try:
        await wire.start(response.status_code, response["content-type"], headers)
        async for part in response.pieces:
            await wire.write(part)
        await wire.end()
    finally:
        # A write that was cancelled leaves the generator hanging at its yield: it must be ended here.
        await response.pieces.aclose()
        await response.parts.close()

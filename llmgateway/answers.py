"""Django responses of the hot path, and the headers that all of them carry."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

from django.http import HttpResponse, StreamingHttpResponse

from conversion.dialects import Dialect
from conversion.errors import GatewayError
from llmgateway.errors import error_headers, row_for, told_by, write_error

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"
STREAM_HEADERS = {
    # A proxy that holds events back makes a stream look frozen.
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class Parts(Protocol):
    """A stream that can be pumped once, and must be closed."""

    def pump(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the body."""
        ...

    async def close(self) -> None:
        """Let go of what the stream holds; safe to repeat."""
        ...


class EventStream(StreamingHttpResponse):
    """A streamed answer. The lean handler reads ``pieces``, past Django's own wrapping of each."""

    def __init__(self, parts: Parts, headers: Mapping[str, str]) -> None:
        self.parts = parts
        self.pieces = parts.pump()
        super().__init__(self.pieces, content_type=EVENT_STREAM)
        self.gateway_headers = {**STREAM_HEADERS, **headers}


class OnePart:
    """A stream of a single piece: what is left to say when a stream that was begun early has failed."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    async def pump(self) -> AsyncGenerator[bytes, None]:
        """The piece."""
        yield self._piece

    async def close(self) -> None:
        """Nothing to let go of."""


class WholeAnswer(HttpResponse):
    """A JSON answer in one piece. ``gateway_headers`` go out past Django's conversion of each (5 us in all).

    What Django derives from a body, its own headers above all, is derived when somebody asks: the lean handler does not.
    """

    def __init__(self, body: bytes, headers: Mapping[str, str], *, status: int = 200) -> None:
        # HttpResponse.__init__ would make headers, cookies and a charset, at 8 us of 250.
        self.body = body
        self.status_code = status
        self.gateway_headers = headers

    def __getattr__(self, name: str) -> Any:
        """What is missing, as Django makes it."""
        if "headers" in self.__dict__:
            raise AttributeError(name)
        super().__init__(self.body, content_type=JSON, status=self.status_code)
        return getattr(self, name)


def id_headers(request_id: str) -> dict[str, str]:
    """Our id of the request, under the names that both vendors' SDKs read."""
    return {"request-id": request_id, "x-request-id": request_id}


def error_answer(
    error: GatewayError,
    dialect: Dialect,
    *,
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> WholeAnswer:
    """The error in the client's dialect, with its status and the advice on asking again."""
    native = getattr(told_by(error), "native", None)
    if native is not None:
        return WholeAnswer(
            native.body,
            {**id_headers(request_id), **(headers or {}), **error_headers(error), **native.headers},
            status=native.status,
        )
    return WholeAnswer(
        write_error(error, dialect, request_id=request_id),
        {**id_headers(request_id), **(headers or {}), **error_headers(error)},
        status=row_for(error, dialect).status,
    )


def early_headers(request_id: str) -> dict[str, str]:
    """The headers of a stream that must begin before it is known who will answer."""
    return {**STREAM_HEADERS, **id_headers(request_id)}

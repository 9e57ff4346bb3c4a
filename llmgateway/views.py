"""HTTP in, HTTP out for the hot path; no decisions."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast
from urllib.parse import parse_qsl

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from accounting.errors import KeyRefused
from conversion.dialects import Dialect
from conversion.errors import GatewayError
from conversion.sse import write_error_event
from llmgateway import catalogue, health, metrics, pipeline, token_counts
from llmgateway.admitting import limit_headers
from llmgateway.answers import EventStream, OnePart, WholeAnswer, error_answer, id_headers
from llmgateway.auth import find_secrets
from llmgateway.current import runtime
from llmgateway.errors import MethodNotAllowed, PathUnknown, ShuttingDown, row_for, told_by
from llmgateway.exchange import ClientRequest
from llmgateway.lean_handler import HotRequest, refuse
from llmgateway.outcomes import dialect_of
from llmgateway.wire import Wire

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]


def answering(dialect: Dialect) -> View:
    """The view that answers calls in a dialect."""

    async def view(hot: HotRequest) -> HttpResponseBase:
        ask = read_request(hot, dialect)
        try:
            if hot.method != "POST":
                raise MethodNotAllowed(f"{hot.path_info} takes POST, not {hot.method}.")
            held = await runtime()
            if held.tracer is not None:
                ask.trace = held.tracer.begin(ask.headers.get("traceparent", ""))
            return await pipeline.serve(ask, hot.wire, held)
        except GatewayError as error:
            return failed(error, ask, hot.wire)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if hot.wire.client_is_gone or task is None:
                raise
            task.uncancel()  # the server's last grace is over: the client is there, and is told
            return failed(ShuttingDown(), ask, hot.wire)

    return cast("View", view)


def read_request(request: HotRequest, dialect: Dialect) -> ClientRequest:
    """The values that the story needs of an HTTP request."""
    headers = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]
    }
    ask = request.wire.ask = ClientRequest(
        id=request.gateway_id,
        dialect=dialect,
        body=request.body,
        headers=headers,
        secrets=find_secrets(headers),
        query=request.scope.get("query_string", b"").decode("latin-1"),
    )
    return ask


def failed(error: GatewayError, ask: ClientRequest, wire: Wire) -> HttpResponseBase:
    """The error as an answer; as the only event of a stream that pings had to begin already."""
    wire.error = type(told_by(error)).__name__
    if isinstance(error, KeyRefused):
        ask.key = error.key
    wire.stop_pings()
    if not wire.is_started:
        headers = limit_headers(getattr(error, "standings", ()), ask.dialect)
        return error_answer(error, ask.dialect, request_id=ask.id, headers=headers)
    row = row_for(error, ask.dialect)
    event = write_error_event(ask.dialect, row.type, error.message, ask.id, code=row.code)
    return EventStream(OnePart(event), id_headers(ask.id))


async def count_tokens(request: HttpRequest) -> HttpResponseBase:
    """POST /v1/messages/count_tokens: how long a prompt is; a header says whether that was counted or estimated."""
    hot = cast("HotRequest", request)
    ask = read_request(hot, Dialect.ANTHROPIC_MESSAGES)
    try:
        if request.method != "POST":
            raise MethodNotAllowed(f"{request.path_info} takes POST, not {request.method}.")
        counted = await token_counts.count(ask, await runtime())
    except GatewayError as error:
        return failed(error, ask, hot.wire)
    headers = {
        **id_headers(ask.id),
        token_counts.COUNT_HEADER: counted.source,
        "x-llmgateway-provider": counted.provider,
        "x-llmgateway-model": pipeline.header_text(counted.upstream_model),
    }
    return WholeAnswer(counted.body, headers)


async def models(request: HttpRequest, model_id: str = "") -> HttpResponseBase:
    """GET /v1/models and /v1/models/{id}: what this key may call, in the shape the client expects."""
    hot = cast("HotRequest", request)
    dialect = dialect_of(hot.scope)
    ask = read_request(hot, dialect)
    try:
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotAllowed(
                f"{request.path_info} takes GET, not {request.method}.", allowed="GET, HEAD"
            )
        await runtime()
        body = catalogue.answer(
            ask, model_id, query=dict(parse_qsl(ask.query, keep_blank_values=True))
        )
    except GatewayError as error:
        return failed(error, ask, hot.wire)
    return WholeAnswer(body, id_headers(ask.id))


async def live(_request: HttpRequest) -> HttpResponse:
    """GET /health/live: the process is up."""
    return HttpResponse(b'{"status":"up"}', content_type="application/json")


async def ready(_request: HttpRequest) -> HttpResponse:
    """GET /health/ready: whether requests can be served, and what is missing if not."""
    report = await health.readiness(await runtime())
    return HttpResponse(report.body, status=report.status, content_type="application/json")


async def providers(_request: HttpRequest) -> HttpResponse:
    """GET /health/providers: what the last look at each provider found; no secrets."""
    report = await health.providers(await runtime())
    return HttpResponse(report.body, status=report.status, content_type="application/json")


async def metrics_page(_request: HttpRequest) -> HttpResponse:
    """GET /metrics: the figures of this process, or of all workers of this machine, for Prometheus."""
    (await runtime()).note_metrics()
    body = metrics.page()
    return HttpResponse(body, content_type=metrics.CONTENT_TYPE)


async def unknown(request: HttpRequest, **_words: str) -> HttpResponseBase:
    """Anything else below /v1/."""
    hot = cast("HotRequest", request)
    error = PathUnknown(f"There is nothing at {request.path_info[:200]}.")
    return refuse(error, hot.scope, hot.wire)

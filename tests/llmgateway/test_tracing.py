"""Traces: which spans a collector gets of a request, under which names, and that nothing else leaves."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from django.core.exceptions import ImproperlyConfigured
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from llmgateway.runtime import Runtime
from llmgateway.tracing import CLOSE_WAIT_S, Tracer
from tests.fakes.upstream import FakeUpstream, json_answer, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS, MODEL
from tests.processes import ROOT
from tests.serving import Serving, serving
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("provider")
ASK = {"model": ALIAS, "max_tokens": 100, "messages": [{"role": "user", "content": "secret words"}]}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced:
    """A gateway that traces into a list."""

    def __init__(self, gateway: Serving, percent: int) -> None:
        self.exporter = InMemorySpanExporter()
        self.gateway = gateway
        gateway.runtime.tracer = Tracer(self.exporter, percent=percent, service="test")

    async def spans(self, servers: int = 0, clients: int = 0):
        """The spans of requests and of attempts, once there are so many."""
        await self.gateway.records()
        await until(lambda: self._count(SpanKind.SERVER) >= servers)
        await until(lambda: self._count(SpanKind.CLIENT) >= clients)
        return self._of(SpanKind.SERVER), self._of(SpanKind.CLIENT)

    def _count(self, kind: SpanKind) -> int:
        self.gateway.runtime.tracer._processor.force_flush()
        return len(self._of(kind))

    def _of(self, kind: SpanKind) -> list[ReadableSpan]:
        found = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)
        return [span for span in found if span.kind is kind]


@pytest.fixture
async def traced(key, tmp_path):
    async with serving(tmp_path / "journal", key=key) as gateway:
        yield Traced(gateway, percent=100)


async def test_a_request_is_a_span_with_its_attempts_below(traced, upstream: FakeUpstream):
    upstream.answers(stream_answer(text_stream("Hi")))
    response = await traced.gateway.messages({**ASK, "stream": True}, traceparent=PARENT)
    (server,), (client,) = await traced.spans(1, 1)

    assert f"{server.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{server.parent.span_id:016x}" == PARENT.split("-")[2]
    assert client.parent.span_id == server.context.span_id
    assert server.name == "POST /v1/messages"
    assert server.attributes["http.response.status_code"] == 200
    assert client.name == f"chat {MODEL}"
    told = dict(client.attributes)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openrouter"
    assert told["gen_ai.request.model"] == MODEL
    assert told["gen_ai.usage.input_tokens"] == 20
    assert told["gen_ai.usage.output_tokens"] == 5
    assert list(told["gen_ai.response.finish_reasons"]) == ["stop"]
    assert told["llmgateway.request_id"] == response.headers["request-id"]
    assert server.start_time <= client.start_time <= client.end_time
    sent = upstream.requests[0].headers["traceparent"]
    assert sent == f"00-{client.context.trace_id:032x}-{client.context.span_id:016x}-01"
    assert "secret words" not in str([dict(span.attributes) for span in (server, client)])


async def test_failed_attempts_and_refused_requests_say_so(traced, upstream: FakeUpstream):
    upstream.default = json_answer({"error": {"message": "no"}}, status=500)
    await traced.gateway.messages(ASK)
    await traced.gateway.messages(ASK, x_api_key="gw-wrong")
    (failed, refused), (attempt,) = await traced.spans(2, 1)

    assert attempt.status.status_code is StatusCode.ERROR
    assert attempt.attributes["error.type"] == "UpstreamBroken"
    assert failed.attributes["http.response.status_code"] == 502
    assert refused.attributes["error.type"] == "KeyRefused"
    assert refused.attributes["http.response.status_code"] == 401
    assert refused.context.trace_id != failed.context.trace_id


async def test_a_client_that_does_not_want_to_be_traced_is_not(traced, upstream: FakeUpstream):
    await traced.gateway.messages(ASK, traceparent=PARENT[:-1] + "0")
    assert await traced.spans() == ([], [])
    assert upstream.requests[0].headers["traceparent"].endswith("-00")
    assert PARENT.split("-")[1] in upstream.requests[0].headers["traceparent"]


@pytest.mark.parametrize("told", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
async def test_what_is_no_trace_begins_a_new_one(traced, told):
    await traced.gateway.messages(ASK, traceparent=told)
    (server,), (client,) = await traced.spans(1, 1)
    assert server.parent is None
    assert client.context.trace_id == server.context.trace_id


async def test_only_a_share_is_traced(key, tmp_path):
    async with serving(tmp_path / "journal", key=key) as gateway:
        none = Traced(gateway, percent=0)
        await gateway.messages(ASK)
        assert await none.spans() == ([], [])


async def test_without_a_collector_nothing_is_sent_upstream(gateway, upstream: FakeUpstream):
    await gateway.messages(ASK, traceparent=PARENT)
    assert gateway.runtime.tracer is None
    assert "traceparent" not in upstream.requests[0].headers


@contextlib.contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector's address, and what it got."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces", got
    server.shutdown()
    thread.join()
    server.server_close()


async def test_spans_reach_a_collector_in_its_own_protocol(key, tmp_path, settings):
    with collector() as (address, got):
        settings.OTLP_ENDPOINT = address
        async with serving(tmp_path / "journal", key=key) as gateway:
            await gateway.messages(ASK)
            await gateway.records()
    (resource,) = ExportTraceServiceRequest.FromString(got[0]).resource_spans
    names = {span.name for scope in resource.scope_spans for span in scope.spans}
    assert names == {"POST /v1/messages", f"chat {MODEL}"}
    assert any(item.value.string_value == "llmgateway" for item in resource.resource.attributes)


@pytest.mark.parametrize("fault", ["refuses", "hangs"])
async def test_a_collector_that_is_away_holds_up_no_stop(key, tmp_path, settings, fault):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if fault == "hangs":
            listener.listen()
        settings.OTLP_ENDPOINT = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"
        async with serving(tmp_path / "journal", key=key) as gateway:
            await gateway.messages(ASK)
            await gateway.records()
            tracer = gateway.runtime.tracer
            began_s = time.monotonic()
            await asyncio.to_thread(tracer.close)
            assert time.monotonic() - began_s < CLOSE_WAIT_S + 3
            gateway.runtime.tracer = None


def test_a_missing_extra_is_said(settings, tmp_path, monkeypatch):
    settings.OTLP_ENDPOINT = "http://127.0.0.1:1/v1/traces"
    monkeypatch.setitem(sys.modules, "llmgateway.tracing", None)
    with pytest.raises(ImproperlyConfigured, match="make setup EXTRAS=otel"):
        Runtime(tmp_path)


def test_nothing_of_it_is_loaded_where_it_is_off():
    program = (
        "import django, sys; django.setup(); import llmgateway.asgi, llmgateway.runtime, llmgateway.views;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"

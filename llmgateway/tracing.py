"""Traces for an OpenTelemetry collector: a span for each request and one for each attempt, as the GenAI conventions name them.

Theory of operation. Off, nothing here is imported. On, the hot path only makes ids: for the request, under the
client's ``traceparent`` where it sends one, and for each attempt, whose ``traceparent`` goes upstream. Spans are made
of booked usage records in the ledger's thread, of requests in the teller's, and exported by the SDK's own batching processor in a thread of its
own. No content is ever told. Names: OpenTelemetry's semantic conventions for generative AI (read November 2026); what
they have no name for is called ``llmgateway.…``.
"""

import logging
import random
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from accounting.entries import Entry, masked
from conversion.dialects import Dialect
from llmgateway import __name__ as package
from llmgateway.outcomes import Outcome

log = logging.getLogger(__name__)

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
"""W3C Trace Context, https://www.w3.org/TR/trace-context/ (read November 2026)."""
CLOSE_WAIT_S = 3.0
"""How long a stop waits for the collector."""
KEPT_MAX = 20_000
"""Attempts whose spans are still to be made; more are forgotten, the oldest first."""
OPERATIONS: Mapping[str, str] = {
    Dialect.ANTHROPIC_MESSAGES.value: "chat",
    Dialect.OPENAI_CHAT.value: "chat",
    Dialect.OPENAI_COMPLETIONS.value: "text_completion",
    Dialect.OPENAI_EMBEDDINGS.value: "embeddings",
}
OTHER_ENDS: Mapping[str, str] = {"client_closed": "ClientGone", "interrupted": "Interrupted"}
"""What is told for an error where the client was told of none."""
OUR_FAULT = ("failed", "interrupted")
SCOPE = InstrumentationScope(package)


class Trace(NamedTuple):
    """Where a request stands in its trace: the ids are numbers, ``parent`` is 0 without a span of the client's."""

    trace_id: int
    span_id: int
    parent: int
    is_sampled: bool

    def header_for(self, span_id: int) -> str:
        """The ``traceparent`` that makes an upstream's spans children of one of ours."""
        return f"00-{self.trace_id:032x}-{span_id:016x}-{1 if self.is_sampled else 0:02x}"


class Tracer:
    """One for each runtime. ``percent`` of the requests without a trace of their client's are traced."""

    def __init__(self, exporter: SpanExporter, *, percent: int, service: str) -> None:
        self._percent = percent
        self._resource = Resource.create({"service.name": service})
        self._exporter = exporter
        self._processor = BatchSpanProcessor(exporter)
        self._attempts: OrderedDict[str, tuple[Trace, int]] = OrderedDict()

    def begin(self, traceparent: str) -> Trace:
        """The trace of a request: the client's, or a new one."""
        told = TRACEPARENT.fullmatch(traceparent)
        if told and int(told[1], 16) and int(told[2], 16):
            is_sampled = bool(int(told[3], 16) & 1)
            return Trace(int(told[1], 16), _chance(64), int(told[2], 16), is_sampled)
        return Trace(_chance(128), _chance(64), 0, random.random() * 100 < self._percent)  # noqa: S311  (no secret)

    def attempt(self, trace: Trace, entry_id: str) -> str:
        """The ``traceparent`` to send upstream with an attempt."""
        span_id = _chance(64)
        if trace.is_sampled:
            self._attempts[entry_id] = (trace, span_id)
            if len(self._attempts) > KEPT_MAX:
                self._attempts.popitem(last=False)
        return trace.header_for(span_id)

    def booked(self, entries: Iterable[Entry]) -> None:
        """Make the spans of attempts that are booked. Called in the ledger's thread."""
        for entry in entries:
            known = self._attempts.pop(entry.id, None)
            if known is not None:
                self._processor.on_end(self._attempt_span(entry, *known))

    def over(self, outcome: Outcome) -> None:
        """Make the span of a request that is over. Called in the teller's thread."""
        trace = outcome.trace or self.begin(outcome.header(b"traceparent"))
        if not trace.is_sampled:
            return
        error = outcome.error or OTHER_ENDS.get(outcome.word, "")
        told = {
            "http.request.method": outcome.method,
            "http.route": outcome.endpoint or None,
            "url.path": masked(outcome.path),
            "http.response.status_code": outcome.status or None,
            "error.type": error or None,
            "llmgateway.request_id": outcome.id,
            "llmgateway.outcome": outcome.word,
        }
        ended_ns = time.time_ns() - round((time.monotonic() - outcome.ended_s) * 1e9)
        span = self._span(
            f"{outcome.method} {outcome.endpoint}".strip(),
            trace,
            trace.span_id,
            trace.parent,
            ended_ns - round((outcome.ended_s - outcome.began_s) * 1e9),
            ended_ns,
            {name: value for name, value in told.items() if value is not None},
            kind=SpanKind.SERVER,
            # A server's span is no error where the client's request was one, or the client left.
            error=error if outcome.word in OUR_FAULT else "",
        )
        self._processor.on_end(span)

    def close(self) -> None:
        """Export what is waiting, and stop; spans that the collector does not take at once are lost."""
        # The SDK's own shutdown waits half a minute for a collector that does not answer.
        ending = threading.Thread(target=self._processor.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(CLOSE_WAIT_S)
        if ending.is_alive():
            log.warning("the collector does not take the last spans; they are lost")
            self._exporter.shutdown()  # ends its tries

    def _attempt_span(self, entry: Entry, trace: Trace, span_id: int) -> ReadableSpan:
        operation = OPERATIONS.get(entry.client_dialect, "chat")
        ended_at = entry.started_at + timedelta(milliseconds=entry.duration_ms or 0)
        return self._span(
            f"{operation} {entry.upstream_model}",
            trace,
            span_id,
            trace.span_id,
            round(entry.started_at.timestamp() * 1e9),
            round(ended_at.timestamp() * 1e9),
            {"gen_ai.operation.name": operation, **attributes_of(entry)},
            kind=SpanKind.CLIENT,
            error=entry.error,
        )

    def _span(
        self,
        name: str,
        trace: Trace,
        span_id: int,
        parent: int,
        began_ns: int,
        ended_ns: int,
        attributes: Mapping[str, Any],
        *,
        kind: SpanKind,
        error: str,
    ) -> ReadableSpan:
        def context(number: int) -> SpanContext:
            return SpanContext(
                trace.trace_id, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
            )

        return ReadableSpan(
            name,
            context=context(span_id),
            parent=context(parent) if parent else None,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            status=Status(StatusCode.ERROR, error) if error else Status(),
            start_time=began_ns,
            end_time=max(began_ns, ended_ns),
            instrumentation_scope=SCOPE,
        )


def attributes_of(entry: Entry) -> dict[str, Any]:
    """What a booked attempt tells by the conventions; what is not known is left out. Tokens count caches in, as there."""
    told = {
        "gen_ai.provider.name": entry.provider_kind or entry.provider,
        "gen_ai.request.model": entry.upstream_model,
        "gen_ai.response.model": entry.answered_model or None,
        "gen_ai.response.id": entry.upstream_id or None,
        "gen_ai.response.finish_reasons": [str(entry.finish_reason)]
        if entry.finish_reason
        else None,
        "gen_ai.usage.input_tokens": entry.prompt_tokens,
        "gen_ai.usage.output_tokens": entry.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": entry.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": entry.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": entry.reasoning_tokens,
        "gen_ai.conversation.id": entry.session or None,
        "error.type": entry.error or None,
        "http.response.status_code": entry.upstream_status,
        "llmgateway.request_id": entry.request_id,
        "llmgateway.attempt": entry.attempt,
        "llmgateway.after_error": entry.after_error or None,
        "llmgateway.provider": entry.provider,
        "llmgateway.alias": entry.alias,
        "llmgateway.team": entry.team,
        "llmgateway.project": entry.project or None,
        "llmgateway.key": entry.key_name,
        "llmgateway.agent": entry.agent or None,
        "llmgateway.streamed": entry.streamed,
        "llmgateway.ttft_ms": entry.ttft_ms,
        "llmgateway.cost_usd": None if entry.cost_usd is None else f"{entry.cost_usd:f}",
    }
    return {name: value for name, value in told.items() if value is not None}


def _chance(bits: int) -> int:
    """A number that is not 0, which stands for no id."""
    return random.getrandbits(bits) or 1


def make_tracer(endpoint: str, *, percent: int, service: str) -> Tracer:
    """A tracer that exports to the collector at ``endpoint`` (OTLP over HTTP, such as http://localhost:4318/v1/traces)."""
    return Tracer(OTLPSpanExporter(endpoint=endpoint), percent=percent, service=service)

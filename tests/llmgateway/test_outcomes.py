"""Every request below /v1/ is told of once, whatever became of it: one line in the log, one count, one span."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from accounting import keys
from accounting import snapshot as keys_snapshot
from accounting.models import VirtualKey
from conversion.dialects import Dialect
from llmgateway import outcomes, trial, views
from llmgateway.asgi import hot
from llmgateway.exchange import ClientRequest
from llmgateway.logs import JsonFormatter, LineFormatter
from llmgateway.outcomes import Outcome
from llmgateway.tracing import Tracer
from routing import snapshot
from tests.fakes.upstream import FakeUpstream, json_answer, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS
from tests.llmgateway.test_metrics import ASK, figures
from tests.serving import Serving
from tests.waiting import PATIENCE_S, until


@dataclass
class Told:
    """A gateway, and all that it tells of its requests."""

    gateway: Serving
    spans: InMemorySpanExporter
    records: list[logging.LogRecord] = field(default_factory=list)

    async def of(self, message: str = "request", count: int = 1) -> list[dict[str, Any]]:
        """The lines with this message, as programs read them; there are to be ``count``."""
        if message == "attempt":
            await self.gateway.records()
        await until(lambda: self._tell() or len(self._lines(message)) >= count)
        lines = self._lines(message)
        assert len(lines) == count, lines
        return lines

    def _tell(self) -> None:
        self.gateway.runtime.teller.tell()

    def _lines(self, message: str) -> list[dict[str, Any]]:
        text = [JsonFormatter().format(r) for r in self.records if r.getMessage() == message]
        return [json.loads(line) for part in text for line in part.split("\n")]

    @property
    def text(self) -> str:
        """All lines as people read them."""
        return "\n".join(LineFormatter().format(record) for record in self.records)

    def servers(self) -> list[Any]:
        """The spans of requests."""
        self.gateway.runtime.tracer._processor.force_flush()
        return [s for s in self.spans.get_finished_spans() if s.kind is SpanKind.SERVER]


@pytest.fixture
async def told(gateway: Serving) -> AsyncIterator[Told]:
    gateway.runtime.teller.tell()
    exporter = InMemorySpanExporter()
    gateway.runtime.tracer = Tracer(exporter, percent=100, service="test")
    told = Told(gateway, exporter)
    handler = logging.Handler()
    handler.emit = told.records.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("llmgateway.requests", "accounting.attempts")]
    for logger in loggers:
        logger.addHandler(handler)
    yield told
    for logger in loggers:
        logger.removeHandler(handler)


async def test_a_whole_answer_has_one_line_with_all_that_is_known_of_it(told: Told):
    answer = await told.gateway.messages(ASK)
    (line,) = await told.of()

    assert line["request_id"] == answer.headers["request-id"]
    assert (line["method"], line["path"]) == ("POST", "/v1/messages")
    assert (line["dialect"], line["status"], line["outcome"]) == (
        "anthropic_messages",
        200,
        "succeeded",
    )
    assert (line["team"], line["key"], line["alias"]) == ("alder", "laptop", ALIAS)
    assert (line["provider"], line["attempts"]) == ("openrouter", 1)
    assert (line["prompt_tokens"], line["completion_tokens"]) == (20, 5)
    assert float(line["cost_usd"]) > 0
    assert line["ms"] >= 0
    assert "error" not in line
    assert "ttft_ms" not in line
    await told.of("attempt", 0)


async def test_a_stream_tells_its_time_to_the_first_byte(told: Told, upstream: FakeUpstream):
    upstream.answers(stream_answer(text_stream("Hi")))
    await told.gateway.messages({**ASK, "stream": True})
    (line,) = await told.of()

    assert line["outcome"] == "succeeded"
    assert line["ttft_ms"] <= line["ms"]


async def test_a_stream_that_breaks_off_is_a_failure_with_its_class_wherever_it_is_told(
    told: Told, upstream: FakeUpstream
):
    before = await figures(told.gateway)
    upstream.answers(stream_answer(text_stream("Hi")[:-2], done=False, ending="reset"))
    answer = await told.gateway.messages({**ASK, "stream": True})
    (line,) = await told.of()

    assert answer.status_code == 200
    assert "event: error" in answer.text
    assert (line["status"], line["outcome"], line["error"]) == (
        200,
        "failed",
        "UpstreamDisconnected",
    )
    (attempt,) = await told.of("attempt")
    assert attempt["error"] == "UpstreamDisconnected"
    (server,) = told.servers()
    assert server.status.status_code is StatusCode.ERROR
    assert server.attributes["error.type"] == "UpstreamDisconnected"
    assert server.attributes["http.response.status_code"] == 200
    after = await figures(told.gateway)
    name = (
        "llmgateway_requests_total"
        '{dialect="anthropic_messages",error="UpstreamDisconnected",outcome="failed"}'
    )
    assert after[name] - before.get(name, 0) == 1
    attempts = (
        'llmgateway_attempts_total{error="UpstreamDisconnected",kind="openrouter",path="direct",'
        'provider="openrouter",status="failed"}'
    )
    assert after[attempts] - before.get(attempts, 0) == 1


async def test_a_request_of_three_attempts_has_one_line_and_three_of_attempts(
    told: Told, upstream: FakeUpstream, provider
):
    await type(provider).objects.aupdate(retries_max=2)
    await sync_to_async(snapshot.bump)()
    await told.gateway.runtime.refresh()
    upstream.default = json_answer({"error": {"message": "no"}}, status=503)
    await told.gateway.messages(ASK)
    (line,) = await told.of()

    assert (line["status"], line["outcome"], line["error"], line["attempts"]) == (
        529,
        "failed",
        "UpstreamOverloaded",
        3,
    )
    assert [each["attempt"] for each in await told.of("attempt", 3)] == [1, 2, 3]


async def test_a_second_attempt_that_succeeded_has_a_line_beside_the_first(
    told: Told, upstream: FakeUpstream, provider
):
    await type(provider).objects.aupdate(retries_max=1)
    await sync_to_async(snapshot.bump)()
    await told.gateway.runtime.refresh()
    upstream.answers(json_answer({"error": {"message": "no"}}, status=503))
    await told.gateway.messages(ASK)

    (line,) = await told.of()
    assert (line["outcome"], line["attempts"], line["prompt_tokens"]) == ("succeeded", 2, 20)
    assert [each["status"] for each in await told.of("attempt", 2)] == ["failed", "succeeded"]


async def test_a_client_that_leaves_is_told_of(told: Told, upstream: FakeUpstream):
    held = asyncio.Event()
    upstream.answers(stream_answer(text_stream("Hi"), ends_after=held))
    with pytest.raises(httpx.ReadTimeout):
        await told.gateway.http.post("/v1/messages", json={**ASK, "stream": True}, timeout=0.5)
    (line,) = await told.of()
    held.set()

    assert line["outcome"] == "client_closed"
    assert "error" not in line
    await told.of("attempt", 0)
    (server,) = told.servers()
    assert server.attributes["error.type"] == "ClientGone"
    assert server.status.status_code is StatusCode.UNSET


ANTHROPIC = {"anthropic-version": "2023-06-01"}
REFUSED = {
    "no key": ("POST", "/v1/messages", ASK, {"x-api-key": ""}, 401, "KeyMissing"),
    "a wrong key": ("POST", "/v1/chat/completions", ASK, {"x-api-key": "gw-x"}, 401, "KeyRefused"),
    "a body that cannot be read": ("POST", "/v1/messages", {"model": 1}, {}, 400, "RequestInvalid"),
    "too large": ("POST", "/v1/messages", ASK, {}, 413, "RequestTooLarge"),
    "encoded": ("POST", "/v1/messages", ASK, {"content-encoding": "br"}, 415, "EncodingUnknown"),
    "nothing there": ("POST", "/v1/nowhere", ASK, {}, 404, "PathUnknown"),
    "a list of none": ("GET", "/v1/models?limit=0", None, ANTHROPIC, 400, "RequestInvalid"),
    "another method": ("GET", "/v1/messages", None, {}, 405, "MethodNotAllowed"),
}  # fmt: skip


@pytest.mark.parametrize("sort", REFUSED)
async def test_a_refused_request_has_a_line_a_count_and_a_span(told: Told, sort, monkeypatch):
    method, path, body, headers, status, error = REFUSED[sort]
    if sort == "too large":
        monkeypatch.setattr(hot, "_body_bytes_max", 10)
    before = await figures(told.gateway)
    request = told.gateway.http.build_request(method, path, json=body, headers=headers)
    answer = await told.gateway.http.send(request)
    assert answer.status_code == status, answer.text
    (line,) = await told.of()

    is_anthropic = path.startswith("/v1/messages") or headers is ANTHROPIC
    dialect = "anthropic_messages" if is_anthropic else "openai_chat"
    assert line["request_id"] == answer.headers["request-id"]
    assert (line["method"], line["status"], line["error"]) == (method, status, error)
    assert (line["dialect"], line["outcome"], line["attempts"]) == (dialect, "refused", 0)
    after = await figures(told.gateway)
    name = f'llmgateway_requests_total{{dialect="{dialect}",error="{error}",outcome="refused"}}'
    assert after[name] - before.get(name, 0) == 1
    refused = f'llmgateway_refused_requests_total{{dialect="{dialect}",error="{error}"}}'
    assert after[refused] - before.get(refused, 0) == 1
    (server,) = told.servers()
    assert server.attributes["http.response.status_code"] == status
    assert server.attributes["error.type"] == error
    assert server.status.status_code is StatusCode.UNSET


async def test_whose_request_was_refused_is_told(told: Told):
    await told.gateway.messages({**ASK, "messages": [{"role": "user", "content": 7}]})
    await told.gateway.messages(b"no JSON")

    def revoke() -> None:
        keys.revoke(VirtualKey.objects.get(name="laptop"), now=datetime.now(UTC))

    await sync_to_async(revoke)()
    await told.gateway.runtime.refresh()
    await told.gateway.messages(ASK)
    lines = await told.of(count=3)

    assert {(line["team"], line["key"]) for line in lines} == {("alder", "laptop")}
    assert [line.get("alias") for line in lines] == [ALIAS, None, None]
    assert [line["error"] for line in lines] == ["RequestInvalid", "RequestInvalid", "KeyRefused"]


async def test_whose_request_it_was_is_told_where_its_body_is_not_read(told: Told, monkeypatch):
    monkeypatch.setattr(hot, "_body_bytes_max", 100_000)  # the setting, not a function
    await told.gateway.messages(b"x" * 100_001)

    def revoke() -> None:
        keys.revoke(VirtualKey.objects.get(name="laptop"), now=datetime.now(UTC))

    await sync_to_async(revoke)()
    await told.gateway.runtime.refresh()
    await told.gateway.messages(b"x" * 90_000)
    large, refused = await told.of(count=2)

    assert (large["error"], large["team"], large["key"]) == ("RequestTooLarge", "alder", "laptop")
    assert (refused["error"], refused["team"]) == ("KeyRefused", "alder")


ENDLESS = {
    "a head": b"host: h\r\n",
    "trailers": b"host: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
}


@pytest.mark.parametrize("sort", ENDLESS)
async def test_a_head_and_trailers_that_never_end_have_one_line(told: Told, key, sort):
    reader, writer = await asyncio.open_connection("127.0.0.1", told.gateway.http.base_url.port)
    writer.write(b"POST /v1/messages HTTP/1.1\r\nx-api-key: %b\r\n" % key.encode())
    writer.write(ENDLESS[sort])
    answer = asyncio.ensure_future(reader.read())
    with contextlib.suppress(ConnectionError):
        while not answer.done():
            writer.write(b"a: " + b"x" * 10_000 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
    with contextlib.suppress(ConnectionError):
        await answer
    writer.close()
    (line,) = await told.of()
    assert (line["status"], line["outcome"], line["error"]) == (431, "refused", "HeadTooLarge")
    assert (line["method"], line["path"]) == ("POST", "/v1/messages")
    assert line.get("team") == ("alder" if sort == "trailers" else None)


async def test_lists_and_counts_have_a_line_and_their_own_times(told: Told):
    before = await figures(told.gateway)
    await told.gateway.http.get("/v1/models")
    await told.gateway.post("/v1/messages/count_tokens", ASK)
    await told.gateway.http.get("/health/live")
    lines = await told.of(count=2)

    assert [line["path"] for line in lines] == ["/v1/models", "/v1/messages/count_tokens"]
    assert {line["outcome"] for line in lines} == {"succeeded"}
    assert {line["team"] for line in lines} == {"alder"}
    assert lines[1]["alias"] == ALIAS
    after = await figures(told.gateway)
    for endpoint in ("/v1/models", "/v1/messages/count_tokens"):
        name = (
            "llmgateway_request_duration_seconds_count"
            f'{{endpoint="{endpoint}",outcome="succeeded"}}'
        )
        assert after[name] - before.get(name, 0) == 1


async def test_what_is_sent_from_a_page_is_told_as_what_it_is_sent_as(told: Told):
    (key,) = keys_snapshot.current().by_digest.values()
    ask = ClientRequest("req_1", Dialect.ANTHROPIC_MESSAGES, json.dumps(ASK).encode(), {}, ())
    await trial.send(ask, key)
    (line,) = await told.of()

    assert (line["request_id"], line["path"], line["status"]) == ("req_1", "/v1/messages", 200)
    assert (line["team"], line["attempts"], line["outcome"]) == ("alder", 1, "succeeded")


async def test_a_bug_is_a_failure_of_ours(told: Told, monkeypatch):
    def broken(*_words: object, **_more: object) -> bytes:
        raise LookupError("a bug")

    monkeypatch.setattr(views.catalogue, "answer", broken)
    answer = await told.gateway.http.get("/v1/models")
    (line,) = await told.of()

    assert answer.status_code == line["status"] == 500
    assert (line["outcome"], line["error"]) == ("failed", "InternalFault")
    assert told.servers()[0].status.status_code is StatusCode.ERROR


async def test_what_a_client_makes_up_is_masked_and_makes_no_second_line(told: Told, key):
    await told.gateway.http.get(f"/v1/models/{key}%0AINFO%20forged")
    await told.gateway.http.get(f"/v1/{'x' * 500}")
    named = {**ASK, "model": f"{key} forged=1"}
    await told.gateway.messages(named, x_api_key="")
    await told.gateway.messages({**named, "messages": [{"role": "user", "content": 7}]})
    lines = await told.of(count=4)

    assert key not in told.text
    assert len(told.text.splitlines()) == 4
    assert len(lines[1]["path"]) == outcomes.PATH_CHARS_MAX
    assert "[masked]" in lines[0]["path"]
    assert "[masked]" in lines[3]["alias"]


async def test_streams_under_way_are_told_apart_from_whole_answers(
    gateway: Serving, upstream: FakeUpstream
):
    held = asyncio.Event()
    upstream.answers(
        stream_answer(text_stream("Hi"), ends_after=held),
        replace(upstream.default, begins_after=held),
    )
    stream = asyncio.ensure_future(gateway.messages({**ASK, "stream": True}))
    whole = asyncio.ensure_future(gateway.messages(ASK))
    await until(lambda: len(gateway.runtime.under_way) == 2)
    told = await figures(gateway)
    held.set()
    await asyncio.wait_for(asyncio.gather(stream, whole), PATIENCE_S)

    assert told["llmgateway_requests_under_way"] == 2
    assert told["llmgateway_open_streams"] == 1
    assert (await figures(gateway))["llmgateway_open_streams"] == 0


async def test_the_journal_is_told_of(gateway: Serving, upstream: FakeUpstream):
    held = asyncio.Event()
    upstream.answers(stream_answer(text_stream("Hi"), ends_after=held))
    asked = asyncio.ensure_future(gateway.messages({**ASK, "stream": True}))
    await until(lambda: gateway.runtime.ledger.depth.under_way == 1)
    told = await figures(gateway)
    held.set()
    await asyncio.wait_for(asked, PATIENCE_S)

    assert told["llmgateway_journal_attempts_under_way"] == 1
    assert told["llmgateway_journal_segments"] == 1
    assert told["llmgateway_journal_bytes"] > 100
    await gateway.records(1)
    await until(lambda: not gateway.runtime.ledger.depth.waiting)
    assert (await figures(gateway))["llmgateway_journal_attempts_under_way"] == 0


@pytest.mark.parametrize(
    ("status", "error", "gone", "answered", "word"),
    [
        (200, "", False, True, "succeeded"),
        (404, "PathUnknown", False, True, "refused"),
        (429, "UpstreamRateLimited", False, True, "refused"),
        (502, "UpstreamBroken", False, True, "failed"),
        (200, "UpstreamStreamCut", True, False, "failed"),
        (0, "", True, False, "client_closed"),
        (200, "", True, False, "client_closed"),
        (200, "", False, False, "interrupted"),
    ],
)
def test_how_a_request_ended_has_one_word(status, error, gone, answered, word):
    outcome = Outcome(
        "req_1", Dialect.OPENAI_CHAT, "POST", "/v1/x", status, error, gone, answered, 0, 1
    )
    assert outcome.word == word
    assert word in outcomes.WORDS


def test_no_more_is_kept_than_can_be_told(monkeypatch):
    monkeypatch.setattr(outcomes, "WAITING_MAX", 3)
    book = outcomes.Book()
    for number in range(5):
        book.add(
            Outcome(str(number), Dialect.OPENAI_CHAT, "GET", "/v1/x", 200, "", False, True, 0, 1)
        )
    assert [each.id for each in book.take(2)] == ["2", "3"]
    assert [each.id for each in book.take(2)] == ["4"]

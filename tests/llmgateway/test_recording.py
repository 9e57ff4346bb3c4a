"""What crosses is recorded where a flag asks for it: as it was sent, per attempt, and not at all elsewhere."""

import asyncio

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, reset_queries

from accounting import request_logs
from accounting.models import RequestLog
from routing.models import FeatureFlag, Provider
from tests.fakes.upstream import (
    FakeUpstream,
    chat_answer,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
)
from tests.llmgateway.conftest import ALIAS, add_openrouter, route_to
from tests.llmgateway.test_messages import ASK, STREAM
from tests.serving import Serving, serving

pytestmark = pytest.mark.usefixtures("provider")
NO_CREDIT = json_answer({"error": {"code": 402, "message": "No credit."}}, status=402)


@pytest.fixture
def run(key, tmp_path):
    """The gateway with a flag set so: ``async with run("log_bodies", team="alder") as gateway``."""

    class Run:
        def __init__(self, flag: str, **scope):
            self.flag, self.scope = flag, scope

        async def __aenter__(self) -> Serving:
            if self.flag:
                await FeatureFlag.objects.acreate(name=self.flag, **self.scope)
            self.serving = serving(tmp_path / "journal", key=key)
            return await self.serving.__aenter__()

        async def __aexit__(self, *error):
            await self.serving.__aexit__(*error)

    return Run


async def logs_of(gateway: Serving) -> list[RequestLog]:
    """All rows, oldest first, once everything that was recorded is written."""
    await gateway.records()
    await asyncio.to_thread(gateway.runtime.request_logs.flush)
    return [row async for row in RequestLog.objects.order_by("id")]


def texts(row: RequestLog) -> dict[str, bytes]:
    return {body.name: body.text for body in row.bodies}


async def test_bodies_are_kept_as_they_crossed(run, upstream: FakeUpstream):
    upstream.answers(json_answer(chat_answer("Good morning."), headers={"x-generation-id": "g-1"}))
    async with run("log_bodies") as gateway:
        answer = await gateway.messages(ASK)
        [record] = await gateway.records(1)
        [row] = await logs_of(gateway)

    assert texts(row) == {
        "client_request": orjson.dumps(ASK),
        "upstream_request": upstream.requests[0].body,
        "upstream_answer": orjson.dumps(chat_answer("Good morning.")),
        "client_answer": answer.content,
    }
    assert row.pk == record.pk
    assert (row.request_id, row.team, row.key_name) == (record.request_id, "alder", "laptop")
    assert row.at == record.started_at
    headers = {name: dict(pairs) for name, pairs in row.headers.items()}
    assert headers["client_request"]["x-api-key"] == "[masked]"
    assert headers["upstream_request"]["Authorization"] == "[masked]"
    assert headers["upstream_request"]["Content-Type"] == "application/json"
    assert headers["upstream_answer"][":status"] == "200"
    assert headers["upstream_answer"]["x-generation-id"] == "g-1"
    assert headers["client_answer"]["x-llmgateway-provider"] == "openrouter"


async def test_the_text_of_a_stream_is_kept_on_both_sides(run, upstream: FakeUpstream):
    upstream.answers(stream_answer(text_stream("Hel", "lo")))
    async with run("log_bodies") as gateway:
        answer = await gateway.messages(STREAM)
        [row] = await logs_of(gateway)

    kept = texts(row)
    assert kept["client_answer"] == answer.content
    assert kept["upstream_answer"].startswith(b"data: {")
    assert kept["upstream_answer"].endswith(b"data: [DONE]\n\n")
    assert row.is_cut is False


async def test_headers_alone_are_kept_without_bodies(run, upstream: FakeUpstream):
    upstream.answers(json_answer(chat_answer("a")), stream_answer(text_stream("a")))
    async with run("log_headers") as gateway:
        await gateway.messages(ASK)
        await gateway.messages(STREAM)
        rows = await logs_of(gateway)

    assert len(rows) == 2
    for row in rows:
        assert row.bodies == []
        assert set(row.headers) == {
            "client_request",
            "upstream_request",
            "upstream_answer",
            "client_answer",
        }


@pytest.mark.parametrize(
    ("flag", "scope", "count"),
    [
        ("", {}, 0),
        ("log_bodies", {"enabled": False}, 0),
        ("log_bodies", {"team": "birch"}, 0),
        ("log_bodies", {"team": "alder", "key": "other"}, 0),
        ("log_bodies", {"percentage": 0}, 0),
        ("log_bodies", {"team": "alder"}, 1),
        ("log_bodies", {"team": "alder", "key": "laptop"}, 1),
        ("log_headers", {"team": "alder"}, 1),
    ],
)
async def test_only_whom_the_flag_is_about_is_recorded(run, flag, scope, count):
    async with run(flag, **scope) as gateway:
        await gateway.messages(ASK)
        rows = await logs_of(gateway)

    assert len(rows) == count


async def test_recording_asks_no_database_on_the_way(run):
    async with run("log_bodies") as gateway:
        await gateway.messages(ASK)
        await logs_of(gateway)

        def begin_to_count() -> None:
            connection.force_debug_cursor = True
            reset_queries()

        def counted() -> int:
            connection.force_debug_cursor = False
            return len(connection.queries)

        await sync_to_async(begin_to_count)()
        await gateway.messages(ASK)
        assert await sync_to_async(counted)() == 0


async def test_nothing_is_captured_where_both_flags_are_off(
    run, monkeypatch, upstream: FakeUpstream
):
    upstream.answers(json_answer(chat_answer("a")), stream_answer(text_stream("a")))

    def refuse(*_words: object) -> None:
        raise AssertionError("something was captured")

    async with run("") as gateway:
        monkeypatch.setattr(gateway.runtime.request_logs, "put", refuse)
        monkeypatch.setattr(request_logs.Capture, "add", refuse)
        answers = [await gateway.messages(ASK), await gateway.messages(STREAM)]

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_each_attempt_has_its_row_and_the_last_tells_what_the_client_was_told(
    run, upstream: FakeUpstream
):
    def add() -> None:
        route_to(ALIAS, add_openrouter("second", upstream.url))

    await sync_to_async(add)()
    upstream.answers(NO_CREDIT, NO_CREDIT)
    async with run("log_bodies") as gateway:
        answer = await gateway.messages(ASK)
        rows = await logs_of(gateway)

    assert answer.status_code >= 400
    assert len(rows) == 2
    assert all(b"No credit." in texts(row)["upstream_answer"] for row in rows)
    assert "client_answer" not in texts(rows[0])
    assert texts(rows[1])["client_answer"] == answer.content
    assert rows[1].headers["client_answer"][0] == [":status", str(answer.status_code)]


async def test_a_provider_that_cannot_be_reached_leaves_what_was_sent(run, provider: Provider):
    provider.base_url = "http://127.0.0.1:9"
    await sync_to_async(provider.save)()
    async with run("log_bodies") as gateway:
        answer = await gateway.messages(ASK)
        [row] = await logs_of(gateway)

    assert set(texts(row)) == {"client_request", "upstream_request", "client_answer"}
    assert texts(row)["client_answer"] == answer.content


async def test_a_client_that_hangs_up_leaves_what_it_was_sent(run, upstream: FakeUpstream):
    upstream.answers(stream_answer([chunk({"content": "word "})] * 500, pause_s=0.01))
    async with run("log_bodies") as gateway:
        async with gateway.http.stream("POST", "/v1/messages", json=STREAM) as answer:
            async for _piece in answer.aiter_raw():
                break
        await gateway.records(1)
        [row] = await logs_of(gateway)

    assert b"word" in texts(row)["upstream_answer"]
    assert b"message_start" in texts(row)["client_answer"]


async def test_a_stream_that_breaks_off_ends_with_the_error_the_client_got(
    run, upstream: FakeUpstream
):
    upstream.answers(stream_answer([chunk({"content": "word"})], done=False, ending="reset"))
    async with run("log_bodies") as gateway:
        answer = await gateway.messages(STREAM)
        [row] = await logs_of(gateway)

    assert b"event: error" in answer.content
    assert texts(row)["client_answer"] == answer.content


async def test_a_long_body_is_cut_to_the_setting(run, upstream: FakeUpstream, settings):
    settings.LOG_BODY_BYTES_MAX = 2000
    upstream.answers(json_answer(chat_answer("long " * 5000)))
    async with run("log_bodies") as gateway:
        answer = await gateway.messages(ASK)
        [row] = await logs_of(gateway)

    assert row.is_cut
    assert texts(row)["client_answer"] == answer.content[:2000]
    assert row.client_answer_bytes == len(answer.content)


async def test_lost_logs_are_told_by_the_health_page(run, monkeypatch):
    monkeypatch.setattr(request_logs, "WAITING_BYTES_MAX", 0)
    async with run("log_bodies") as gateway:
        before = (await gateway.http.get("/health/ready")).json()
        await gateway.messages(ASK)
        after = (await gateway.http.get("/health/ready")).json()

    assert (before["request_logs_dropped"], after["request_logs_dropped"]) == (0, 1)

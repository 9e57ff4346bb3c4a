"""Everything that can go wrong, told in Anthropic's shape and with a status that Claude Code and the SDK act on."""

import asyncio
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from routing.models import Provider
from tests.fakes.upstream import (
    NOTHING_AT_ALL,
    SILENCE,
    Answer,
    FakeUpstream,
    bytes_answer,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
)
from tests.llmgateway.conftest import ALIAS, SECRET
from tests.llmgateway.test_messages import ASK, STREAM, events
from tests.serving import Serving
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.uncovered


def assert_error(answer, status: int, kind: str, *words: str) -> str:
    """The answer is Anthropic's error envelope; its message."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert body["request_id"] == answer.headers["request-id"]
    for word in words:
        assert word in body["error"]["message"]
    assert SECRET not in answer.text
    return body["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({}, "No API key"),
        ({"x-api-key": "gw-unknown"}, "mistyped"),
        ({"x-api-key": "sk-ant-something"}, "not known"),
        ({"authorization": "Basic abc"}, "No API key"),
    ],
)
async def test_a_wrong_or_missing_key_is_401(
    gateway: Serving, upstream: FakeUpstream, headers, word
):
    del gateway.http.headers["x-api-key"]

    answer = await gateway.http.post("/v1/messages", json=ASK, headers=headers)

    assert_error(answer, 401, "authentication_error", word)
    assert upstream.requests == []


async def test_an_unknown_model_is_404_and_names_the_nearest(gateway: Serving, provider: Provider):
    def forget_wildcard() -> None:
        from routing.models import ModelAlias

        ModelAlias.objects.get(name="*").delete()

    await sync_to_async(forget_wildcard)()
    await gateway.runtime.refresh()

    answer = await gateway.messages({**ASK, "model": "claude-sonet-4-5"})

    assert_error(answer, 404, "not_found_error", "claude-sonet-4-5", f"Did you mean {ALIAS}")
    assert await gateway.records() == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{not json", "not valid JSON"),
        (b"[]", "JSON object"),
        (b'{"model": "m", "max_tokens": 5}', "messages"),
        (b'{"messages": [], "max_tokens": 5}', "model"),
        (b'{"model": "m", "messages": []}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_tokens": "5"}', "max_tokens"),
        (b'{"model": "m", "messages": [], "max_tokens": 5, "stream": "yes"}', "stream"),
        (
            b'{"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": 5}]}',
            "messages[0].content",
        ),
        (b"\xff\xfe", "not valid JSON"),
    ],
)
async def test_a_broken_body_is_400_and_names_the_field(
    gateway: Serving, upstream: FakeUpstream, body, word
):
    answer = await gateway.messages(body)

    assert_error(answer, 400, "invalid_request_error", word)
    assert upstream.requests == []


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_that_is_too_large_is_413(gateway: Serving, is_announced, monkeypatch):
    from llmgateway.asgi import hot

    monkeypatch.setattr(hot, "_body_bytes_max", 1000)  # the setting, not a function

    async def pieces():
        for _ in range(20):
            yield b"x" * 100

    content = b"x" * 2000 if is_announced else pieces()
    answer = await gateway.http.post("/v1/messages", content=content)

    assert_error(answer, 413, "request_too_large", "GATEWAY_BODY_BYTES_MAX")


async def test_a_long_body_without_a_key_is_refused_before_it_is_sent(gateway: Serving):
    """And its client is told so, although it goes on sending."""
    told = await gateway.http.post(
        "/v1/messages", content=b"x" * 20_000_000, headers={"x-api-key": "gw-nobodys"}
    )
    assert_error(told, 401, "authentication_error", "mistyped")
    assert told.headers["connection"] == "close"

    reader, writer = await asyncio.open_connection(*gateway.url.removeprefix("http://").split(":"))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 20000000\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    writer.close()
    assert head.startswith(b"HTTP/1.1 401 ")


async def test_other_paths_and_methods_are_answered_in_the_dialect(gateway: Serving):
    assert_error(await gateway.http.post("/v1/messages/batches"), 404, "not_found_error")
    assert_error(await gateway.http.get("/v1/messages"), 405, "invalid_request_error")


def openrouter_error(status: int, message: str = "went wrong", **more) -> Answer:
    headers = more.pop("headers", {})
    return json_answer(
        {"error": {"code": status, "message": message, **more}}, status=status, headers=headers
    )


@pytest.mark.parametrize(
    ("upstream_status", "status", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 502, "api_error"),
        (402, 502, "api_error"),
        (403, 502, "api_error"),
        (404, 404, "not_found_error"),
        (408, 504, "timeout_error"),
        (413, 413, "request_too_large"),
        (422, 400, "invalid_request_error"),
        (429, 429, "rate_limit_error"),
        (500, 502, "api_error"),
        (502, 502, "api_error"),
        (503, 529, "overloaded_error"),
        (504, 504, "timeout_error"),
        (529, 529, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "stream"])
async def test_an_upstream_status_becomes_the_clients(
    gateway: Serving, upstream: FakeUpstream, upstream_status, status, kind, body
):
    upstream.answers(openrouter_error(upstream_status, "it went wrong"))

    answer = await gateway.messages(body)
    [record] = await gateway.records(1)

    assert_error(answer, status, kind)
    assert (record.status, record.upstream_status) == ("failed", upstream_status)
    assert record.error


@pytest.mark.parametrize("status", [401, 402])
async def test_a_fault_of_our_account_tells_the_client_not_to_retry(
    gateway: Serving, upstream: FakeUpstream, status
):
    upstream.answers(openrouter_error(status))

    answer = await gateway.messages(ASK)

    assert answer.headers["x-should-retry"] == "false"


async def test_moderation_is_403(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(
        openrouter_error(403, "flagged", metadata={"reasons": ["violence"], "flagged_input": "…"})
    )

    assert_error(await gateway.messages(ASK), 403, "permission_error", "flagged")


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_kept(gateway: Serving, upstream: FakeUpstream, status):
    upstream.answers(openrouter_error(status, headers={"retry-after": "7"}))

    answer = await gateway.messages(ASK)

    assert answer.headers["retry-after"] == "7"


async def test_a_prompt_that_is_too_long_is_told_in_the_words_that_make_claude_code_compact(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(
        openrouter_error(
            400,
            "This endpoint's maximum context length is 200000 tokens. However, you requested about 250123 tokens "
            "(249000 of text input, 1123 in the output).",
        )
    )

    message = assert_error(
        await gateway.messages(STREAM), 400, "invalid_request_error", "prompt is too long"
    )

    assert "200000 maximum" in message


async def test_a_refused_connection_is_502(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    provider.base_url = "http://127.0.0.1:9/api/v1"
    await provider.asave()
    await gateway.runtime.refresh()

    assert_error(await gateway.messages(ASK), 502, "api_error", "openrouter", "cannot be reached")
    [record] = await gateway.records(1)
    assert (record.status, record.error, record.upstream_status) == (
        "failed",
        "UpstreamUnreachable",
        None,
    )


async def test_a_connection_that_is_not_accepted_is_504(gateway: Serving, provider: Provider):
    import socket

    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(3):  # the queue of waiting connections is full: the next one hangs
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        provider.base_url = f"http://127.0.0.1:{full.getsockname()[1]}"
        provider.connect_timeout_s = Decimal("0.5")
        await provider.asave()
        await gateway.runtime.refresh()

        answer = await gateway.messages(ASK)
        for filler in fillers:
            filler.close()

    assert_error(answer, 504, "timeout_error", "connect_timeout_s")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "stream"])
async def test_silence_before_the_first_byte_is_504(gateway: Serving, upstream: FakeUpstream, body):
    upstream.answers(SILENCE)

    assert_error(await gateway.messages(body), 504, "timeout_error", "first_byte_timeout_s")
    assert await upstream.requests[0].left() is not None


async def test_silence_in_a_whole_answer_is_504(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    provider.idle_timeout_s = Decimal("0.6")
    await provider.asave()
    await gateway.runtime.refresh()
    upstream.answers(
        Answer([b'{"id":'], headers={"content-type": "application/json"}, ending="stall")
    )

    assert_error(await gateway.messages(ASK), 504, "timeout_error", "idle_timeout_s")


async def test_an_attempt_that_takes_too_long_altogether_is_ended(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    provider.total_timeout_s = Decimal(3)  # time enough for the first of it
    await provider.asave()
    await gateway.runtime.refresh()
    upstream.answers(stream_answer([chunk({"content": "drip"})] * 600, pause_s=0.05))

    found = events((await gateway.messages(STREAM)).content)

    assert found[-1]["type"] == "error"
    assert found[-1]["error"]["type"] == "timeout_error"
    assert "total_timeout_s" in found[-1]["error"]["message"]


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "garbage",
    [
        b"<html><body>Bad gateway</body></html>",
        b"",
        b'{"hello": "world"}',
        b"[1, 2]",
        b'{"choices": "none"}',
    ],
)
async def test_garbage_instead_of_an_answer_is_502(
    gateway: Serving, upstream: FakeUpstream, body, garbage
):
    upstream.answers(
        Answer([garbage] if garbage else [], headers={"content-type": "application/json"})
    )

    message = assert_error(await gateway.messages(body), 502, "api_error")

    assert "<html" not in message


async def test_a_reset_before_the_answer_is_502(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(NOTHING_AT_ALL)

    assert_error(await gateway.messages(ASK), 502, "api_error")


async def test_an_error_in_the_clothes_of_a_success_is_an_error(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(json_answer({"error": {"code": 429, "message": "slow down"}}))

    assert_error(await gateway.messages(ASK), 429, "rate_limit_error")


async def test_an_error_before_the_first_content_is_a_status_not_an_event(
    gateway: Serving, upstream: FakeUpstream
):
    early = chunk({"role": "assistant", "content": ""})
    late = {**chunk(finish_reason="error"), "error": {"code": 502, "message": "provider down"}}
    upstream.answers(stream_answer([": OPENROUTER PROCESSING\n\n", early, late]))

    assert_error(await gateway.messages(STREAM), 502, "api_error", "provider down")


async def test_an_error_in_mid_stream_ends_it_with_an_error_event(
    gateway: Serving, upstream: FakeUpstream
):
    late = {
        **chunk(finish_reason="error"),
        "error": {"code": "server_error", "message": "provider died"},
    }
    upstream.answers(stream_answer([*text_stream("Hello")[:2], late], pause_s=0.05))

    answer = await gateway.messages(STREAM)
    found = events(answer.content)
    [record] = await gateway.records(1)

    assert answer.status_code == 200
    assert found[-1]["type"] == "error"
    assert found[-1]["error"] == {"type": "api_error", "message": found[-1]["error"]["message"]}
    assert found[-1]["request_id"] == answer.headers["request-id"]
    assert "provider died" in found[-1]["error"]["message"]
    assert not {"message_delta", "message_stop"} & {event["type"] for event in found}
    assert (record.status, record.error) == ("failed", "UpstreamBroken")


@pytest.mark.parametrize("ending", ["close", "cut", "reset", "stall"])
async def test_a_stream_that_breaks_off_ends_with_an_error_event(
    gateway: Serving, upstream: FakeUpstream, provider: Provider, ending
):
    provider.idle_timeout_s = Decimal(2)
    await provider.asave()
    await gateway.runtime.refresh()
    upstream.answers(
        stream_answer(text_stream("Hello", " there")[:3], done=False, ending=ending, pause_s=0.02)
    )

    found = events((await gateway.messages(STREAM)).content)
    [record] = await gateway.records(1)

    assert found[-1]["type"] == "error"
    assert not {"message_delta", "message_stop"} & {event["type"] for event in found}
    assert record.status == "failed"
    assert record.completion_tokens  # counted from the text that was sent
    assert record.tokens_estimated is True


async def test_a_stream_of_garbage_ends_with_an_error(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(bytes_answer(b"data: {]\n\ndata: x\n\n"))

    assert_error(await gateway.messages(STREAM), 502, "api_error")


async def test_a_failure_is_repeated_as_often_as_the_provider_says(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    provider.retries_max = 2
    await provider.asave()
    await gateway.runtime.refresh()
    upstream.answers(
        openrouter_error(500), NOTHING_AT_ALL, stream_answer(text_stream("third time"))
    )

    answer = await gateway.messages(STREAM)
    records = await gateway.records(3)

    assert b"third time" in answer.content
    assert answer.headers["x-llmgateway-attempts"] == "3"
    assert [(record.attempt, record.status) for record in records] == [
        (1, "failed"),
        (2, "failed"),
        (3, "succeeded"),
    ]
    assert len({record.request_id for record in records}) == 1


async def test_the_next_target_is_tried_when_the_first_is_used_up(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    from tests.llmgateway.conftest import add_openrouter, route_to

    def add_second() -> None:
        route_to(ALIAS, add_openrouter("spare", upstream.url), "other/model")

    await sync_to_async(add_second)()
    await gateway.runtime.refresh()
    upstream.answers(openrouter_error(429), json_answer({"choices": "broken"}))

    answer = await gateway.messages(ASK)
    records = await gateway.records(2)

    assert_error(
        answer, 502, "api_error", "openrouter: UpstreamRateLimited", "spare: UpstreamInvalid"
    )
    assert [record.provider for record in records] == ["openrouter", "spare"]
    assert [seen.json["model"] for seen in upstream.requests][1] == "other/model"


async def test_a_request_that_is_at_fault_itself_is_not_tried_elsewhere(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    from tests.llmgateway.conftest import add_openrouter, route_to

    def add_second() -> None:
        route_to(ALIAS, add_openrouter("spare", upstream.url))

    await sync_to_async(add_second)()
    await gateway.runtime.refresh()
    upstream.answers(openrouter_error(400, "bad tool schema"))

    assert_error(await gateway.messages(ASK), 400, "invalid_request_error", "bad tool schema")
    assert len(upstream.requests) == 1


async def test_no_secret_is_in_any_error_or_log(gateway: Serving, upstream: FakeUpstream, caplog):
    upstream.answers(openrouter_error(401, f"Incorrect key provided: {SECRET}"))

    answer = await gateway.messages(ASK)
    [record] = await gateway.records(1)

    for text in (answer.text, record.error_message, caplog.text):
        assert SECRET not in text
        assert gateway.http.headers["x-api-key"] not in text

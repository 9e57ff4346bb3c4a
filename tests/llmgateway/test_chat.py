"""POST /v1/chat/completions over OpenRouter: both ends speak the same, so that bytes pass as they are."""

import asyncio
from decimal import Decimal

import orjson
import pytest
from asgiref.sync import sync_to_async

from routing.models import Deployment, Provider
from tests.fakes.upstream import (
    Answer,
    FakeUpstream,
    bytes_answer,
    chat_answer,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
)
from tests.llmgateway.conftest import ALIAS, MODEL, SECRET
from tests.serving import Serving

pytestmark = pytest.mark.uncovered

ASK = {"model": ALIAS, "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}

ODD_WHOLE = (
    b'{ "id":"gen-9", "object":"chat.completion","created":1 , "model":"anthropic/x", "choices" : [{"index":0,'
    b'"finish_reason":"stop","native_finish_reason":"end_turn","message":{"role":"assistant",'
    b'"content":"\\u0048ello \xc3\xa4"}}], "usage":{"prompt_tokens":20,"completion_tokens":5,'
    b'"total_tokens":25,"cost":0.00012500} , "nobody_knows": [1.0] }'
)
ODD_STREAM = (
    b": OPENROUTER PROCESSING\n\n"
    b'data: {"id":"gen-9","choices":[{"index":0,"delta":{"role":"assistant","content":""}}], "new": 1.0}\n\n'
    b'data:{"id":"gen-9","choices":[{"index":0,"delta":{"content":"H\\u0065llo"}}]}\n\n'
    b'data: {"id":"gen-9","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"gen-9","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":5,"cost":0.000125}}\n\n'
    b"data: [DONE]\n\n"
)


def assert_error(answer, status: int, kind: str, code: str | None, *words: str) -> dict:
    """The answer is OpenAI's error envelope; what is inside it."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (body["error"]["type"], body["error"]["code"]) == (kind, code)
    for word in words:
        assert word in body["error"]["message"]
    assert answer.headers["x-request-id"].startswith("req_")
    assert SECRET not in answer.text
    return body["error"]


async def test_a_whole_answer_passes_untouched(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(Answer([ODD_WHOLE], headers={"content-type": "application/json"}))

    answer = await gateway.chat(ASK)

    assert answer.status_code == 200
    assert answer.content == ODD_WHOLE
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-llmgateway-provider"] == "openrouter"
    assert answer.headers["x-llmgateway-model"] == MODEL
    assert Decimal(answer.headers["x-llmgateway-cost-usd"]) == Decimal("0.000125")


@pytest.mark.parametrize("cut", [0, 1, 7])
async def test_a_stream_passes_untouched_however_it_is_cut(
    gateway: Serving, upstream: FakeUpstream, cut
):
    upstream.answers(bytes_answer(ODD_STREAM, cut=cut))

    answer = await gateway.chat(STREAM)

    assert answer.status_code == 200
    assert answer.content == ODD_STREAM
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_only_the_model_changes_on_the_way_out(gateway: Serving, upstream: FakeUpstream):
    body = b'{ "messages":[{"role":"user","content":"\\u0048i"}],"new_field" : 1.0, "model":"%s"}'

    await gateway.chat(body % ALIAS.encode(), anthropic_beta="x", user_agent="somebody/1")

    [seen] = upstream.requests
    assert seen.path == "/api/v1/chat/completions"
    assert seen.body == body % MODEL.encode()
    assert seen.headers["authorization"] == f"Bearer {SECRET}"
    assert seen.headers["user-agent"] == "llmgateway"
    assert "x-api-key" not in seen.headers
    assert "anthropic-beta" not in seen.headers


async def test_the_key_is_taken_as_openais_sdk_sends_it(gateway: Serving, key: str):
    del gateway.http.headers["x-api-key"]

    assert (await gateway.chat(ASK, authorization=f"Bearer {key}")).status_code == 200


async def test_each_attempt_leaves_one_complete_record(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(bytes_answer(ODD_STREAM), Answer([ODD_WHOLE]))

    streamed = await gateway.chat(STREAM, x_llmgateway_agent="agent-1")
    await gateway.chat(ASK)
    records = await gateway.records(2)

    assert records[0].request_id == streamed.headers["x-request-id"]
    assert records[0].agent == "agent-1"
    assert (records[0].streamed, records[1].streamed) == (True, False)
    assert records[0].ttft_ms is not None
    assert records[0].answer_bytes == len(ODD_STREAM)
    assert records[1].answer_bytes == len(ODD_WHOLE)
    for record in records:
        assert record.client_dialect == record.upstream_dialect == "openai_chat"
        assert (record.status, record.finish_reason) == ("succeeded", "stop")
        assert (record.prompt_tokens, record.completion_tokens) == (20, 5)
        assert (record.cost_usd, record.cost_source) == (Decimal("0.000125"), "provider")
        assert record.upstream_id == "gen-9"
        assert record.tokens_estimated is False


async def test_usage_is_asked_for_and_kept_from_a_client_that_did_not_ask(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(bytes_answer(ODD_STREAM))

    answer = await gateway.chat({**ASK, "stream": True})
    [record] = await gateway.records(1)

    assert upstream.requests[0].json["stream_options"] == {"include_usage": True}
    assert b'"usage"' not in answer.content
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert (record.prompt_tokens, record.completion_tokens) == (20, 5)


async def test_parameters_of_the_deployment_replace_the_clients(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    def set_parameters() -> None:
        row = Deployment.objects.get(provider=provider, upstream_model=MODEL)
        row.parameters = {"temperature": 0.2}
        row.save()

    await sync_to_async(set_parameters)()
    await gateway.runtime.refresh()

    await gateway.chat({**ASK, "temperature": 1, "top_p": 0.5})

    sent = upstream.requests[0].json
    assert (sent["temperature"], sent["top_p"], sent["model"]) == (0.2, 0.5, MODEL)


async def test_a_missing_key_is_told_in_openais_shape(gateway: Serving, upstream: FakeUpstream):
    del gateway.http.headers["x-api-key"]

    error = assert_error(
        await gateway.chat(ASK), 401, "invalid_request_error", "invalid_api_key", "No API key"
    )

    assert error["param"] is None
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "JSON object"),
        (b'{"messages": []}', "model"),
        (b'{"model": 5, "messages": []}', "model"),
        (b'{"model": "m", "messages": [], "stream": "yes"}', "stream"),
    ],
)
async def test_a_broken_body_is_400(gateway: Serving, upstream: FakeUpstream, body, word):
    assert_error(await gateway.chat(body), 400, "invalid_request_error", None, word)
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("status", "told", "kind", "code"),
    [
        (400, 400, "invalid_request_error", None),
        (401, 502, "server_error", None),
        (402, 502, "server_error", None),
        (404, 404, "invalid_request_error", "model_not_found"),
        (429, 429, "rate_limit_error", "rate_limit_exceeded"),
        (500, 502, "server_error", None),
        (503, 503, "server_error", "overloaded"),
    ],
)
async def test_an_upstream_status_becomes_the_clients(
    gateway: Serving, upstream: FakeUpstream, status, told, kind, code
):
    upstream.answers(json_answer({"error": {"message": "No.", "code": status}}, status=status))

    assert_error(await gateway.chat(ASK), told, kind, code)
    [record] = await gateway.records(1)

    assert (record.status, record.upstream_status) == ("failed", status)


async def test_an_error_in_the_clothes_of_a_success_is_an_error(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(json_answer({"error": {"message": "Slow down.", "code": 429}}))

    assert_error(await gateway.chat(ASK), 429, "rate_limit_error", "rate_limit_exceeded", "Slow")


def data_of(body: bytes) -> list[dict]:
    return [
        orjson.loads(frame.removeprefix(b"data: "))
        for frame in body.split(b"\n\n")
        if frame.strip()
    ]


async def test_a_failure_in_mid_stream_is_an_error_chunk_and_no_end_mark(
    gateway: Serving, upstream: FakeUpstream
):
    late = {**chunk(finish_reason="error"), "error": {"code": 502, "message": "provider died"}}
    upstream.answers(stream_answer([*text_stream("Hello")[:2], late], pause_s=0.05))

    answer = await gateway.chat(STREAM)
    [record] = await gateway.records(1)

    *passed, last = data_of(answer.content)
    assert answer.status_code == 200
    assert passed == text_stream("Hello")[:2]
    assert last["error"]["type"] == "server_error"
    assert "provider died" in last["error"]["message"]
    assert last["request_id"] == answer.headers["x-request-id"]
    assert b"[DONE]" not in answer.content
    assert (record.status, record.error) == ("failed", "UpstreamBroken")


@pytest.mark.parametrize("ending", ["close", "cut", "reset", "stall"])
async def test_a_stream_that_breaks_off_ends_with_an_error_chunk(
    gateway: Serving, upstream: FakeUpstream, provider: Provider, ending
):
    provider.idle_timeout_s = Decimal(2)
    await provider.asave()
    await gateway.runtime.refresh()
    pieces = text_stream("Hello", " there")[:3]
    upstream.answers(stream_answer(pieces, done=False, ending=ending, pause_s=0.02))

    answer = await gateway.chat(STREAM)
    [record] = await gateway.records(1)

    *passed, last = data_of(answer.content)
    assert passed == pieces
    assert set(last) == {"error", "request_id"}
    assert b"[DONE]" not in answer.content
    assert record.status == "failed"
    assert record.tokens_estimated is True
    assert record.completion_tokens


async def test_an_error_before_the_first_content_is_a_status(
    gateway: Serving, upstream: FakeUpstream
):
    early = chunk({"role": "assistant", "content": ""})
    late = {**chunk(finish_reason="error"), "error": {"code": 503, "message": "full"}}
    upstream.answers(stream_answer([": OPENROUTER PROCESSING\n\n", early, late]))

    assert_error(await gateway.chat(STREAM), 503, "server_error", "overloaded", "full")


async def test_a_whole_answer_where_a_stream_was_asked_for_is_an_error(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(json_answer(chat_answer("Hello")))

    assert_error(await gateway.chat(STREAM), 502, "server_error", None, "in one piece")


async def test_silence_is_filled_with_comments(
    provider: Provider, key: str, upstream: FakeUpstream, tmp_path
):
    from tests.serving import serving

    filled = asyncio.Event()
    upstream.answers(stream_answer(text_stream("Hello"), begins_after=filled))
    content = b""
    async with (
        serving(tmp_path / "journal", key=key, ping_after_s=0.1) as gateway,
        gateway.http.stream("POST", "/v1/chat/completions", json=STREAM) as answer,
    ):
        async for piece in answer.aiter_raw():
            content += piece
            filled.set()  # by the first piece, which the upstream has not sent

    assert content.startswith(b": ")  # which no client takes for data
    assert content.count(b"data: ") == 4 + 1  # the chunks and the end mark


async def test_only_post_is_taken(gateway: Serving):
    answer = await gateway.http.get("/v1/chat/completions")

    assert_error(answer, 405, "invalid_request_error", "method_not_allowed", "takes POST, not GET")


async def test_other_paths_are_told_in_openais_shape(gateway: Serving):
    answer = await gateway.http.post("/v1/audio/speech")

    assert_error(answer, 404, "invalid_request_error", "not_found", "/v1/audio/speech")

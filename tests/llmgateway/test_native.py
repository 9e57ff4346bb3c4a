"""Messages clients at Anthropic itself: what comes goes through untouched, both ways."""

import json
from pathlib import Path

import httpx
import orjson
import pytest

from tests.fakes.upstream import Answer, bytes_answer, json_answer
from tests.llmgateway.conftest import SECRET
from tests.serving import serving

FIXTURES = Path(__file__).parent.parent / "fixtures"
MODEL = "claude-sonnet-4-5"
MESSAGE = {
    "id": "msg_up",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hi", "unheard_of": 1}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5},
}
ASK = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def native(route, key, tmp_path):
    await route("anthropic")
    async with serving(tmp_path / "journal", key=key) as running:
        yield running


def recorded_requests() -> list[tuple[str, dict]]:
    return [
        (f"{path.stem}-{number}", request)
        for path in sorted((FIXTURES / "claude-code").glob("*.json"))
        for number, request in enumerate(json.loads(path.read_bytes())["requests"])
        if request["method"] == "POST" and request["path"] == "/v1/messages"
    ]


RECORDED = recorded_requests()


async def test_every_recorded_request_arrives_byte_for_byte_with_its_betas(native, upstream):
    upstream.default = json_answer(MESSAGE)
    for name, recorded in RECORDED:
        body = json.dumps(recorded["body"], ensure_ascii=False).encode()
        headers = {
            header.lower(): value
            for header, value in recorded["headers"]
            if header.lower() in ("anthropic-beta", "anthropic-version")
        }
        answer = await native.http.post(
            f"/v1/messages?{recorded['query']}", content=body, headers=headers
        )

        seen = upstream.requests[-1]
        if not recorded["body"].get("stream"):
            assert answer.status_code == 200, name
        assert seen.body == body, name
        assert seen.path == f"/v1/messages?{recorded['query']}", name
        for header, value in headers.items():
            assert seen.headers[header] == value, name
        assert seen.headers["x-api-key"] == SECRET
        assert "authorization" not in seen.headers
    assert len(RECORDED) > 30


async def test_another_name_changes_the_name_alone(route, key, upstream, tmp_path):
    await route("anthropic", "claude-opus-4-6")
    upstream.default = json_answer(MESSAGE)
    body = b'{ "model" :"claude-opus[1m]", "max_tokens":9,"messages":[{"role":"user","content":"\\u00e9"}],"odd": 1.50}'
    async with serving(tmp_path / "journal", key=key) as running:
        answer = await running.messages(body)

    assert upstream.requests[0].body == body.replace(b"claude-opus[1m]", b"claude-opus-4-6")
    assert answer.content == orjson.dumps(MESSAGE)


async def test_a_client_that_sends_no_version_gets_the_oldest(native, upstream):
    upstream.answers(json_answer(MESSAGE))
    await native.http.post("/v1/messages", content=orjson.dumps(ASK))

    assert upstream.requests[0].headers["anthropic-version"] == "2023-06-01"
    assert upstream.requests[0].path == "/v1/messages"
    assert "anthropic-beta" not in upstream.requests[0].headers


async def test_usage_is_booked_as_anthropic_counts_it(native, upstream):
    upstream.answers(json_answer(MESSAGE))
    answer = await native.messages(ASK)
    (record,) = await native.records(1)

    assert answer.content == orjson.dumps(MESSAGE)
    # 10 uncached + 90 cache-read
    assert (record.prompt_tokens, record.cache_read_tokens, record.completion_tokens) == (
        100,
        90,
        5,
    )
    assert record.upstream_dialect == "anthropic_messages"
    assert record.answered_model == "claude-sonnet-4-5-20250929"


@pytest.mark.parametrize(
    "name", [p.name for p in sorted((FIXTURES / "recorded-streams").glob("anthropic-*.sse"))]
)
async def test_recorded_streams_come_through_byte_for_byte(native, upstream, name):
    body = (FIXTURES / "recorded-streams" / name).read_bytes()
    upstream.answers(bytes_answer(body, cut=701))
    answer = await native.messages({**ASK, "stream": True})

    assert answer.content.rstrip() == body.rstrip()
    (record,) = await native.records(1)
    assert record.status == "succeeded"
    assert record.completion_tokens > 0


async def test_rate_limit_headers_come_through(native, upstream):
    limits = {"anthropic-ratelimit-requests-remaining": "7", "x-odd": "1"}
    upstream.answers(json_answer(MESSAGE, headers=limits))
    answer = await native.messages(ASK)

    assert answer.headers["anthropic-ratelimit-requests-remaining"] == "7"
    assert "x-odd" not in answer.headers


ERROR = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "odd  words"},
    "request_id": "req_up",
}


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 529])
async def test_errors_come_through_in_their_own_words(native, upstream, status):
    headers = {"retry-after": "7", "x-should-retry": "false"}
    upstream.answers(json_answer(ERROR, status=status, headers=headers))
    answer = await native.messages(ASK)

    assert answer.status_code == status
    assert answer.json() == ERROR
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["request-id"].startswith("req_")


@pytest.mark.parametrize("status", [401, 402])
async def test_trouble_with_our_own_account_does_not(native, upstream, status):
    error = {
        "type": "error",
        "error": {"type": "authentication_error", "message": "invalid x-api-key"},
    }
    if status == 402:
        error["error"] = {"type": "billing_error", "message": "no money"}
    upstream.answers(json_answer(error, status=status))
    answer = await native.messages(ASK)

    assert answer.status_code == 502
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "answer",
    [
        Answer([b"<html>teapot</html>"], 400),
        json_answer({"message": "flat"}, status=400),
        json_answer({"error": {"message": "no envelope"}}, status=400),
        json_answer({**ERROR, "key": SECRET}, status=400),
    ],
)
async def test_what_is_no_error_of_the_dialect_is_told_in_ours(native, upstream, answer):
    upstream.answers(answer)
    told = await native.messages(ASK)

    assert told.status_code == 400
    assert told.json()["request_id"] == told.headers["request-id"]
    assert SECRET not in told.text
    assert "html" not in told.text


async def test_the_token_of_an_account_is_a_bearer_token(route, key, upstream, tmp_path):
    provider = await route("anthropic")
    credential = await provider.credentials.aget()
    credential.seal("sk-ant-oat01-planted")
    await credential.asave()
    upstream.answers(json_answer(MESSAGE))
    async with serving(tmp_path / "journal", key=key) as running:
        await running.messages(ASK)

    assert upstream.requests[0].headers["authorization"] == "Bearer sk-ant-oat01-planted"
    assert "x-api-key" not in upstream.requests[0].headers


async def test_counting_is_exact_where_the_upstream_counts(native, upstream):
    upstream.answers(json_answer({"input_tokens": 4321}))
    body = {"model": MODEL, "messages": ASK["messages"], "tools": []}
    answer = await native.post("/v1/messages/count_tokens?beta=true", body, anthropic_beta="b-1")

    assert answer.json() == {"input_tokens": 4321}
    assert answer.headers["x-llmgateway-token-count"] == "exact"
    seen = upstream.requests[0]
    assert seen.path == "/v1/messages/count_tokens?beta=true"
    assert seen.json == body
    assert seen.headers["anthropic-beta"] == "b-1"
    assert await native.records() == []


@pytest.mark.parametrize(
    "answer",
    [
        json_answer(ERROR, status=429),
        json_answer({"tokens": 5}),
        json_answer([]),
        Answer([b"<html>"], 200),
        Answer(ending="reset", status=0),
    ],
)
async def test_counting_falls_back_to_an_estimate(native, upstream, answer):
    upstream.answers(answer)
    told: httpx.Response = await native.post(
        "/v1/messages/count_tokens", {"model": MODEL, "messages": ASK["messages"]}
    )

    assert told.status_code == 200
    assert told.json()["input_tokens"] > 0
    assert told.headers["x-llmgateway-token-count"] == "estimated"

"""LiteLLM in the process, the whole way: client, gateway, LiteLLM's package, and a server that a test scripts."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async

from llmgateway import health
from llmgateway.runtime import Runtime
from routing import providers, snapshot
from routing.models import Credential, Deployment, Provider
from routing.providers import demo
from tests.factories.routing import make_provider
from tests.fakes.upstream import (
    SILENCE,
    FakeUpstream,
    chat_answer,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
)
from tests.llmgateway.conftest import ALIAS, SECRET, route_to
from tests.llmgateway.test_messages import events
from tests.serving import Serving, serving
from tests.waiting import PATIENCE_S

pytestmark = [
    # pytest puts the filters of prepare() aside: pydantic finds fault with LiteLLM's own types.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class '.*' is using:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

MODEL = "openai/some-model"
MESSAGES = {"model": ALIAS, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
CHAT = {"model": ALIAS, "messages": [{"role": "user", "content": "Hello"}]}
ENDLESS = stream_answer(
    [chunk({"content": f"word{number} "}) for number in range(2000)], pause_s=0.01
)
CALL = {"name": "look", "arguments": '{"a":1}'}
TOOL_STREAM = [
    chunk({"role": "assistant", "reasoning_content": "Hm."}),
    chunk({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": CALL}]}),
    chunk(finish_reason="tool_calls"),
]


def add_provider(url: str) -> Provider:
    row = Provider.objects.create(
        slug="sdk", kind="litellm_sdk", base_url=url, retries_max=0, total_timeout_s=Decimal(100)
    )
    credential = Credential(provider=row, label="main")
    credential.seal(SECRET)
    credential.save()
    route_to(ALIAS, row, MODEL)
    return row


@pytest.fixture
async def provider(key: str, upstream: FakeUpstream) -> Provider:
    """The scripted server behind LiteLLM, in place of the OpenRouter of the other tests."""
    del key
    return await sync_to_async(add_provider)(upstream.url)


async def test_messages_are_answered_and_booked(gateway: Serving, upstream: FakeUpstream):
    answer = await gateway.messages(MESSAGES)

    [record] = await gateway.records(1)
    told = answer.json()
    assert answer.status_code == 200
    assert told["content"][0]["text"] == "Hello."
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (20, 5)
    assert upstream.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert upstream.requests[0].json["model"] == "some-model"
    assert (record.provider, record.upstream_model) == ("sdk", MODEL)
    assert (record.prompt_tokens, record.completion_tokens) == (20, 5)
    assert (record.cost_usd, record.cost_source) == (Decimal("0.000125"), "provider")
    assert record.status == "succeeded"


async def test_messages_are_streamed_and_booked(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(stream_answer(text_stream("Hel", "lo.")))

    answer = await gateway.messages({**MESSAGES, "stream": True})

    [record] = await gateway.records(1)
    found = events(answer.content)
    texts = [event["delta"].get("text", "") for event in found if "delta" in event]
    assert "".join(texts) == "Hello."
    assert found[-1]["type"] == "message_stop"
    assert (record.prompt_tokens, record.completion_tokens) == (20, 5)
    assert (record.cost_usd, record.tokens_estimated) == (Decimal("0.000125"), False)
    assert record.ttft_ms is not None


async def test_tools_and_thinking_cross_both_ways(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(stream_answer(TOOL_STREAM))
    tool = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
    asked = {
        **MESSAGES,
        "max_tokens": 4000,
        "stream": True,
        "tools": [tool],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }

    found = events((await gateway.messages(asked)).content)

    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    sent = upstream.requests[0].json
    assert "".join(delta.get("thinking", "") for delta in deltas) == "Hm."
    assert orjson.loads("".join(delta.get("partial_json", "") for delta in deltas)) == {"a": 1}
    assert sent["tools"][0]["function"]["name"] == "look"
    assert sent["reasoning_effort"] in {"low", "medium", "high"}


async def test_chat_is_answered_and_streamed(gateway: Serving, upstream: FakeUpstream):
    upstream.answers(json_answer(chat_answer("Hello.")), stream_answer(text_stream("Hel", "lo.")))

    whole = await gateway.chat(CHAT)
    streamed = await gateway.chat(
        {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    )

    chunks = [
        orjson.loads(line.removeprefix("data: "))
        for line in streamed.text.split("\n\n")
        if line.startswith("data: {")
    ]
    words = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]]
    assert whole.json()["choices"][0]["message"]["content"] == "Hello."
    assert "".join(words) == "Hello."
    assert chunks[-1]["usage"]["prompt_tokens"] == 20
    assert streamed.text.endswith("data: [DONE]\n\n")


async def test_a_chat_client_cannot_steer_litellm(gateway: Serving, upstream: FakeUpstream):
    """Its body passes the gateway as it is, and LiteLLM would obey all of these."""
    orders = {"api_base": "http://127.0.0.1:9/elsewhere", "api_key": "x", "mock_response": "fooled"}

    answer = await gateway.chat({**CHAT, **orders})

    assert answer.json()["choices"][0]["message"]["content"] == "Hello."
    assert upstream.requests[0].headers["authorization"] == f"Bearer {SECRET}"


async def test_embeddings_are_answered(gateway: Serving, upstream: FakeUpstream):
    data = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
    told = {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 3}}
    upstream.answers(json_answer(told))

    answer = await gateway.http.post("/v1/embeddings", json={"model": ALIAS, "input": "Hello"})

    [record] = await gateway.records(1)
    assert answer.json()["data"][0]["embedding"] == [0.1, 0.2]
    assert record.prompt_tokens == 3


async def test_a_price_of_litellms_is_booked_as_the_providers(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    def use_a_priced_model() -> None:
        Deployment.objects.filter(provider=provider).update(upstream_model="openai/gpt-4o")
        snapshot.bump()

    await sync_to_async(use_a_priced_model)()
    await gateway.runtime.refresh()
    told = chat_answer("Hello.")
    told["usage"] = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    told["model"] = "gpt-4o"
    upstream.answers(json_answer(told))

    answer = await gateway.messages(MESSAGES)

    [record] = await gateway.records(1)
    assert answer.status_code == 200
    # 1000 x 2.50 + 100 x 10 USD per million
    assert (record.cost_usd, record.cost_source) == (Decimal("0.0035"), "provider")


@pytest.mark.parametrize(
    ("status", "expected", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 502, "api_error"),
        (404, 404, "not_found_error"),
        (429, 429, "rate_limit_error"),
        (500, 502, "api_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_becomes_the_clients(
    gateway: Serving, upstream: FakeUpstream, stream, status, expected, kind
):
    error = {"error": {"message": f"no: {SECRET}", "type": "x"}}
    headers = {"retry-after": "7"} if status == 429 else {}
    upstream.answers(json_answer(error, status=status, headers=headers))

    answer = await gateway.messages({**MESSAGES, "stream": stream})

    [record] = await gateway.records(1)
    assert (answer.status_code, answer.json()["error"]["type"]) == (expected, kind)
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    assert SECRET not in answer.text
    assert (record.status, record.upstream_status) == ("failed", status)
    assert SECRET not in record.error_message


@pytest.mark.parametrize("ending", ["close", "cut", "reset"])
async def test_a_stream_that_breaks_off_ends_with_an_error_event(
    gateway: Serving, upstream: FakeUpstream, ending
):
    """Also one that ends too early in good order, which LiteLLM takes for a complete one."""
    upstream.answers(
        stream_answer([chunk({"content": "Hel"})], done=False, ending=ending, pause_s=0.05)
    )

    found = events((await gateway.messages({**MESSAGES, "stream": True})).content)

    [record] = await gateway.records(1)
    assert found[-1]["type"] == "error"
    assert not any(event["type"] == "message_stop" for event in found)
    assert record.status == "failed"


async def test_a_client_that_hangs_up_cancels_the_call_and_is_booked(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(ENDLESS)
    body = {**MESSAGES, "stream": True}
    async with gateway.http.stream("POST", "/v1/messages", json=body) as answer:
        async for _piece in answer.aiter_raw():
            break
    hung_up_after_s = time.monotonic() - upstream.requests[0].at_s

    [record] = await gateway.records(1)

    assert await upstream.requests[0].left() - hung_up_after_s < 10  # at once, on a busy machine
    assert (record.status, record.tokens_estimated) == ("client_closed", True)


async def test_a_client_that_hangs_up_before_the_answer_cancels_the_call_too(
    gateway: Serving, upstream: FakeUpstream
):
    upstream.answers(SILENCE)
    asking = asyncio.ensure_future(gateway.messages(MESSAGES))
    async with asyncio.timeout(PATIENCE_S):
        while not upstream.requests:  # noqa: ASYNC110  (it tells nobody)
            await asyncio.sleep(0.02)
    asking.cancel()
    hung_up_after_s = time.monotonic() - upstream.requests[0].at_s

    [record] = await gateway.records(1)

    assert await upstream.requests[0].left() - hung_up_after_s < 10  # at once, on a busy machine
    assert record.status == "client_closed"


async def test_no_secret_and_no_body_is_in_any_log(
    gateway: Serving, upstream: FakeUpstream, caplog, capfd
):
    caplog.set_level("DEBUG")
    said = "a sentence that nobody else may read"
    body = {**MESSAGES, "messages": [{"role": "user", "content": said}]}
    upstream.answers(json_answer({"error": {"message": SECRET}}, status=500))

    await gateway.messages(body)
    await gateway.messages(body)

    printed = "".join(capfd.readouterr())
    lines = [
        record.getMessage() for record in caplog.records if record.name.startswith("llmgateway")
    ]
    litellms = [record for record in caplog.records if record.name.startswith("LiteLLM")]
    assert SECRET not in printed + "".join(lines)
    assert said not in printed + "".join(lines)
    assert litellms == []
    assert "litellm_redacted" not in printed  # a mark that LiteLLM leaves on the lines of others


# Loading


class Gate:
    """Something slow to load, which a test lets go on."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.calls = 0

    def prepare(self) -> None:
        self.calls += 1
        assert self.open.wait(10)


@pytest.fixture
async def runtime(transactional_db, tmp_path, monkeypatch) -> AsyncIterator[Callable[..., Any]]:
    """Starts a runtime in front of one provider, whose kind has something to load."""
    del transactional_db
    before = snapshot.in_force()
    snapshot.put_in_force(None)
    made = Runtime(tmp_path / "journal")

    async def start(prepare: Callable[[], None]) -> Runtime:
        monkeypatch.setitem(providers.KINDS, "demo", replace(demo.KIND, prepare=prepare))
        await sync_to_async(make_provider)(slug="slow", kind="demo")
        await made.start()
        return made

    yield start
    await made.stop()
    snapshot.put_in_force(before)


async def readiness(runtime: Runtime) -> tuple[int, dict[str, Any]]:
    report = await health.readiness(runtime)
    return report.status, orjson.loads(report.body)


async def settled(runtime: Runtime) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while "warming" in runtime.preparations.values():  # noqa: ASYNC110  (it tells nobody)
            await asyncio.sleep(0.01)


async def test_a_kind_that_is_loading_is_told_and_makes_nothing_unready(runtime):
    gate = Gate()
    running = await runtime(gate.prepare)

    warming = await readiness(running)
    gate.open.set()
    await settled(running)
    await sync_to_async(snapshot.bump)()
    await running.refresh()

    assert (warming[0], warming[1]["demo"]) == (200, "warming")
    assert (await readiness(running))[1]["demo"] == "ready"
    assert gate.calls == 1


async def test_a_kind_that_cannot_be_loaded_is_told_too(runtime, caplog):
    def fail() -> None:
        raise ImportError("no such package")

    running = await runtime(fail)
    await settled(running)

    status, report = await readiness(running)

    assert status == 200
    assert report["demo"] == "could not be loaded; the log has the reason"
    assert "a provider kind cannot be loaded" in caplog.text


async def test_a_gateway_without_such_a_provider_tells_and_loads_nothing(
    transactional_db, tmp_path
):
    async with serving(tmp_path / "journal") as running:
        assert "litellm_sdk" not in running.runtime.preparations

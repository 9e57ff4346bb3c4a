"""Behind the gateway stands a real LiteLLM proxy, and behind that a provider that a test scripts."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async

from accounting import keys
from accounting.models import Team, UsageRecord
from routing import snapshot
from routing.models import Credential, Provider
from routing.upstream import lookups
from tests.clients.proxy import MASTER_KEY, PROGRAM, UPSTREAM_KEY, LiteLLMProxy, UpstreamAt
from tests.fakes.upstream import (
    SILENCE,
    chat_answer,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
    usage,
)
from tests.llmgateway.conftest import route_to
from tests.llmgateway.test_messages import events
from tests.serving import Serving, serving

pytestmark = [
    pytest.mark.processes,
    pytest.mark.uncovered,
    pytest.mark.skipif(
        not PROGRAM.exists(),
        reason="LiteLLM's proxy is not installed; tests/clients/proxy.py says how.",
    ),
]

HELLO = [{"role": "user", "content": "Hello"}]
MESSAGES: dict[str, Any] = {"model": "plain", "max_tokens": 100, "messages": HELLO}
CHAT: dict[str, Any] = {"model": "plain", "messages": HELLO}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
CALL = {"name": "look", "arguments": '{"a":1}'}
TOOL_CALL = {"index": 0, "id": "call_1", "type": "function", "function": CALL}
ENDLESS = stream_answer(
    [chunk({"content": f"word{number} "}) for number in range(2000)], pause_s=0.01
)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory) -> Iterator[LiteLLMProxy]:
    """One for all tests: it takes seconds to start."""
    with LiteLLMProxy(tmp_path_factory.mktemp("litellm-proxy")).running() as running:
        yield running


@pytest.fixture
async def behind(proxy: LiteLLMProxy) -> AsyncIterator[UpstreamAt]:
    """The provider that the proxy calls."""
    async with UpstreamAt(proxy.upstream_port) as upstream:
        yield upstream


def set_up(url: str, **fields: Any) -> str:
    """A provider with the proxy's address, behind every name; the key of team alder."""
    least = {"retries_max": 0, "total_timeout_s": Decimal(100)}
    row = Provider.objects.create(
        slug="proxy", kind="litellm_proxy", base_url=url, **{**least, **fields}
    )
    credential = Credential(provider=row, label="main")
    credential.seal(MASTER_KEY)
    credential.save()
    route_to("*", row, "{1}", match="wildcard")
    team, _made = Team.objects.get_or_create(slug="alder")
    return keys.mint(team, "laptop").secret


@pytest.fixture
async def gateway(
    transactional_db, proxy: LiteLLMProxy, behind: UpstreamAt, tmp_path, request
) -> AsyncIterator[Serving]:
    """The gateway in front of the proxy; a test may name fields of the provider's row."""
    del transactional_db, behind
    fields = dict(getattr(request, "param", {}))
    key = await sync_to_async(set_up)(proxy.url + fields.pop("path", ""), **fields)
    async with serving(tmp_path / "journal", key=key) as running:
        yield running


async def record_of(gateway: Serving) -> UsageRecord:
    [record] = await gateway.records(1)
    return record


def chunks_of(text: str) -> list[dict[str, Any]]:
    """The chunks of a Chat stream, which must have its end mark."""
    assert text.endswith("data: [DONE]\n\n")
    frames = [frame for frame in text.split("\n\n") if frame.startswith("data: {")]
    return [orjson.loads(frame.removeprefix("data: ")) for frame in frames]


@pytest.mark.parametrize("gateway", [{"path": ""}, {"path": "/v1"}], indirect=True, ids=["", "v1"])
async def test_messages_are_answered_and_booked(gateway: Serving, behind: UpstreamAt):
    answer = await gateway.messages(MESSAGES)

    record = await record_of(gateway)
    told = answer.json()
    assert answer.status_code == 200, answer.text
    assert told["content"][0]["text"] == "Hello."
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (20, 5)
    assert behind.requests[0].headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert behind.requests[0].json["model"] == "some-model"
    assert (record.provider, record.upstream_model) == ("proxy", "plain")
    assert (record.prompt_tokens, record.completion_tokens) == (20, 5)
    assert (record.status, record.tokens_estimated) == ("succeeded", False)


async def test_messages_are_streamed_and_booked(gateway: Serving, behind: UpstreamAt):
    behind.answers(stream_answer(text_stream("Hel", "lo.")))

    answer = await gateway.messages({**MESSAGES, "stream": True})

    record = await record_of(gateway)
    found = events(answer.content)
    texts = [event["delta"].get("text", "") for event in found if "delta" in event]
    assert "".join(texts) == "Hello."
    assert found[-1]["type"] == "message_stop"
    assert (record.prompt_tokens, record.completion_tokens) == (20, 5)
    assert (record.status, record.tokens_estimated) == ("succeeded", False)
    assert record.ttft_ms is not None


async def test_chat_is_answered_and_booked(gateway: Serving, behind: UpstreamAt):
    del behind
    answer = await gateway.chat(CHAT)

    record = await record_of(gateway)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "Hello."
    assert (record.prompt_tokens, record.completion_tokens) == (20, 5)


async def test_chat_is_streamed_and_booked(gateway: Serving, behind: UpstreamAt):
    behind.answers(stream_answer(text_stream("Hel", "lo.")))

    answer = await gateway.chat({**CHAT, "stream": True, "stream_options": {"include_usage": True}})

    record = await record_of(gateway)
    chunks = chunks_of(answer.text)
    words = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]]
    assert "".join(words) == "Hello."
    assert chunks[-1]["usage"]["prompt_tokens"] == 20
    assert (record.prompt_tokens, record.completion_tokens) == (20, 5)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_is_called(gateway: Serving, behind: UpstreamAt, stream):
    message = {key: value for key, value in TOOL_CALL.items() if key != "index"}
    behind.answers(
        stream_answer(
            [chunk({"tool_calls": [TOOL_CALL]}), chunk(finish_reason="tool_calls", usage=usage())]
        )
        if stream
        else json_answer(chat_answer(None, tool_calls=[message]))  # type: ignore[arg-type]
    )

    answer = await gateway.messages({**MESSAGES, "tools": [TOOL], "stream": stream})

    assert behind.requests[0].json["tools"][0]["function"]["name"] == "look"
    if stream:
        found = events(answer.content)
        [start] = [event["content_block"] for event in found if "content_block" in event]
        deltas = [event["delta"] for event in found if "delta" in event]
        given = orjson.loads("".join(delta.get("partial_json", "") for delta in deltas))
        reason = next(delta["stop_reason"] for delta in deltas if "stop_reason" in delta)
    else:
        [start] = answer.json()["content"]
        given, reason = start["input"], answer.json()["stop_reason"]
    assert (start["type"], start["name"], start["id"]) == ("tool_use", "look", "call_1")
    assert given == {"a": 1}
    assert reason == "tool_use"


async def test_the_proxys_cost_is_booked_as_the_providers(gateway: Serving, behind: UpstreamAt):
    told = chat_answer("Hello.")
    told["usage"] = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    behind.answers(json_answer({**told, "model": "gpt-4o"}))

    answer = await gateway.messages({**MESSAGES, "model": "priced"})

    record = await record_of(gateway)
    assert answer.status_code == 200, answer.text
    # 1000 x 2.50 + 100 x 10 USD per million, by LiteLLM's price list for gpt-4o
    assert (record.cost_usd, record.cost_source) == (Decimal("0.0035"), "provider")
    assert Decimal(answer.headers["x-llmgateway-cost-usd"]) == Decimal("0.0035")


async def test_a_model_without_a_price_is_not_free(gateway: Serving, behind: UpstreamAt):
    """The proxy tells a cost of 0 for it."""
    told = chat_answer("Hello.")
    told["usage"] = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    behind.answers(json_answer(told))

    await gateway.messages(MESSAGES)

    record = await record_of(gateway)
    assert (record.cost_usd, record.cost_source) == (None, "unpriced")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_the_proxy_does_not_know_is_an_error(
    gateway: Serving, behind: UpstreamAt, stream
):
    answer = await gateway.messages({**MESSAGES, "model": "nobody-knows-it", "stream": stream})

    record = await record_of(gateway)
    assert answer.status_code in {400, 404}
    assert answer.json()["type"] == "error"
    assert "nobody-knows-it" in answer.json()["error"]["message"]
    assert MASTER_KEY not in answer.text
    assert record.status == "failed"
    assert behind.requests == []


@pytest.mark.parametrize(("status", "expected"), [(400, 400), (429, 429), (500, 502), (503, 529)])
async def test_an_error_from_behind_the_proxy_keeps_its_kind(
    gateway: Serving, behind: UpstreamAt, status, expected
):
    behind.answers(json_answer({"error": {"message": "The reason why."}}, status=status))

    answer = await gateway.messages(MESSAGES)

    record = await record_of(gateway)
    assert answer.status_code == expected
    assert "The reason why." in answer.json()["error"]["message"]
    assert (record.status, record.upstream_status) == ("failed", status)
    assert len(behind.requests) == 1


async def test_a_client_that_hangs_up_is_booked(gateway: Serving, behind: UpstreamAt):
    behind.answers(ENDLESS)
    body = {**MESSAGES, "stream": True}
    began_s = time.monotonic()
    async with gateway.http.stream("POST", "/v1/messages", json=body) as answer:
        async for _piece in answer.aiter_raw():
            break

    record = await record_of(gateway)

    assert record.status == "client_closed"
    assert record.tokens_estimated
    assert time.monotonic() - began_s < 15  # and not the 20 s that the answer takes


async def test_a_client_that_hangs_up_before_the_answer_is_booked_too(
    gateway: Serving, behind: UpstreamAt
):
    behind.answers(SILENCE)
    asking = asyncio.ensure_future(gateway.messages(MESSAGES))
    async with asyncio.timeout(60):
        while not behind.requests:  # noqa: ASYNC110  (it tells nobody)
            await asyncio.sleep(0.02)
    asking.cancel()

    record = await record_of(gateway)

    assert record.status == "client_closed"


@pytest.mark.parametrize(
    "gateway", [{"dialect": "anthropic_messages"}], indirect=True, ids=["messages"]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_its_messages_adapter_is_spoken_where_the_row_says_so(
    gateway: Serving, behind: UpstreamAt, stream
):
    if stream:
        behind.answers(stream_answer(text_stream("Hel", "lo.")))

    answer = await gateway.messages({**MESSAGES, "stream": stream})

    record = await record_of(gateway)
    found = events(answer.content) if stream else []
    texts = [event["delta"].get("text", "") for event in found if "delta" in event]
    assert answer.status_code == 200, answer.text
    assert ("".join(texts) if stream else answer.json()["content"][0]["text"]) == "Hello."
    assert record.upstream_dialect == "anthropic_messages"
    assert record.status == "succeeded"


async def test_its_health_and_its_models_are_read(gateway: Serving):
    picture = snapshot.current().providers["proxy"]

    state = await lookups.check(picture)
    models = await lookups.list_models(picture)

    assert gateway.url
    assert state.problem == ""
    assert {facts.id for facts in models} == {"plain", "priced"}

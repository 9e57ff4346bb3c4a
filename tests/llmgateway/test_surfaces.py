"""The other surfaces: completions, embeddings, and the count of tokens, over the kinds that have them."""

import asyncio
import json
import time
from pathlib import Path

import orjson
import pytest

from tests.fakes.upstream import Answer, chat_answer, json_answer, stream_answer, text_stream
from tests.serving import serving

FIXTURES = Path(__file__).parent.parent / "fixtures"
EMBEDDINGS = {
    "object": "list",
    "model": "embed-1",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}
COMPLETION = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "base",
    "choices": [{"text": " time.", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


async def test_embeddings_pass_and_are_booked(gateway, upstream):
    upstream.answers(json_answer(EMBEDDINGS))
    body = {"model": "embed-1", "input": ["one"], "encoding_format": "base64"}
    answer = await gateway.post("/v1/embeddings", body)

    assert answer.json() == EMBEDDINGS
    assert upstream.requests[0].path == "/api/v1/embeddings"
    assert upstream.requests[0].json == body
    (record,) = await gateway.records(1)
    assert (record.client_dialect, record.upstream_dialect) == ("openai_embeddings",) * 2
    assert (record.prompt_tokens, record.completion_tokens) == (4, 0)


async def test_embeddings_at_a_kind_that_has_none_are_refused(route, key, tmp_path):
    await route("anthropic")
    async with serving(tmp_path / "journal", key=key) as running:
        answer = await running.post("/v1/embeddings", {"model": "m", "input": "one"})

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "embeddings" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [{"model": "m"}, {"input": "x"}])
async def test_embeddings_need_a_model_and_an_input(gateway, body):
    answer = await gateway.post("/v1/embeddings", body)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in ("input", "model")


async def test_the_demo_embeds(route, key, tmp_path):
    await route("demo")
    async with serving(tmp_path / "journal", key=key) as running:
        ask = {"model": "demo", "input": ["one", "two"], "dimensions": 16}
        first = await running.post("/v1/embeddings", ask)
        again = await running.post("/v1/embeddings", {**ask, "input": "one"})

    vectors = [entry["embedding"] for entry in first.json()["data"]]
    assert [len(vector) for vector in vectors] == [16, 16]
    assert vectors[0] != vectors[1]
    assert again.json()["data"][0]["embedding"] == vectors[0]


async def test_completions_pass_where_the_upstream_has_them(gateway, upstream):
    upstream.answers(json_answer(COMPLETION))
    body = {"model": "base", "prompt": "Once upon a", "echo": True}
    answer = await gateway.post("/v1/completions", body)

    assert answer.json() == COMPLETION
    assert upstream.requests[0].path == "/api/v1/completions"
    assert upstream.requests[0].json == body


async def test_completions_become_conversations_where_it_has_not(route, key, tmp_path):
    await route("demo")
    ask = {"model": "demo", "prompt": "good morning", "max_tokens": 50}
    async with serving(tmp_path / "journal", key=key) as running:
        whole = (await running.post("/v1/completions", ask)).json()
        stream = await running.post("/v1/completions", {**ask, "stream": True})
        refused = await running.post("/v1/completions", {**ask, "echo": True})
        records = await running.records(2)

    assert whole["object"] == "text_completion"
    assert whole["choices"][0]["text"].endswith("You said: good morning")
    frames = [frame.removeprefix("data: ") for frame in stream.text.split("\n\n") if frame]
    assert frames[-1] == "[DONE]"
    texts = [json.loads(frame)["choices"][0]["text"] for frame in frames[:-1]]
    assert "".join(texts) == whole["choices"][0]["text"]
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "echo"
    assert {record.client_dialect for record in records} == {"openai_completions"}


async def test_ollama_is_spoken_to_in_its_own_way_where_tools_need_it(
    route, key, upstream, tmp_path
):
    await route("ollama", "qwen3:8b")
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
    call = {"function": {"name": "weather", "arguments": {"city": "Ulm"}}}
    final = {"done": True, "done_reason": "stop", "prompt_eval_count": 12, "eval_count": 5}
    upstream.answers(
        json_answer(
            {"message": {"role": "assistant", "content": "", "tool_calls": [call]}, **final}
        ),
        json_answer(chat_answer("Hello.")),
    )
    ask = {"model": "qwen", "max_tokens": 50, "messages": [{"role": "user", "content": "Weather?"}]}
    async with serving(tmp_path / "journal", key=key) as running:
        with_tools = await running.messages({**ask, "tools": [tool]})
        without = await running.messages(ask)
        records = await running.records(2)

    assert with_tools.json()["content"][0]["input"] == {"city": "Ulm"}
    assert without.json()["content"][0]["text"] == "Hello."
    assert [seen.path for seen in upstream.requests] == ["/api/chat", "/v1/chat/completions"]
    assert [record.upstream_dialect for record in records] == ["ollama_chat", "openai_chat"]
    assert records[0].prompt_tokens == 12


async def test_ollama_streams_lines(route, key, upstream, tmp_path):
    await route("ollama", "qwen3:8b")
    lines = [{"message": {"content": word}} for word in ("Sun", "ny.")]
    lines.append({"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2})
    body = [orjson.dumps(line) + b"\n" for line in lines]
    upstream.answers(upstream_lines(body))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    ask = {"model": "qwen", "messages": [{"role": "user", "content": [image]}], "stream": True}
    async with serving(tmp_path / "journal", key=key) as running:
        answer = await running.chat(ask)

    assert upstream.requests[0].json["messages"][0]["images"] == ["iVBORw0KGgo="]
    frames = [frame.removeprefix("data: ") for frame in answer.text.split("\n\n") if frame]
    deltas = [json.loads(frame)["choices"][0]["delta"].get("content", "") for frame in frames[:-1]]
    assert "".join(deltas) == "Sunny."


def upstream_lines(pieces):
    return Answer(pieces, headers={"content-type": "application/x-ndjson"})


async def test_a_row_may_choose_the_dialect(route, key, upstream, tmp_path):
    await route("litellm_proxy", "claude", dialect="anthropic_messages")
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    told = {"x-litellm-response-cost": "0.00042", "x-litellm-call-id": "call-7"}
    upstream.answers(json_answer(message, headers=told))
    ask = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    async with serving(tmp_path / "journal", key=key) as running:
        answer = await running.messages(ask)
        (record,) = await running.records(1)

    assert upstream.requests[0].path.startswith("/v1/messages")
    assert answer.headers["x-llmgateway-cost-usd"] == "0.00042"
    assert record.cost_source == "provider"
    assert record.upstream_id == "call-7"


@pytest.mark.parametrize("cost", ["0.0", "None", "NaN", "-1", ""])
async def test_a_cost_that_is_none_is_not_booked(route, key, upstream, tmp_path, cost):
    await route("litellm_proxy", "claude")
    answer = chat_answer("Hi")
    del answer["usage"]["cost"]
    upstream.answers(json_answer(answer, headers={"x-litellm-response-cost": cost or "x"}))
    async with serving(tmp_path / "journal", key=key) as running:
        await running.chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
        (record,) = await running.records(1)

    assert record.cost_source == "unpriced"


# Counting tokens


async def test_counting_is_an_estimate_where_nobody_counts(gateway, upstream):
    tool = {"name": "f", "input_schema": {"type": "object"}}
    body = {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": "one two three"}],
        "tools": [tool],
    }
    answer = await gateway.post("/v1/messages/count_tokens?beta=true", body)

    assert answer.status_code == 200
    assert answer.headers["x-llmgateway-token-count"] == "estimated"
    assert 10 < answer.json()["input_tokens"] < 60
    assert upstream.requests == []
    assert await gateway.records() == []


async def test_a_burst_of_25_counts_stays_cheap(gateway):
    request = json.loads((FIXTURES / "claude-code" / "text-claude-3-5-haiku.json").read_bytes())
    body = orjson.dumps(request["requests"][0]["body"])
    await gateway.post("/v1/messages/count_tokens", body)  # the tokenizer is read from disk once
    taken_s = []
    for _ in range(3):
        began = time.process_time()
        answers = await asyncio.gather(
            *(gateway.post("/v1/messages/count_tokens", body) for _ in range(25))
        )
        taken_s.append(time.process_time() - began)

        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["input_tokens"] for answer in answers}) == 1
    # The gateway and its client of this test together, in seconds of CPU; what others do on the machine only adds.
    assert min(taken_s) < 1.0


async def test_every_recorded_count_is_answered(gateway):
    for folder in ("claude-code", "anthropic-sdk"):
        recorded = json.loads((FIXTURES / folder / "count-tokens.json").read_bytes())
        for request in recorded["requests"]:
            path = f"{request['path']}?{request['query']}"
            answer = await gateway.post(path, orjson.dumps(request["body"]))
            assert answer.status_code == 200
            assert answer.json()["input_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b'{"model": "m"}', 400), (b'{"messages": []}', 400)],
)
async def test_counting_says_what_is_wrong(gateway, body, status):
    answer = await gateway.post("/v1/messages/count_tokens", body)

    assert answer.status_code == status
    assert answer.json()["type"] == "error"


async def test_counting_needs_a_key_and_post(gateway):
    refused = await gateway.post("/v1/messages/count_tokens", b"{}", x_api_key="wrong")
    got = await gateway.http.get("/v1/messages/count_tokens")

    assert refused.status_code == 401
    assert got.status_code == 405


async def test_who_called_is_told_to_openrouter(gateway, upstream):
    upstream.default = stream_answer(text_stream("Hi"))
    await gateway.chat(
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]},
        http_referer="https://app.example",
        x_title="App",
    )
    await gateway.chat(
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    )

    named, unnamed = upstream.requests
    assert (named.headers["http-referer"], named.headers["x-title"]) == (
        "https://app.example",
        "App",
    )
    assert unnamed.headers["x-title"] == "llmgateway"
    assert "http-referer" not in unnamed.headers

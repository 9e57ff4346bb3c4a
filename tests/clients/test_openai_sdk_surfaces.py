"""OpenAI's own Python SDK: errors, the demo, embeddings, completions and the list of models."""

import asyncio
import base64
import struct
import time
from dataclasses import replace

import openai
import orjson
import pytest

from tests.clients.answers import Said, answer_to, says, stream_answer_of_events, strict_tool
from tests.clients.house import at_each_head, in_the_house
from tests.clients.pairs import CHAT, COMPATIBLE, DEMO, LISTED, MESSAGES, NATIVE, OLLAMA
from tests.fakes.upstream import Answer, SeenRequest, json_answer, stream_answer
from tests.waiting import PATIENCE_S

pytestmark = [in_the_house, pytest.mark.uncovered]
over_both_dialects = pytest.mark.parametrize("pair", [CHAT, COMPATIBLE, NATIVE, MESSAGES], ids=str)
whole_and_streamed = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
IN_ANTHROPICS = (NATIVE, MESSAGES)
QUESTION = [{"role": "user", "content": "Hi"}]


async def ask(gpt, *, streams=False, pair=CHAT, **asked):
    """What is said, by every means put together from all pieces."""
    asked = {"model": pair.model, "messages": QUESTION, **asked}
    if not streams:
        completion = await gpt.chat.completions.create(**asked)
        return completion.choices[0].message.content
    chunks = await gpt.chat.completions.create(**asked, stream=True)
    return "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])


def error_of(pair, kind, message, status):
    """An upstream's error answer, in its own dialect."""
    if pair in IN_ANTHROPICS:
        return {"type": "error", "error": {"type": kind, "message": message}}
    error = {"message": message, "type": kind, "param": None, "code": status}
    return {"error": error}


# Errors


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", openai.BadRequestError),
        (404, "not_found_error", openai.NotFoundError),
        (413, "request_too_large", openai.APIStatusError),
        (429, "rate_limit_error", openai.RateLimitError),
        (500, "api_error", openai.InternalServerError),
        (503, "overloaded_error", openai.InternalServerError),
    ],
)
@over_both_dialects
@whole_and_streamed
async def test_an_upstreams_error_is_raised_as_what_it_is(
    house, gpt, pair, streams, status, kind, expected
):
    error = error_of(pair, kind, "upstream's words", status)
    house.upstream.answers(json_answer(error, status=status))
    with pytest.raises(expected) as told:
        await ask(gpt, streams=streams, pair=pair)

    assert "upstream's words" in told.value.message
    assert told.value.type
    assert told.value.request_id.startswith("req_")
    assert (await house.record()).status == "failed"


@pytest.mark.parametrize(
    ("status", "kind", "message", "code"),
    [
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", "context_length_exceeded"),
        (404, "not_found_error", "model: claude-9", "model_not_found"),
        (429, "rate_limit_error", "slow down", "rate_limit_exceeded"),
    ],
)  # fmt: skip
async def test_a_converted_error_has_the_code_that_clients_look_for(
    house, gpt, status, kind, message, code
):
    house.upstream.answers(json_answer(error_of(NATIVE, kind, message, status), status=status))
    with pytest.raises(openai.APIStatusError) as told:
        await ask(gpt, pair=NATIVE)

    assert told.value.code == code


async def test_a_wrong_key_is_an_authentication_error(house):
    async with openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key="gw-wrong") as sdk:
        with pytest.raises(openai.AuthenticationError) as told:
            await ask(sdk)

    assert (told.value.code, told.value.type) == ("invalid_api_key", "invalid_request_error")
    assert house.upstream.requests == []


async def test_an_unknown_model_is_not_found(gpt):
    with pytest.raises(openai.NotFoundError) as told:
        await ask(gpt, model="nobody-knows")
    with pytest.raises(openai.NotFoundError):
        await gpt.models.retrieve("nobody-knows")

    assert told.value.code == "model_not_found"
    assert "nobody-knows" in told.value.message


async def test_what_the_gateway_does_not_have_is_not_found(gpt):
    with pytest.raises(openai.NotFoundError) as told:
        await gpt.moderations.create(input="x")

    assert told.value.code == "not_found"


@over_both_dialects
async def test_a_broken_request_names_its_field(house, gpt, pair):
    with pytest.raises(openai.BadRequestError) as told:
        await ask(gpt, pair=pair, messages="Hi")

    assert (told.value.param, told.value.type) == ("messages", "invalid_request_error")
    assert house.upstream.requests == []


@pytest.mark.parametrize(("pair", "streams"), [(CHAT, True), (NATIVE, False)], ids=str)
async def test_the_sdk_waits_as_long_as_it_is_told_and_succeeds(house, pair, streams):
    error = error_of(pair, "rate_limit_error", "slow down", 429)
    house.upstream.answers(json_answer(error, status=429, headers={"retry-after": "1"}))
    house.upstream.answer_with = says(Said("At last."))
    began_s = time.monotonic()
    async with openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key=house.key) as sdk:
        text = await ask(sdk, pair=pair, streams=streams)

    assert text == "At last."
    assert 0.9 < time.monotonic() - began_s < PATIENCE_S


def request_to(pair):
    """A streaming request as the upstream of a pair would see it."""
    body = orjson.dumps({"model": pair.upstream_model, "stream": True})
    return SeenRequest("POST", pair.path, {}, body, 0.0)


def broken_off(pair, *last):
    """A stream that holds some words, and then only ``last``; slow enough that the words have left by then."""
    whole = answer_to(request_to(pair), Said("Some words and"))
    pieces = list(whole.pieces)
    end = next(number for number, piece in enumerate(pieces) if b'"and"' in piece)
    ending = "close" if last else "cut"
    return Answer([*pieces[:end], *last], headers=whole.headers, pause_s=0.01, ending=ending)


FALLEN = {"type": "overloaded_error", "message": "the model fell over"}
MIDSTREAM = {
    CHAT: stream_answer([{"error": {"code": 502, "message": "the model fell over"}}], done=False),
    NATIVE: stream_answer_of_events([{"type": "error", "error": FALLEN}]),
}


@pytest.mark.parametrize("pair", [CHAT, NATIVE], ids=str)
async def test_an_error_in_the_middle_of_a_stream_is_raised(house, gpt, pair):
    house.upstream.answers(broken_off(pair, *MIDSTREAM[pair].pieces))
    texts = []

    async def read() -> None:
        chunks = await gpt.chat.completions.create(model=pair.model, messages=QUESTION, stream=True)
        async for chunk in chunks:
            texts.append(chunk.choices[0].delta.content or "")

    with pytest.raises(openai.APIError) as told:
        await read()

    assert "".join(texts) == "Some words "
    assert "the model fell over" in told.value.message
    assert told.value.code == ("overloaded" if pair is NATIVE else None)
    assert (await house.record()).status == "failed"


@over_both_dialects
async def test_a_stream_that_is_cut_is_no_answer(house, gpt, pair):
    house.upstream.answers(broken_off(pair))
    with pytest.raises(openai.APIError):
        await ask(gpt, pair=pair, streams=True)

    record = await house.record()
    assert (record.status, record.completion_tokens > 0) == ("failed", True)


@over_both_dialects
async def test_the_upstream_is_left_when_the_client_leaves(house, gpt, pair):
    whole = answer_to(request_to(pair), Said("Some words and more"))
    pieces = whole.pieces[: len(whole.pieces) // 2]
    house.upstream.answers(Answer(pieces, headers=whole.headers, ending="stall"))
    chunks = await gpt.chat.completions.create(model=pair.model, messages=QUESTION, stream=True)
    async for _chunk in chunks:
        break
    await chunks.close()

    assert (await house.record()).status == "client_closed"
    (seen,) = house.upstream.requests
    await seen.left()


async def test_pings_bridge_a_silence(house, gpt, monkeypatch):
    monkeypatch.setattr(house.gateway.runtime, "ping_after_s", 0.05)
    error = error_of(CHAT, "", "slow down", 429)
    whole = answer_to(request_to(CHAT), Said("Late."))
    house.upstream.answers(
        replace(whole, begins_after=(first := asyncio.Event())),
        replace(json_answer(error, status=429), begins_after=(second := asyncio.Event())),
    )
    async with openai.DefaultAsyncHttpxClient(**at_each_head(first, second)) as http:
        gpt = gpt.with_options(http_client=http)
        assert await ask(gpt, streams=True) == "Late."
        # The pings have begun a stream, so that the error is told inside it.
        with pytest.raises(openai.APIError) as told:
            await ask(gpt, streams=True)
    assert told.value.code == "rate_limit_exceeded"


# The demo


@whole_and_streamed
async def test_the_demo_talks_and_calls_tools(gpt, streams):
    turns = [{"role": "user", "content": "/tool weather"}]
    tools = [strict_tool("weather", "city")]
    asked = {"model": DEMO.model, "messages": turns, "tools": tools}
    if streams:
        async with gpt.chat.completions.stream(**asked) as stream:
            message = (await stream.get_final_completion()).choices[0].message
    else:
        message = (await gpt.chat.completions.create(**asked)).choices[0].message

    (call,) = message.tool_calls
    assert call.function.name == "weather"
    assert "You said: Hi" in await ask(gpt, pair=DEMO, streams=streams)


@whole_and_streamed
async def test_the_demo_fails_as_it_is_asked_to(gpt, streams):
    turns = [{"role": "user", "content": "/error 429"}]
    with pytest.raises(openai.RateLimitError):
        await ask(gpt, pair=DEMO, streams=streams, messages=turns)


# Embeddings


VECTOR = [0.5, -0.25, 1.0]


def embed(request):
    """The vector, packed if the client wants it so."""
    packed = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()
    is_packed = request.json.get("encoding_format") == "base64"
    entry = {"object": "embedding", "index": 0, "embedding": packed if is_packed else VECTOR}
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return json_answer(
        {"object": "list", "model": request.json["model"], "data": [entry], "usage": usage}
    )


@pytest.mark.parametrize("pair", [CHAT, COMPATIBLE, OLLAMA], ids=str)
@pytest.mark.parametrize("how", [{}, {"encoding_format": "float"}], ids=["packed", "float"])
async def test_texts_are_embedded(house, lenient_gpt, pair, how):
    house.upstream.answer_with = embed
    answer = await lenient_gpt.embeddings.create(model=pair.model, input=["one"], **how)

    assert answer.data[0].embedding == VECTOR
    assert answer.usage.prompt_tokens == 4
    (seen,) = house.upstream.requests
    assert seen.path.endswith("/v1/embeddings")
    assert seen.json["input"] == ["one"]
    assert seen.json["encoding_format"] == how.get("encoding_format", "base64")
    assert (await house.record()).prompt_tokens == 4


async def test_the_demo_embeds(lenient_gpt):
    answer = await lenient_gpt.embeddings.create(
        model=DEMO.model, input=["one", "two"], dimensions=16
    )

    assert [len(entry.embedding) for entry in answer.data] == [16, 16]


async def test_embeddings_at_a_kind_that_has_none_are_refused(lenient_gpt):
    with pytest.raises(openai.BadRequestError) as told:
        await lenient_gpt.embeddings.create(model=NATIVE.model, input="one")

    assert "embeddings" in told.value.message


# Completions


def complete(request):
    """The rest of a text, as a server of the old dialect gives it."""
    head = {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": request.json["model"],
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}

    def choice(text, finish_reason):
        return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}

    if request.json.get("stream"):
        chunks = [{**head, "choices": [choice(text, None)]} for text in (" upon", " a time")]
        last = {**head, "choices": [choice("", "stop")]}
        return stream_answer([*chunks, last, {**head, "choices": [], "usage": usage}])
    return json_answer({**head, "choices": [choice(" upon a time", "stop")], "usage": usage})


@pytest.mark.parametrize("pair", [CHAT, COMPATIBLE, MESSAGES, OLLAMA], ids=str)
@whole_and_streamed
async def test_completions_pass_where_the_upstream_has_them(house, lenient_gpt, pair, streams):
    house.upstream.answer_with = complete
    text, finish_reason = await completed(lenient_gpt, pair, streams=streams)

    assert (text, finish_reason) == (" upon a time", "stop")
    assert house.upstream.requests[0].path.endswith("/v1/completions")
    record = await house.record()
    assert (record.prompt_tokens, record.completion_tokens) == (3, 2)


@pytest.mark.parametrize("pair", [NATIVE, DEMO], ids=str)
@whole_and_streamed
async def test_completions_become_conversations_where_it_has_not(house, lenient_gpt, pair, streams):
    house.upstream.answer_with = says(Said(" upon a time"))
    text, finish_reason = await completed(lenient_gpt, pair, streams=streams)

    assert finish_reason == "stop"
    assert text.endswith("You said: Once" if pair is DEMO else " upon a time")


async def completed(lenient_gpt, pair, *, streams):
    asked = {"model": pair.model, "prompt": "Once", "max_tokens": 20}
    if not streams:
        (choice,) = (await lenient_gpt.completions.create(**asked)).choices
        return choice.text, choice.finish_reason
    chunks = await lenient_gpt.completions.create(**asked, stream=True)
    choices = [chunk.choices[0] async for chunk in chunks if chunk.choices]
    return "".join(choice.text for choice in choices), choices[-1].finish_reason


# Models


async def test_models_are_listed(gpt):
    names = [model.id async for model in gpt.models.list()]
    model = await gpt.models.retrieve("cedar")

    assert names == list(LISTED)
    assert (model.id, model.object) == ("cedar", "model")
    assert model.created > 0

"""OpenAI's own Python SDK against a running gateway, over every sort of upstream: conversations."""

import asyncio
import json

import openai
import pydantic
import pytest

from tests.clients.answers import COST_USD, SIGNATURE, Called, Said, says, strict_tool
from tests.clients.house import in_the_house
from tests.clients.pairs import (
    CHAT,
    COMPATIBLE,
    MESSAGES,
    NATIVE,
    OLLAMA,
    SHORT_PNG,
    TINY_PDF,
)

pytestmark = [in_the_house, pytest.mark.uncovered]
EVERY_UPSTREAM = [CHAT, COMPATIBLE, NATIVE, MESSAGES, OLLAMA]
over_every_upstream = pytest.mark.parametrize("pair", EVERY_UPSTREAM, ids=str)
over_claudes = pytest.mark.parametrize("pair", [CHAT, NATIVE, MESSAGES], ids=str)
converted = pytest.mark.parametrize("pair", [NATIVE, MESSAGES], ids=str)
whole_and_streamed = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
IN_ANTHROPICS = (NATIVE, MESSAGES)

QUESTION = [{"role": "user", "content": "Where does the Danube begin?"}]
TEXT = "In Donaueschingen, says the “Brigach” 🌊."
CALLS = (
    Called("call_01", "get_weather", {"city": "Ulm", "days": [1, 2.5, None], "süß": "漢字"}),
    Called("call_02", "get_time", {}),
    Called("call_03", "get_weather", {"city": 'Wien "1010" \\ \n'}),
)


TOOLS = [strict_tool("get_weather", "city"), strict_tool("get_time")]


async def completion_of(gpt, *, streams, pair, **asked):
    """The completion, told in one piece or put together from a stream by the SDK."""
    asked = {"model": pair.model, "messages": QUESTION, **asked}
    if not streams:
        return await gpt.chat.completions.create(**asked)
    asked["stream_options"] = {"include_usage": True}
    async with gpt.chat.completions.stream(**asked) as stream:
        return await stream.get_final_completion()


# Text


@over_every_upstream
@whole_and_streamed
async def test_text_comes_with_its_usage(house, gpt, pair, streams):
    house.upstream.answer_with = says(Said(TEXT))
    completion = await completion_of(gpt, streams=streams, pair=pair)

    (choice,) = completion.choices
    assert (choice.message.content, choice.message.role) == (TEXT, "assistant")
    assert choice.finish_reason == "stop"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (20, 5)
    assert completion.usage.total_tokens == 25
    (seen,) = house.upstream.requests
    assert seen.path == pair.path
    assert seen.json["model"] == pair.upstream_model
    record = await house.record()
    assert (record.provider, record.prompt_tokens, record.completion_tokens) == (pair.name, 20, 5)


@over_every_upstream
async def test_a_stream_tells_its_usage_only_to_who_asks(house, gpt, pair):
    house.upstream.answer_with = says(Said(TEXT))
    asked = {"model": pair.model, "messages": QUESTION, "stream": True}
    quiet = [chunk async for chunk in await gpt.chat.completions.create(**asked)]
    told = [
        chunk
        async for chunk in await gpt.chat.completions.create(
            **asked, stream_options={"include_usage": True}
        )
    ]

    for chunks in (quiet, told):
        texts = [c.choices[0].delta.content for c in chunks if c.choices]
        assert "".join(text for text in texts if text) == TEXT
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert all(chunk.usage is None for chunk in quiet)
    assert told[-1].usage.completion_tokens == 5
    # Also what the client does not want to know is booked.
    assert [record.completion_tokens for record in await house.records(2)] == [5, 5]


@over_every_upstream
async def test_the_helpers_events_come_in_order(house, gpt, pair):
    house.upstream.answer_with = says(Said(TEXT))
    async with gpt.chat.completions.stream(model=pair.model, messages=QUESTION) as stream:
        events = [event async for event in stream]

    texts = [event.delta for event in events if event.type == "content.delta"]
    assert "".join(texts) == TEXT
    assert len(texts) > 3
    (done,) = [event for event in events if event.type == "content.done"]
    assert done.content == TEXT


async def test_a_client_without_an_event_loop_gets_the_same(house):
    house.upstream.answer_with = says(Said(TEXT))

    def ask() -> tuple[str, str]:
        with openai.OpenAI(base_url=f"{house.url}/v1", api_key=house.key, max_retries=0) as sdk:
            asked = {"model": NATIVE.model, "messages": QUESTION}
            whole = sdk.chat.completions.create(**asked)
            with sdk.chat.completions.create(**asked, stream=True) as chunks:
                texts = [chunk.choices[0].delta.content or "" for chunk in chunks]
            return whole.choices[0].message.content, "".join(texts)

    assert await asyncio.to_thread(ask) == (TEXT, TEXT)


@over_every_upstream
@whole_and_streamed
async def test_an_answer_that_was_too_long_says_so(house, gpt, pair, streams):
    house.upstream.answer_with = says(Said("And then", finish="length"))
    if not streams:
        completion = await completion_of(gpt, streams=False, pair=pair, max_tokens=9)
        assert completion.choices[0].finish_reason == "length"
        return
    chunks = await gpt.chat.completions.create(
        model=pair.model, messages=QUESTION, max_completion_tokens=9, stream=True
    )
    reasons = [c.choices[0].finish_reason async for c in chunks if c.choices]
    assert reasons[-1] == "length"


@converted
@whole_and_streamed
async def test_a_refusal_has_its_own_place(house, gpt, pair, streams):
    house.upstream.answer_with = says(Said(finish="content_filter"))
    if streams:
        chunks = await gpt.chat.completions.create(model=pair.model, messages=QUESTION, stream=True)
        choices = [chunk.choices[0] async for chunk in chunks if chunk.choices]
        refusal = "".join(choice.delta.refusal or "" for choice in choices)
        finish_reason = choices[-1].finish_reason
    else:
        (choice,) = (await completion_of(gpt, streams=False, pair=pair)).choices
        refusal, finish_reason = choice.message.refusal, choice.finish_reason

    assert refusal
    assert finish_reason == "content_filter"


@converted
async def test_roles_limits_and_stops_are_told_in_the_upstreams_words(house, gpt, pair):
    house.upstream.answer_with = says(Said("One", stop_sequence="END"))
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Count."}]},
    ]
    completion = await completion_of(
        gpt, streams=False, pair=pair, messages=turns, max_completion_tokens=77, stop=["END"],
        temperature=0.3, user="somebody",
    )  # fmt: skip

    assert completion.choices[0].finish_reason == "stop"
    sent = house.upstream.requests[0].json
    assert [block["text"] for block in sent["system"]] == ["Be brief.", "Be kind."]
    assert [turn["role"] for turn in sent["messages"]] == ["user"]
    assert (sent["max_tokens"], sent["stop_sequences"], sent["temperature"]) == (77, ["END"], 0.3)
    assert sent["metadata"] == {"user_id": "somebody"}


# Tools


@over_every_upstream
@whole_and_streamed
async def test_parallel_calls_come_and_their_results_go_back(house, gpt, pair, streams):
    house.upstream.answer_with = says(
        Said("One moment.", calls=CALLS, finish="tool_calls"), Said(TEXT)
    )
    asked = {"streams": streams, "pair": pair, "tools": TOOLS}
    (choice,) = (await completion_of(gpt, **asked)).choices

    message = choice.message
    assert (message.content, choice.finish_reason) == ("One moment.", "tool_calls")
    told = [
        (call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls
    ]
    assert told == [(call.name, call.arguments) for call in CALLS]
    ids = [call.id for call in message.tool_calls]
    assert len(set(ids)) == 3

    turns = [
        *QUESTION,
        message,
        {"role": "tool", "tool_call_id": ids[2], "content": "rain"},
        {"role": "tool", "tool_call_id": ids[0], "content": [{"type": "text", "text": "sun"}]},
        {"role": "tool", "tool_call_id": ids[1], "content": "noon"},
    ]
    final = await completion_of(gpt, **asked, messages=turns)

    assert final.choices[0].message.content == TEXT
    sent = house.upstream.requests[1].json["messages"]
    assert results_in(sent, pair) == ["rain", "sun", "noon"]
    assert calls_in(sent, pair) == [(call.name, call.arguments) for call in CALLS]
    assert len(await house.records(2)) == 2


def results_in(messages, pair):
    """The texts of the results that went upstream."""
    if pair in IN_ANTHROPICS:
        contents = [block["content"] for block in messages[-1]["content"]]
    else:
        contents = [turn["content"] for turn in messages if turn["role"] == "tool"]
    return [it if isinstance(it, str) else it[0]["text"] for it in contents]


def calls_in(messages, pair):
    """(name, arguments) of the calls that went upstream."""
    (turn,) = [turn for turn in messages if turn["role"] == "assistant"]
    if pair in IN_ANTHROPICS:
        uses = [block for block in turn["content"] if block["type"] == "tool_use"]
        return [(use["name"], use["input"]) for use in uses]
    functions = [call["function"] for call in turn["tool_calls"]]
    return [
        (it["name"], it["arguments"] if pair is OLLAMA else json.loads(it["arguments"]))
        for it in functions
    ]


class GetWeather(pydantic.BaseModel):
    """Weather of a city."""

    city: str
    days: int


@over_every_upstream
async def test_a_strict_tools_arguments_are_parsed(house, gpt, pair):
    call = Called("call_01", "GetWeather", {"city": "Ulm", "days": 3})
    house.upstream.answer_with = says(Said(calls=(call,), finish="tool_calls"))
    completion = await gpt.chat.completions.parse(
        model=pair.model,
        messages=QUESTION,
        tools=[openai.pydantic_function_tool(GetWeather)],
        tool_choice={"type": "function", "function": {"name": "GetWeather"}},
        parallel_tool_calls=False,
    )

    (told,) = completion.choices[0].message.tool_calls
    assert told.function.parsed_arguments == GetWeather(city="Ulm", days=3)
    sent = house.upstream.requests[0].json
    if pair in IN_ANTHROPICS:
        choice = {"type": "tool", "name": "GetWeather", "disable_parallel_tool_use": True}
        assert sent["tool_choice"] == choice
        assert sent["tools"][0]["input_schema"]["required"] == ["city", "days"]
    else:
        assert sent["tools"][0]["function"]["name"] == "GetWeather"


@converted
@whole_and_streamed
async def test_the_functions_of_old_still_work(house, gpt, pair, streams):
    house.upstream.answer_with = says(Said(calls=CALLS[:1], finish="tool_calls"), Said("Sunny."))
    asked = {"model": pair.model, "functions": [TOOLS[0]["function"]]}
    if streams:
        chunks = await gpt.chat.completions.create(**asked, messages=QUESTION, stream=True)
        choices = [chunk.choices[0] async for chunk in chunks if chunk.choices]
        pieces = [c.delta.function_call for c in choices if c.delta.function_call]
        name = "".join(piece.name or "" for piece in pieces)
        arguments = "".join(piece.arguments or "" for piece in pieces)
        finish_reason = choices[-1].finish_reason
    else:
        (choice,) = (await gpt.chat.completions.create(**asked, messages=QUESTION)).choices
        name, arguments = choice.message.function_call.name, choice.message.function_call.arguments
        finish_reason = choice.finish_reason

    assert (name, json.loads(arguments)) == ("get_weather", CALLS[0].arguments)
    assert finish_reason == "function_call"
    call = {"name": name, "arguments": arguments}
    turns = [
        *QUESTION,
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": name, "content": "sun"},
    ]
    final = await gpt.chat.completions.create(**asked, messages=turns)
    assert final.choices[0].message.content == "Sunny."


# Images and files


def looking_at(*parts):
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]}]


IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{SHORT_PNG}"}}
FAR_IMAGE = {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}
FILE = {
    "type": "file",
    "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{TINY_PDF}"},
}


@over_every_upstream
async def test_an_image_is_shown_to_the_model(house, gpt, pair):
    house.upstream.answer_with = says(Said("A dot."))
    completion = await completion_of(gpt, streams=True, pair=pair, messages=looking_at(IMAGE))

    assert completion.choices[0].message.content == "A dot."
    (turn,) = house.upstream.requests[0].json["messages"]
    if pair is OLLAMA:
        assert turn["images"] == [SHORT_PNG]
    elif pair in IN_ANTHROPICS:
        source = {"type": "base64", "media_type": "image/png", "data": SHORT_PNG}
        assert turn["content"][0] == {"type": "image", "source": source}
    else:
        assert turn["content"][0] == IMAGE


@converted
async def test_an_image_elsewhere_and_a_file_are_shown_too(house, gpt, pair):
    house.upstream.answer_with = says(Said("A dot."))
    await completion_of(gpt, streams=False, pair=pair, messages=looking_at(FAR_IMAGE, FILE))

    image, document, _text = house.upstream.requests[0].json["messages"][0]["content"]
    assert image["source"] == {"type": "url", "url": "https://pictures.example/a.png"}
    assert document["type"] == "document"
    assert document["source"]["data"] == TINY_PDF


async def test_an_image_that_the_target_cannot_fetch_is_refused(house, gpt):
    with pytest.raises(openai.BadRequestError) as told:
        await completion_of(gpt, streams=False, pair=OLLAMA, messages=looking_at(FAR_IMAGE))

    assert told.value.param.startswith("messages[0].content[0]")
    assert house.upstream.requests == []


# Reasoning and forms


@over_claudes
@whole_and_streamed
async def test_thoughts_come_back_as_they_were_signed(house, gpt, pair, streams):
    house.upstream.answer_with = says(
        Said("One moment.", "Rivers have two ends.", CALLS[:1], finish="tool_calls"), Said(TEXT)
    )
    asked = {"streams": streams, "pair": pair, "tools": TOOLS, "reasoning_effort": "low"}
    (choice,) = (await completion_of(gpt, **asked)).choices

    assert choice.message.model_extra["reasoning"] == "Rivers have two ends."
    turns = [
        *QUESTION,
        choice.message.model_dump(exclude_none=True, exclude={"parsed"}),
        {"role": "tool", "tool_call_id": choice.message.tool_calls[0].id, "content": "sun"},
    ]
    await completion_of(gpt, **asked, messages=turns)

    began, went_on = (seen.json for seen in house.upstream.requests)
    if pair is CHAT:
        assert began["reasoning_effort"] == "low"
        signed = [
            it["signature"]
            for it in went_on["messages"][1]["reasoning_details"]
            if it.get("signature")
        ]
        assert signed == [SIGNATURE]
    else:
        assert began["thinking"]["type"] == "enabled"
        thought = went_on["messages"][1]["content"][0]
        assert thought == {
            "type": "thinking",
            "thinking": "Rivers have two ends.",
            "signature": SIGNATURE,
        }


class River(pydantic.BaseModel):
    name: str
    length_km: int


@over_every_upstream
@whole_and_streamed
async def test_an_answer_in_a_form_is_parsed(house, gpt, pair, streams):
    house.upstream.answer_with = says(Said('{"name": "Donau", "length_km": 2857}'))
    asked = {"model": pair.model, "messages": QUESTION, "response_format": River}
    if streams:
        async with gpt.chat.completions.stream(**asked) as stream:
            completion = await stream.get_final_completion()
    else:
        completion = await gpt.chat.completions.parse(**asked)

    assert completion.choices[0].message.parsed == River(name="Donau", length_km=2857)
    sent = house.upstream.requests[0].json
    if pair in IN_ANTHROPICS:
        schema = sent["output_config"]["format"]["schema"]
    else:
        schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["name", "length_km"]


@over_claudes
@whole_and_streamed
async def test_a_cached_prompt_is_counted(house, gpt, pair, streams):
    house.upstream.answer_with = says(Said(TEXT, prompt_tokens=1200, cached_tokens=1000))
    completion = await completion_of(gpt, streams=streams, pair=pair)

    assert completion.usage.prompt_tokens == 1200
    assert completion.usage.prompt_tokens_details.cached_tokens == 1000
    record = await house.record()
    assert (record.prompt_tokens, record.cache_read_tokens) == (1200, 1000)


# What does not cross


@converted
@pytest.mark.parametrize(
    "asked", [{"n": 2}, {"logprobs": True}, {"logprobs": True, "top_logprobs": 3}], ids=str
)
async def test_what_would_be_another_answer_is_refused(house, gpt, pair, asked):
    with pytest.raises(openai.BadRequestError) as told:
        await completion_of(gpt, streams=False, pair=pair, **asked)

    assert told.value.param in asked
    assert house.upstream.requests == []


async def test_a_target_of_the_same_dialect_is_asked_for_it(house, gpt):
    house.upstream.answer_with = says(Said(TEXT))
    asked = {"n": 2, "logprobs": True, "top_logprobs": 3, "seed": 7, "logit_bias": {"50256": -100}}
    await completion_of(gpt, streams=False, pair=COMPATIBLE, **asked)

    sent = house.upstream.requests[0].json
    assert {name: sent[name] for name in asked} == asked


async def test_what_was_left_out_is_told(house, gpt):
    house.upstream.answer_with = says(Said(TEXT))
    raw = await gpt.chat.completions.with_raw_response.create(
        model=NATIVE.model, messages=QUESTION, seed=7, service_tier="flex"
    )

    assert raw.parse().choices[0].message.content == TEXT
    assert raw.headers["x-llmgateway-dropped"] == "seed, service_tier"
    assert "seed" not in house.upstream.requests[0].json


async def test_headers_tell_the_request_and_its_cost(house, gpt):
    house.upstream.answer_with = says(Said(TEXT))
    raw = await gpt.chat.completions.with_raw_response.create(model=CHAT.model, messages=QUESTION)

    record = await house.record()
    assert raw.request_id == raw.parse()._request_id == record.request_id
    assert float(raw.headers["x-llmgateway-cost-usd"]) == COST_USD
    assert raw.headers["x-llmgateway-provider"] == "chat"

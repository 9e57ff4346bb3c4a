"""Anthropic's own Python SDK against a running gateway, over every sort of upstream."""

import asyncio
import base64

import anthropic
import pydantic
import pytest

from tests.clients.answers import COST_USD, SIGNATURE, Called, Said, says
from tests.clients.house import in_the_house
from tests.clients.pairs import CHAT, LISTED, MESSAGES, NATIVE, OLLAMA, SHORT_PNG, TINY_PDF
from tests.fakes.upstream import json_answer

pytestmark = [in_the_house, pytest.mark.uncovered]
over_every_upstream = pytest.mark.parametrize("pair", [CHAT, NATIVE, MESSAGES, OLLAMA], ids=str)
over_claudes = pytest.mark.parametrize("pair", [CHAT, NATIVE, MESSAGES], ids=str)
whole_and_streamed = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])

QUESTION = [{"role": "user", "content": "Where does the Danube begin?"}]
TEXT = "In Donaueschingen, says the “Brigach” 🌊."
WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
CLOCK = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
CALLS = (
    Called("toolu_01", "get_weather", {"city": "Ulm", "days": [1, 2.5, None], "süß": "漢字"}),
    Called("toolu_02", "get_time", {}),
    Called("toolu_03", "get_weather", {"city": 'Wien "1010" \\ \n'}),
)


async def message_of(claude, *, streams, pair, **asked):
    """The message, told in one piece or put together from a stream by the SDK."""
    asked = {"model": pair.model, "max_tokens": 4000, "messages": QUESTION, **asked}
    if not streams:
        return await claude.messages.create(**asked)
    async with claude.messages.stream(**asked) as stream:
        return await stream.get_final_message()


# Text


@over_every_upstream
async def test_text_comes_whole(house, claude, pair):
    house.upstream.answer_with = says(Said(TEXT))
    message = await claude.messages.create(
        model=pair.model, max_tokens=50, system="Be brief.", messages=QUESTION
    )

    assert [block.text for block in message.content] == [TEXT]
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (20, 5)
    (seen,) = house.upstream.requests
    assert seen.path == pair.path
    assert seen.json["model"] == pair.upstream_model
    record = await house.record()
    assert (record.provider, record.prompt_tokens, record.completion_tokens) == (pair.name, 20, 5)


@over_every_upstream
async def test_text_is_streamed(house, claude, pair):
    house.upstream.answer_with = says(Said(TEXT))
    async with claude.messages.stream(model=pair.model, max_tokens=50, messages=QUESTION) as stream:
        pieces = [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()

    assert "".join(pieces) == TEXT
    assert len(pieces) > 3
    assert [block.text for block in message.content] == [TEXT]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (20, 5)


@over_every_upstream
async def test_the_helpers_events_come_in_order(house, claude, pair):
    house.upstream.answer_with = says(Said("Two words", calls=CALLS[:1], finish="tool_calls"))
    async with claude.messages.stream(
        model=pair.model, max_tokens=50, messages=QUESTION, tools=[WEATHER]
    ) as stream:
        kinds = [event.type async for event in stream if event.type != "ping"]

    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    assert kinds.count("text") == 2
    assert "input_json" in kinds


@over_every_upstream
async def test_the_raw_stream_is_read_too(house, claude, pair):
    house.upstream.answer_with = says(Said(TEXT))
    stream = await claude.messages.create(
        model=pair.model, max_tokens=50, messages=QUESTION, stream=True
    )
    events = [event async for event in stream]

    texts = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(texts) == TEXT
    assert events[0].message.usage.input_tokens > 0
    assert events[-2].usage.output_tokens == 5


async def test_a_client_without_an_event_loop_gets_the_same(house):
    house.upstream.answer_with = says(Said(TEXT))

    def ask() -> tuple[str, str]:
        with anthropic.Anthropic(base_url=house.url, api_key=house.key, max_retries=0) as sdk:
            asked = {"model": CHAT.model, "max_tokens": 50, "messages": QUESTION}
            whole = sdk.messages.create(**asked)
            with sdk.messages.stream(**asked) as stream:
                return whole.content[0].text, "".join(stream.text_stream)

    assert await asyncio.to_thread(ask) == (TEXT, TEXT)


async def test_the_key_may_come_as_a_bearer_token(house):
    async with anthropic.AsyncAnthropic(base_url=house.url, auth_token=house.key) as sdk:
        message = await sdk.messages.create(model=CHAT.model, max_tokens=5, messages=QUESTION)

    assert message.content[0].text == "Hello."
    assert house.key not in str(house.upstream.requests[0].headers)


@over_every_upstream
@whole_and_streamed
async def test_an_answer_that_was_too_long_says_so(house, claude, pair, streams):
    house.upstream.answer_with = says(Said("And then", finish="length"))
    message = await message_of(claude, streams=streams, pair=pair)

    assert message.stop_reason == "max_tokens"


@over_claudes
@whole_and_streamed
async def test_the_stop_sequence_that_was_hit_is_named(house, claude, pair, streams):
    house.upstream.answer_with = says(Said("One, two", stop_sequence="three"))
    message = await message_of(claude, streams=streams, pair=pair, stop_sequences=["three"])

    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "three")
    name = "stop" if pair is CHAT else "stop_sequences"
    assert house.upstream.requests[0].json[name] == ["three"]


async def test_fifty_conversations_at_once_are_kept_apart(house, claude):
    def echo(request):
        return says(Said(f"You said: {request.json['messages'][-1]['content']}"))(request)

    house.upstream.answer_with = echo

    async def ask(number: int) -> str:
        pair = (CHAT, NATIVE, MESSAGES, OLLAMA)[number % 4]
        turn = [{"role": "user", "content": f"number {number}"}]
        message = await message_of(claude, streams=number % 3 > 0, pair=pair, messages=turn)
        return message.content[0].text

    texts = await asyncio.gather(*map(ask, range(50)))
    assert texts == [f"You said: number {number}" for number in range(50)]
    assert len(await house.records(50)) == 50


# Tools


@over_every_upstream
@whole_and_streamed
async def test_parallel_calls_come_and_their_results_go_back(house, claude, pair, streams):
    house.upstream.answer_with = says(
        Said("One moment.", calls=CALLS, finish="tool_calls"), Said(TEXT)
    )
    asked = {"streams": streams, "pair": pair, "tools": [WEATHER, CLOCK]}
    message = await message_of(claude, **asked)

    text, *uses = message.content
    assert (text.text, message.stop_reason) == ("One moment.", "tool_use")
    assert [(use.name, use.input) for use in uses] == [(c.name, c.arguments) for c in CALLS]
    assert len({use.id for use in uses}) == 3

    results = [
        {"type": "tool_result", "tool_use_id": uses[2].id, "content": "rain", "is_error": False},
        {
            "type": "tool_result",
            "tool_use_id": uses[0].id,
            "content": [{"type": "text", "text": "sun"}],
        },
        {"type": "tool_result", "tool_use_id": uses[1].id, "content": "no clock", "is_error": True},
    ]
    turns = [
        *QUESTION,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [*results, {"type": "text", "text": "So?"}]},
    ]
    final = await message_of(claude, **asked, messages=turns)

    assert final.content[0].text == TEXT
    sent = house.upstream.requests[1].json
    assert results_of(sent, pair) == ["rain", "sun", "no clock"]
    assert calls_of(sent, pair) == [(c.name, c.arguments) for c in CALLS]
    assert len(await house.records(2)) == 2


def calls_of(body, pair):
    """(name, arguments) of the calls in the assistant's turn that went upstream."""
    (turn,) = [turn for turn in body["messages"] if turn["role"] == "assistant"]
    if pair in (NATIVE, MESSAGES):
        uses = [block for block in turn["content"] if block["type"] == "tool_use"]
        return [(use["name"], use["input"]) for use in uses]
    functions = [call["function"] for call in turn["tool_calls"]]
    return [(function["name"], read_arguments(function["arguments"])) for function in functions]


def read_arguments(arguments):
    return (
        arguments
        if isinstance(arguments, dict)
        else pydantic.TypeAdapter(dict).validate_json(arguments)
    )


def results_of(body, pair):
    """The texts of the results that went upstream."""
    if pair in (NATIVE, MESSAGES):
        blocks = [b for b in body["messages"][-1]["content"] if b["type"] == "tool_result"]
        contents = [block["content"] for block in blocks]
    else:
        contents = [turn["content"] for turn in body["messages"] if turn["role"] == "tool"]
    return [plain(content) for content in contents]


def plain(content):
    """A result's text, without what tells upstreams with no such field that it is an error."""
    text = content if isinstance(content, str) else content[0]["text"]
    return text.split("\n")[-1].removeprefix("Error: ")


async def test_the_tool_runner_runs_a_whole_loop(house, claude):
    house.upstream.answer_with = says(
        Said(calls=CALLS[:1], finish="tool_calls"), Said("Sunny in Ulm.")
    )
    asked_for = []

    @anthropic.beta_async_tool
    async def get_weather(city: str, days: list | None = None, **_more: str) -> str:
        """Weather of a city."""
        asked_for.append(city)
        return "sunny"

    runner = claude.beta.messages.tool_runner(
        model=CHAT.model, max_tokens=100, messages=QUESTION, tools=[get_weather]
    )
    message = await runner.until_done()

    assert message.content[0].text == "Sunny in Ulm."
    assert asked_for == ["Ulm"]
    assert house.upstream.requests[1].json["messages"][-1]["content"] == "sunny"


@over_claudes
@whole_and_streamed
async def test_a_tool_may_be_forced_and_parallel_calls_forbidden(house, claude, pair, streams):
    house.upstream.answer_with = says(Said(calls=CALLS[:1], finish="tool_calls"))
    choice = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}
    await message_of(claude, streams=streams, pair=pair, tools=[WEATHER], tool_choice=choice)

    sent = house.upstream.requests[0].json
    if pair is CHAT:
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
        assert sent["parallel_tool_calls"] is False
    else:
        assert sent["tool_choice"] == choice


# Images and documents

IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": SHORT_PNG},
}
DOCUMENT = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": TINY_PDF},
    "title": "report.pdf",
}
LOOK = {"type": "text", "text": "What is it?"}


@over_every_upstream
async def test_an_image_is_shown_to_the_model(house, claude, pair):
    house.upstream.answer_with = says(Said("A dot."))
    turns = [{"role": "user", "content": [IMAGE, LOOK]}]
    message = await message_of(claude, streams=True, pair=pair, messages=turns)

    assert message.content[0].text == "A dot."
    (turn,) = house.upstream.requests[0].json["messages"]
    if pair is OLLAMA:
        assert (turn["images"], turn["content"]) == ([SHORT_PNG], "What is it?")
    elif pair is CHAT:
        assert turn["content"][0]["image_url"]["url"] == f"data:image/png;base64,{SHORT_PNG}"
    else:
        assert turn["content"] == [IMAGE, LOOK]


@over_claudes
async def test_a_document_is_shown_to_the_model(house, claude, pair):
    house.upstream.answer_with = says(Said("A report."))
    turns = [{"role": "user", "content": [DOCUMENT, LOOK]}]
    message = await message_of(claude, streams=False, pair=pair, messages=turns)

    assert message.content[0].text == "A report."
    part = house.upstream.requests[0].json["messages"][0]["content"][0]
    if pair is CHAT:
        assert part["type"] == "file"
        assert part["file"]["file_data"] == f"data:application/pdf;base64,{TINY_PDF}"
    else:
        assert part == DOCUMENT


async def test_a_document_that_the_target_cannot_take_is_refused(house, claude):
    turns = [{"role": "user", "content": [DOCUMENT, LOOK]}]
    with pytest.raises(anthropic.BadRequestError) as told:
        await message_of(claude, streams=False, pair=OLLAMA, messages=turns)

    assert "messages" in told.value.message
    assert house.upstream.requests == []


# Thinking, forms, caches


@over_claudes
@whole_and_streamed
async def test_thoughts_come_back_as_they_were_signed(house, claude, pair, streams):
    house.upstream.answer_with = says(
        Said("One moment.", "Rivers have two ends.", CALLS[:1], finish="tool_calls"), Said(TEXT)
    )
    asked = {
        "streams": streams,
        "pair": pair,
        "tools": [WEATHER],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    first = await message_of(claude, **asked)

    thought, text, use = first.content
    assert (thought.type, thought.thinking) == ("thinking", "Rivers have two ends.")
    assert thought.signature
    assert (text.text, use.name) == ("One moment.", "get_weather")

    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sun"}
    turns = [
        *QUESTION,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    await message_of(claude, **asked, messages=turns)

    began, went_on = (seen.json for seen in house.upstream.requests)
    turn = went_on["messages"][1]
    if pair is CHAT:
        assert began["reasoning"] == {"max_tokens": 2000}
        (detail,) = turn["reasoning_details"]
        assert (detail["text"], detail["signature"]) == ("Rivers have two ends.", SIGNATURE)
    else:
        assert began["thinking"] == {"type": "enabled", "budget_tokens": 2000}
        assert turn["content"][0] == {
            "type": "thinking",
            "thinking": "Rivers have two ends.",
            "signature": SIGNATURE,
        }


@over_claudes
@pytest.mark.parametrize("display", ["summarized", "omitted"])
async def test_thinking_may_be_left_to_the_model(house, claude, pair, display):
    house.upstream.answer_with = says(Said(TEXT, "Rivers have two ends."))
    message = await message_of(
        claude,
        streams=True,
        pair=pair,
        thinking={"type": "adaptive", "display": display},
        output_config={"effort": "high"},
    )

    thought, text = message.content
    assert (thought.type, text.text) == ("thinking", TEXT)
    assert thought.signature
    sent = house.upstream.requests[0].json
    if pair is CHAT:
        assert sent["reasoning"] == {"effort": "high"}
        assert thought.thinking == ("" if display == "omitted" else "Rivers have two ends.")
    else:
        assert sent["output_config"] == {"effort": "high"}


class River(pydantic.BaseModel):
    name: str
    length_km: int


@over_every_upstream
@whole_and_streamed
async def test_an_answer_in_a_form_is_parsed(house, claude, pair, streams):
    house.upstream.answer_with = says(Said('{"name": "Donau", "length_km": 2857}'))
    asked = {"model": pair.model, "max_tokens": 99, "messages": QUESTION, "output_format": River}
    if streams:
        async with claude.messages.stream(**asked) as stream:
            message = await stream.get_final_message()
    else:
        message = await claude.messages.parse(**asked)

    assert message.parsed_output == River(name="Donau", length_km=2857)
    schema = schema_in(house.upstream.requests[0].json)
    assert set(schema["required"]) == {"name", "length_km"}


def schema_in(body):
    """The schema that went upstream, in whichever dialect."""
    if "response_format" in body:
        return body["response_format"]["json_schema"]["schema"]
    return body["output_config"]["format"]["schema"]


@over_claudes
@whole_and_streamed
async def test_a_cached_prompt_is_marked_and_counted(house, claude, pair, streams):
    house.upstream.answer_with = says(Said(TEXT, prompt_tokens=1200, cached_tokens=1000))
    system = [{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}]
    message = await message_of(claude, streams=streams, pair=pair, system=system)

    assert message.usage.input_tokens == 200
    assert message.usage.cache_read_input_tokens == 1000
    sent = house.upstream.requests[0].json
    blocks = sent["messages"][0]["content"] if pair is CHAT else sent["system"]
    assert blocks == system
    record = await house.record()
    assert (record.prompt_tokens, record.cache_read_tokens) == (1200, 1000)


# Around the messages


async def test_tokens_are_counted_by_the_upstream_where_it_can(house, claude):
    house.upstream.answers(json_answer({"input_tokens": 4321}))
    exact = await claude.messages.count_tokens(
        model=NATIVE.model, messages=QUESTION, tools=[WEATHER]
    )
    estimated = await claude.messages.count_tokens(model=CHAT.model, messages=QUESTION)

    assert exact.input_tokens == 4321
    assert 3 < estimated.input_tokens < 40
    assert [seen.path for seen in house.upstream.requests] == ["/v1/messages/count_tokens"]


async def test_models_are_listed_page_by_page(claude):
    page = await claude.models.list(limit=2)
    names = [model.id async for model in claude.models.list(limit=2)]

    assert [model.id for model in page.data] == list(LISTED[:2])
    assert page.has_more
    assert names == list(LISTED)
    model = await claude.models.retrieve("cedar")
    assert (model.id, model.type) == ("cedar", "model")
    assert model.created_at.tzinfo is not None


@pytest.mark.parametrize("pair", [CHAT, NATIVE], ids=str)
@whole_and_streamed
async def test_the_beta_namespace_works_and_its_headers_stay_in_the_dialect(
    house, claude, pair, streams
):
    house.upstream.answer_with = says(Said(TEXT))
    asked = {
        "model": pair.model,
        "max_tokens": 50,
        "messages": QUESTION,
        "betas": ["interleaved-thinking-2025-05-14"],
    }
    if streams:
        async with claude.beta.messages.stream(**asked) as stream:
            message = await stream.get_final_message()
    else:
        message = await claude.beta.messages.create(**asked)

    assert message.content[0].text == TEXT
    (seen,) = house.upstream.requests
    if pair is NATIVE:
        assert seen.headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"
        assert seen.path == NATIVE.path
    else:
        assert "anthropic-beta" not in seen.headers
        assert seen.path == CHAT.path


async def test_headers_tell_the_request_and_its_cost(house, claude):
    house.upstream.answer_with = says(Said(TEXT))
    raw = await claude.messages.with_raw_response.create(
        model=CHAT.model, max_tokens=50, messages=QUESTION
    )
    message = await raw.parse()

    assert message.content[0].text == TEXT
    assert raw.request_id == message._request_id == (await house.record()).request_id
    assert float(raw.headers["x-llmgateway-cost-usd"]) == COST_USD
    assert raw.headers["x-llmgateway-provider"] == "chat"


async def test_large_bodies_pass(house, claude):
    house.upstream.answer_with = says(Said("Much."))
    picture = base64.b64encode(b"\x89PNG" * 2_000_000).decode()
    source = {"type": "base64", "media_type": "image/png", "data": picture}
    turns = [{"role": "user", "content": [{"type": "image", "source": source}, LOOK]}]
    message = await message_of(claude, streams=False, pair=CHAT, messages=turns)

    assert message.content[0].text == "Much."
    assert len(house.upstream.requests[0].body) > len(picture)

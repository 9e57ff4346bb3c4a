"""What holds for any sound request and any sound answer: OpenAI's types take the one, and how it comes changes nothing in the other."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from conversion.anthropic_over_openai.converter import AnthropicOverOpenAI
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.traits import ChatTraits
from conversion.usage import FinishReason
from tests.conversion.anthropic_over_openai.answering import REQUEST
from tests.conversion.grammar import accumulate, check_message, check_stream
from tests.conversion.test_there_and_back import conversations, words

PLAIN = ChatTraits(
    model="gpt-x", reasoning="effort", user_field="safety_identifier", pdf_files=True
)
OPENROUTER = ChatTraits(
    model="acme/large", reasoning="openrouter", reasoning_replay="details", cache_control=True
)
OPENROUTERS_OWN = ("reasoning", "plugins", "cache_control", "top_k", "verbosity")
MESSAGE = TypeAdapter(ChatCompletionMessageParam)
TOOL = TypeAdapter(ChatCompletionToolParam)
BODY = TypeAdapter(CompletionCreateParamsNonStreaming)

requests = st.fixed_dictionaries(
    {"model": st.just("claude"), "max_tokens": st.integers(1, 64000), "messages": conversations()},
    optional={
        "system": words,
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0.1, 1),
        "stop_sequences": st.lists(words, max_size=6),
        "metadata": st.just({"user_id": "u" * 200}),
        "thinking": st.sampled_from(
            [{"type": "adaptive"}, {"type": "disabled"}, {"type": "enabled", "budget_tokens": 2000}]
        ),
        "output_config": st.sampled_from(
            [{"effort": "max"}, {"format": {"type": "json_schema", "schema": {"type": "object"}}}]
        ),
        "tools": st.just([{"name": "x" * 90, "input_schema": {}}, {"name": "read"}]),
        "tool_choice": st.sampled_from(
            [{"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "read"}]
        ),
    },
)


def convert(body: dict[str, Any], traits: ChatTraits) -> AnthropicOverOpenAI:
    call = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body))
    return AnthropicOverOpenAI(call, traits, message_id="msg_1")


@pytest.mark.parametrize("traits", [PLAIN, OPENROUTER], ids=lambda traits: traits.model)
@given(body=requests)
def test_openais_types_take_any_converted_request(traits, body):
    if "tool_choice" in body and "tools" not in body:
        body = {name: value for name, value in body.items() if name != "tool_choice"}
    sent = json.loads(convert(body, traits).request)
    for name in OPENROUTERS_OWN:
        sent.pop(name, None)
    BODY.validate_python(sent)
    for message in sent["messages"]:  # lists are validated lazily, hence one by one
        MESSAGE.validate_python(message)
    for tool in sent.get("tools", []):
        TOOL.validate_python(tool)
    assert len(sent.get("stop", [])) <= 4
    names = [tool["function"]["name"] for tool in sent.get("tools", [])]
    assert all(len(name) <= 64 for name in names)
    _check_order(sent["messages"])


def _check_order(messages: list[dict[str, Any]]) -> None:
    """Each call has its result right behind the message that holds it, and no result is without a call."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            continue
        assert waiting == []
        waiting = [call["id"] for call in message.get("tool_calls", [])]
    assert waiting == [] or messages[-1].get("tool_calls")


calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.uuids().map(lambda value: f"call_{value.hex}"),
            "name": st.sampled_from(["read", "search"]),
            "arguments": st.dictionaries(st.sampled_from("ab"), st.integers(0, 9) | words).map(
                json.dumps
            ),
        }
    ),
    max_size=3,
    unique_by=lambda call: call["id"],
)


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """One answer: what it says, why it ends, what it cost."""
    made = draw(calls)
    return {
        "reasoning": draw(st.none() | words),
        "content": draw(words if not made else st.none() | words),
        "calls": made,
        "finish": "tool_calls" if made else draw(st.sampled_from(["stop", "length"])),
        "usage": {
            "prompt_tokens": draw(st.integers(10, 99)),
            "completion_tokens": draw(st.integers(1, 99)),
            "prompt_tokens_details": {"cached_tokens": draw(st.integers(0, 10))},
        },
    }


def whole(answer: dict[str, Any]) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": answer["content"]}
    if answer["reasoning"]:
        message["reasoning_content"] = answer["reasoning"]
    if answer["calls"]:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in answer["calls"]
        ]
    choice = {"index": 0, "message": message, "finish_reason": answer["finish"]}
    return orjson.dumps(
        {"id": "gen-1", "model": "acme/large", "choices": [choice], "usage": answer["usage"]}
    )


def frame(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "gen-1", "model": "acme/large", "choices": [choice], **more}
    return b"data: " + orjson.dumps(body) + b"\n\n"


def cut(draw: Any, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    ends = [*places, len(text)]
    return [text[start:end] for start, end in zip([0, *places], ends, strict=True)]


def streamed(draw: Any, answer: dict[str, Any]) -> bytes:
    """The same answer in pieces: each text cut somewhere, the calls' pieces one after the other."""
    frames = [frame({"role": "assistant", "content": ""})]
    frames += [frame({"reasoning_content": part}) for part in cut(draw, answer["reasoning"] or "")]
    frames += [frame({"content": part}) for part in cut(draw, answer["content"] or "")]
    for index, call in enumerate(answer["calls"]):
        head = {"index": index, "id": call["id"], "type": "function"}
        frames.append(
            frame({"tool_calls": [{**head, "function": {"name": call["name"], "arguments": ""}}]})
        )
        frames += [
            frame({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
            for part in cut(draw, call["arguments"])
        ]
    frames.append(frame({}, answer["finish"]))
    frames.append(frame({}, choices=[], usage=answer["usage"]))
    return b"".join(frames) + b"data: [DONE]\n\n"


@given(st.data(), answers())
def test_whole_and_streamed_answers_agree(data, answer):
    at_once, in_pieces = (
        convert(REQUEST, OPENROUTER),
        convert({**REQUEST, "stream": True}, OPENROUTER),
    )
    message = check_message(at_once.read_answer(whole(answer)))
    stream = streamed(data.draw, answer)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parts = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    events = b"".join(in_pieces.feed(part) for part in parts if part) + in_pieces.finish()
    told = accumulate(check_stream(events, failed=False))

    assert in_pieces.failure is None
    assert without_nulls(told["content"]) == without_nulls(message["content"])
    assert told["stop_reason"] == message["stop_reason"]
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
        assert told["usage"][name] == message["usage"][name]
    assert in_pieces.usage == at_once.usage
    assert in_pieces.finish_reason is at_once.finish_reason is not FinishReason.ERROR


def without_nulls(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in block.items() if value is not None} for block in content
    ]

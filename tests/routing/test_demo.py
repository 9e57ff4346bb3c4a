"""The demo: a provider in the process that does what its last message asks for."""

import time
from typing import Any

import orjson
import pytest

from routing.providers.demo import KIND, answer, write_script
from routing.providers.kind import InProcessAsk

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
                "wind": {"type": ["boolean", "null"]},
                "strange": {"type": "unheard-of"},
            },
            "required": ["city", "days", "unit", "wind", "strange"],
        },
    },
}
OTHER_TOOL = {"type": "function", "function": {"name": "search"}}


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


async def body_of(request: dict[str, Any]) -> tuple[int, bytes]:
    reply = await answer(InProcessAsk(KIND.dialect, orjson.dumps(request), stream=False))
    return reply.status, b"".join([piece async for piece in reply.pieces])


async def chunks_of(request: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """The chunks of a stream, and whether it came to its end mark."""
    _status, body = await body_of({**request, "stream": True})
    events = [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event]
    return [orjson.loads(event) for event in events if event != b"[DONE]"], b"[DONE]" in events


async def test_it_answers_with_what_was_said():
    status, body = await body_of(ask("good morning"))

    whole = orjson.loads(body)
    message = whole["choices"][0]["message"]
    assert status == 200
    assert whole["model"] == "demo"
    assert whole["id"].startswith("gen-demo-")
    assert message["content"].endswith("You said: good morning")
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert "reasoning" not in message
    usage = whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] > 0


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_a_system_message_behind_the_prompt_is_passed_over(role):
    request = ask("/tool", tools=[TOOL])
    request["messages"].append({"role": role, "content": "The weather outside: none."})

    assert write_script(request).tool is not None


async def test_a_stream_says_the_same_word_by_word():
    _status, body = await body_of(ask("good morning"))
    whole = orjson.loads(body)

    began = time.monotonic()
    chunks, is_ended = await chunks_of(ask("good morning"))

    words = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
    assert "".join(words) == whole["choices"][0]["message"]["content"]
    assert len(words) > 10
    assert chunks[-1]["usage"] == whole["usage"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert is_ended
    assert time.monotonic() - began > 0.2  # a word every 0.02 s


async def test_it_calls_the_first_tool_with_arguments_that_fit():
    _status, body = await body_of(ask("/tool", tools=[TOOL, OTHER_TOOL]))

    choice = orjson.loads(body)["choices"][0]
    [call] = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "get_weather"
    assert orjson.loads(call["function"]["arguments"]) == {
        "city": "demo",
        "days": 1,
        "unit": "celsius",
        "wind": True,
        "strange": "demo",
    }


async def test_it_calls_the_tool_that_was_named():
    chunks, _is_ended = await chunks_of(ask("please\n/tool search now", tools=[TOOL, OTHER_TOOL]))

    calls = [c["choices"][0]["delta"].get("tool_calls") for c in chunks if c["choices"]]
    [[call]] = [found for found in calls if found]
    assert call["function"] == {"name": "search", "arguments": "{}"}


@pytest.mark.parametrize("request_", [ask("/tool"), ask("/tool fly", tools=[TOOL])])
def test_a_tool_that_was_not_offered_is_not_called(request_):
    script = write_script(request_)

    assert script.tool is None
    assert script.text == "No such tool was offered to me."


def test_it_repeats_what_a_tool_answered():
    script = write_script({"messages": [{"role": "tool", "content": "sunny /error 500"}]})

    assert script.text == "The tool answered: sunny /error 500"
    assert script.failure == ""  # only a user commands


@pytest.mark.parametrize("status", [400, 401, 429, 503, 529])
async def test_it_fails_with_the_status_that_was_asked_for(status):
    body = orjson.dumps(ask(f"/error {status}"))
    reply = await answer(InProcessAsk(KIND.dialect, body, stream=False))

    body = b"".join([piece async for piece in reply.pieces])
    assert reply.status == status
    assert orjson.loads(body)["error"]["code"] == status
    assert ("retry-after" in reply.headers) == (status in {429, 503})


async def test_it_fails_in_mid_stream():
    chunks, is_ended = await chunks_of(ask("/error midstream"))

    assert len(chunks) == 4  # the role, two words, the error
    assert chunks[-1] == {
        "error": {"code": "server_error", "message": "The demo was asked to fail."}
    }
    assert not is_ended


async def test_it_breaks_off_in_mid_stream():
    chunks, is_ended = await chunks_of(ask("/error cut"))

    assert len(chunks) == 3  # the role, two words
    assert "error" not in chunks[-1]
    assert not is_ended


@pytest.mark.parametrize(
    ("more", "thinks"),
    [
        ({}, False),
        ({"reasoning": {"effort": "high"}}, True),
        ({"reasoning": {"max_tokens": 100}}, True),
        ({"reasoning": {"effort": "none"}}, False),
        ({"reasoning": {"enabled": False}}, False),
        ({"reasoning_effort": "low"}, True),
        ({"reasoning_effort": "none"}, False),
    ],
)
async def test_it_thinks_aloud_when_asked_to(more, thinks):
    _status, body = await body_of(ask("hello", **more))
    chunks, _is_ended = await chunks_of(ask("hello", **more))

    message = orjson.loads(body)["choices"][0]["message"]
    thought = "".join(c["choices"][0]["delta"].get("reasoning", "") for c in chunks if c["choices"])
    assert ("reasoning" in message) == thinks
    assert thought == message.get("reasoning", "")
    assert thinks == bool(
        orjson.loads(body)["usage"]["completion_tokens_details"]["reasoning_tokens"]
    )


def test_it_goes_by_the_last_text_of_a_message():
    parts = [{"type": "text", "text": "one"}, {"type": "image_url"}, "odd", {"text": "two"}]

    assert write_script(ask(parts)).text.endswith("You said: two")  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, 5, {"text": "x"}])
def test_odd_contents_are_nothing_said(content):
    assert write_script(ask(content)).text.endswith("You said: ")


@pytest.mark.parametrize("request_", [{}, {"messages": []}, {"messages": ["odd"]}])
def test_it_answers_even_an_empty_request(request_):
    script = write_script(request_)

    assert script.text
    assert script.prompt_tokens == 1


def test_it_opens_no_connections():
    assert not KIND.calls_out
    assert not KIND.needs_credential
    assert KIND.credential_headers("secret") == ()
    assert KIND.traits("demo").model == "demo"


@pytest.mark.parametrize("word", ["200", "99", "99999", "²", "4294967296"])
async def test_a_number_that_is_no_error_status_is_no_failure(word):
    status, body = await body_of(ask(f"/error {word}"))

    assert status == 200
    assert orjson.loads(body)["choices"]


@pytest.mark.parametrize(
    "more",
    [
        {"tools": None},
        {"tools": "search"},
        {"tools": [{"type": "function", "function": None}]},
        {"tools": [{"function": {"name": "f", "parameters": None}}]},
        {"tools": [{"function": {"name": "f", "parameters": {"required": 5, "properties": []}}}]},
        {"tools": [{"function": {"name": "f", "parameters": {"required": ["a", 5]}}}]},
        {"tools": [{"function": {"parameters": {"required": ["a"], "properties": {"a": None}}}}]},
        {
            "tools": [
                {
                    "function": {
                        "name": "f",
                        "parameters": {"required": ["a"], "properties": {"a": {"type": []}}},
                    }
                }
            ]
        },
    ],
)
async def test_odd_tools_are_answered_all_the_same(more):
    """An OpenAI client's body comes here untouched, whatever it says."""
    status, body = await body_of(ask("/tool", **more))

    assert status == 200
    assert orjson.loads(body)["choices"]


async def test_a_request_without_messages_is_answered():
    status, _body = await body_of({"messages": None})

    assert status == 200

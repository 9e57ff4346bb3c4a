import json

import orjson
import pytest

from conversion.call import read_call
from conversion.dialects import Converter, Dialect
from conversion.errors import UpstreamInvalid, UpstreamStreamCut
from conversion.openai_over_anthropic.converter import OpenAIOverAnthropic
from conversion.traits import MessagesTraits
from conversion.usage import FinishReason
from tests.conversion import recordings
from tests.conversion.chat_rules import accumulate, check_stream, read_chunks
from tests.conversion.openai_over_anthropic.answering import REQUEST

TRAITS = MessagesTraits(model="claude-model", thinking="adaptive")


def convert(request=REQUEST) -> OpenAIOverAnthropic:
    call = read_call(Dialect.OPENAI_CHAT, orjson.dumps(request))
    return OpenAIOverAnthropic(call, TRAITS, answer_id="1", created_s=1790000000)


def test_stream_is_told_by_all_members():
    converter: Converter = convert({**REQUEST, "stream": True})
    assert json.loads(converter.request)["model"] == "claude-model"
    assert (converter.started, converter.content_started, converter.done) == (False, False, False)
    assert converter.finish_reason is None
    stream = converter.feed(recordings.read("anthropic-image.sse")) + converter.finish()
    completion = accumulate(check_stream(stream, failed=False, include_usage=True))
    assert completion["id"] == "chatcmpl-1"
    assert completion["created"] == 1790000000
    assert completion["model"] == "chat-alias"
    assert (converter.started, converter.content_started, converter.done) == (True, True, True)
    assert converter.failure is None
    assert converter.finish_reason is FinishReason.STOP
    assert converter.answered_model.startswith("claude-")
    assert converter.answered_by == ""
    assert converter.upstream_id.startswith("msg_")
    assert (converter.usage.prompt_tokens, converter.usage.completion_tokens) == (83, 9)


def test_whole_answer_is_a_completion():
    converter = convert()
    text = {"type": "text", "text": "Hi"}
    body = orjson.dumps({"type": "message", "id": "msg_7", "content": [text]})
    message = json.loads(converter.read_answer(body))["choices"][0]["message"]
    assert message["content"] == "Hi"
    assert converter.upstream_id == "msg_7"
    assert converter.usage.estimated


def test_answer_that_is_none_is_refused():
    with pytest.raises(UpstreamInvalid):
        convert().read_answer(b"<html>")


def test_cut_is_a_failure():
    converter = convert()
    assert converter.finish() == b""
    assert isinstance(converter.failure, UpstreamStreamCut)


def test_lifetime_of_the_cache_is_what_the_client_asked_for():
    usage = {"input_tokens": 5, "output_tokens": 1, "cache_creation_input_tokens": 4}
    body = orjson.dumps({"type": "message", "content": [], "usage": usage})
    hour = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    for content, written in ((hour, 4), ("hi", 0)):
        converter = convert({**REQUEST, "messages": [{"role": "user", "content": content}]})
        converter.read_answer(body)
        assert converter.usage.cache_write_1h_tokens == written


CONTENT = [
    {"type": "thinking", "thinking": "One.", "signature": "c2lnMQ=="},
    {"type": "redacted_thinking", "data": "b3BhcXVl"},
    {"type": "thinking", "thinking": "", "signature": "c2lnMg=="},
    {"type": "text", "text": "Looking. "},
    {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.txt"}},
]
RESULT = {"role": "tool", "tool_call_id": "toolu_1", "content": "ok"}


def sent_back(message) -> list:
    """The assistant's turn that reaches Anthropic when the client goes on with a message."""
    again = {**REQUEST, "messages": [*REQUEST["messages"], message, RESULT]}
    turns = json.loads(convert(again).request)["messages"]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    ]
    return turns[1]["content"]


def events() -> bytes:
    """``CONTENT`` as a stream."""
    start = {"type": "message_start", "message": {"type": "message", "content": []}}
    lines = [start]
    for index, block in enumerate(CONTENT):
        at = {"index": index}
        lines.append({"type": "content_block_start", **at, "content_block": block})
        lines.append({"type": "content_block_stop", **at})
    lines.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}})
    lines.append({"type": "message_stop"})
    return b"".join(b"data: %b\n\n" % orjson.dumps(line) for line in lines)


def test_what_has_to_come_back_comes_back_unchanged():
    body = orjson.dumps({"type": "message", "content": CONTENT, "stop_reason": "tool_use"})
    message = json.loads(convert().read_answer(body))["choices"][0]["message"]
    assert sent_back(message) == CONTENT


def test_what_the_sdk_made_of_a_stream_comes_back_unchanged():
    chunks = check_stream(convert().feed(events()), failed=False, include_usage=True)
    message = accumulate(chunks)["choices"][0]["message"]
    assert sent_back(message) == CONTENT


def test_the_pieces_of_a_stream_as_they_came_come_back_unchanged():
    chunks, _ = read_chunks(convert().feed(events()))
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    details = [entry for delta in deltas for entry in delta.get("reasoning_details", [])]
    message = accumulate(chunks)["choices"][0]["message"]
    assert len(details) > 3
    assert sent_back({**message, "reasoning_details": details}) == CONTENT

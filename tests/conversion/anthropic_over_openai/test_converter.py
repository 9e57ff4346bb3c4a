import json
from decimal import Decimal

import orjson
import pytest

from conversion.anthropic_over_openai.converter import AnthropicOverOpenAI
from conversion.call import read_call
from conversion.dialects import Converter, Dialect
from conversion.errors import UpstreamInvalid, UpstreamStreamCut
from conversion.traits import ChatTraits
from conversion.usage import FinishReason
from tests.conversion import recordings
from tests.conversion.anthropic_over_openai.answering import REQUEST
from tests.conversion.grammar import accumulate, check_stream


def convert(request=REQUEST, **traits) -> AnthropicOverOpenAI:
    call = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(request))
    return AnthropicOverOpenAI(call, ChatTraits(model="acme/large", **traits), message_id="msg_1")


def test_stream_is_told_by_all_members():
    converter: Converter = convert({**REQUEST, "model": "claude-alias[1m]", "stream": True})
    assert json.loads(converter.request)["model"] == "acme/large"
    assert (converter.started, converter.content_started, converter.done) == (False, False, False)
    assert converter.finish_reason is None
    stream = converter.feed(recordings.read("openrouter-image.sse")) + converter.finish()
    message = accumulate(check_stream(stream, failed=False))
    assert message["id"] == "msg_1"
    assert message["model"] == "claude-alias"
    assert (converter.started, converter.content_started, converter.done) == (True, True, True)
    assert converter.failure is None
    assert converter.finish_reason is FinishReason.STOP
    assert converter.answered_model == "anthropic/claude-3.5-sonnet"
    assert converter.answered_by == "Amazon Bedrock"
    assert converter.upstream_id == "gen-1754441344-pyQnLz9c6qI7tV48Fjp4"
    assert converter.usage.cost_usd == Decimal("0.000351")
    assert converter.report.notes == []


def test_whole_answer_is_a_message():
    converter = convert()
    body = orjson.dumps(
        {"id": "gen-1", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    )
    assert json.loads(converter.read_answer(body))["content"][0]["text"] == "Hi"
    assert converter.upstream_id == "gen-1"
    assert converter.usage.estimated


def test_cut_is_a_failure():
    converter = convert()
    assert converter.finish() == b""
    assert isinstance(converter.failure, UpstreamStreamCut)


def test_lifetime_of_the_cache_is_what_the_client_asked_for():
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cache_write_tokens": 4},
    }
    body = orjson.dumps({"choices": [{"message": {"content": "Hi"}}], "usage": usage})
    hour = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    for content, takes_marks, written in (
        (hour, True, 4),
        (hour, False, 0),  # nobody was asked for an hour
        ("hi", True, 0),
        ('say "ttl": "1h"', True, 0),
        ([{**hour[0], "cache_control": "ttl"}], True, 0),
    ):
        asked = {**REQUEST, "messages": [{"role": "user", "content": content}]}
        converter = convert(asked, cache_control=takes_marks)
        converter.read_answer(body)
        assert converter.usage.cache_write_1h_tokens == written
    converter = convert({**REQUEST, "cache_control": hour[0]["cache_control"]}, cache_control=True)
    converter.read_answer(body)
    assert converter.usage.cache_write_1h_tokens == 4


def test_what_has_to_come_back_comes_back_unchanged():
    details = [
        {
            "type": "reasoning.summary",
            "summary": "Sum.",
            "format": "openai-responses-v1",
            "index": 0,
        },
        {"type": "reasoning.encrypted", "data": "b3BhcXVl", "id": "rs_1", "index": 0},
        {"type": "reasoning.text", "text": "Hmm.", "signature": "c2ln", "format": None, "index": 1},
    ]
    call = {
        "id": "functions.read:0",
        "type": "function",
        "function": {"name": "read", "arguments": '{"path":"a.txt"}'},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }
    answer = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_details": details,
        "tool_calls": [call],
    }
    body = orjson.dumps({"choices": [{"message": answer, "finish_reason": "tool_calls"}]})
    content = json.loads(convert().read_answer(body))["content"]
    result = {"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "ok"}
    again = {
        **REQUEST,
        "messages": [
            *REQUEST["messages"],
            {"role": "assistant", "content": content},
            {"role": "user", "content": [result]},
        ],
    }
    read = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(again))
    traits = ChatTraits(model="acme/large", reasoning_replay="details")
    sent = json.loads(AnthropicOverOpenAI(read, traits, message_id="msg_2").request)["messages"]
    assert sent[1] == answer
    assert sent[2]["tool_call_id"] == "functions.read:0"


@pytest.mark.parametrize(
    "said",
    [
        b'"reasoning_details":[{"type":"reasoning.text","text":"Well","x":%b}]',
        b'"tool_calls":[{"id":"1","index":0,"function":{"name":"f","arguments":{"a":%b}}}]',
    ],
)
def test_what_is_nested_too_deeply_to_be_written_again_is_the_upstreams_failure(said):
    said %= b"[" * 300 + b"]" * 300  # orjson reads it, and does not write it
    with pytest.raises(UpstreamInvalid, match="nested too deeply"):
        convert().read_answer(b'{"choices":[{"message":{%b},"finish_reason":"stop"}]}' % said)
    chunk = b'data: {"choices":[{"index":0,"delta":{%b},"finish_reason":"stop"}]}' % said
    for ended_by_finish in (False, True):
        converter = convert({**REQUEST, "stream": True})
        converter.feed(chunk + b"\n\n" * (not ended_by_finish))
        converter.finish()
        assert isinstance(converter.failure, UpstreamInvalid)

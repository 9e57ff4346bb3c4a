"""Answers of Ollama's own API, for clients of both dialects."""

import orjson
import pytest

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import UpstreamError, UpstreamInvalid, UpstreamStreamCut
from conversion.ollama import answer as answers
from conversion.ollama.converter import ThroughOllama
from conversion.pairs import make_converter
from conversion.traits import ChatTraits
from conversion.usage import FinishReason
from tests.conversion.grammar import accumulate, check_message, check_stream

ASK = {"model": "qwen", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
CALL = {"function": {"name": "weather", "arguments": {"city": "Ulm"}}}


def make(client=Dialect.ANTHROPIC_MESSAGES, **fields) -> ThroughOllama:
    call = read_call(client, orjson.dumps({**ASK, **fields}))
    made = make_converter(
        call, Dialect.OLLAMA_CHAT, ChatTraits(model="qwen3:8b"), answer_id="0123", created_s=7
    )
    assert isinstance(made, ThroughOllama)
    return made


def line(message=None, **more) -> dict:
    return {
        "model": "qwen3:8b",
        "created_at": "2026",
        "done": False,
        **({"message": message} if message else {}),
        **more,
    }


def done(**more) -> dict:
    return line(
        {"role": "assistant", "content": ""},
        done=True,
        done_reason="stop",
        prompt_eval_count=12,
        eval_count=5,
        **more,
    )


def lines(*values: dict) -> bytes:
    return b"".join(orjson.dumps(value) + b"\n" for value in values)


STREAM = lines(
    line({"role": "assistant", "content": "", "thinking": "Let me see."}),
    line({"role": "assistant", "content": "Sun"}),
    line({"role": "assistant", "content": "ny."}),
    line({"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}),
    done(),
)


def test_the_request_is_ollamas():
    body = orjson.loads(make(temperature=0.5).request)

    assert body["model"] == "qwen3:8b"
    assert body["options"] == {"num_predict": 9, "temperature": 0.5}
    assert body["messages"] == [{"role": "user", "content": "Hi"}]


def test_a_whole_answer_for_a_messages_client():
    converter = make()
    message = check_message(
        converter.read_answer(
            orjson.dumps(
                line(
                    {
                        "role": "assistant",
                        "content": "Sunny.",
                        "thinking": "Hmm.",
                        "tool_calls": [CALL],
                    },
                    done=True,
                    done_reason="stop",
                    prompt_eval_count=12,
                    eval_count=5,
                )
            )
        )
    )

    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use"]
    assert message["content"][2]["input"] == {"city": "Ulm"}
    assert message["stop_reason"] == "tool_use"
    assert (converter.usage.prompt_tokens, converter.usage.completion_tokens) == (12, 5)
    assert converter.answered_model == "qwen3:8b"


@pytest.mark.parametrize("client", [Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT])
def test_a_call_nested_too_deeply_to_be_written_again_is_the_upstreams_failure(client):
    call = {"function": {"name": "weather", "arguments": {"a": "DEEP"}}}
    answer = orjson.dumps(line({"role": "assistant", "content": "", "tool_calls": [call]}))
    answer = answer.replace(b'"DEEP"', b"[" * 300 + b"]" * 300)
    with pytest.raises(UpstreamInvalid, match="nested too deeply"):
        make(client).read_answer(answer)
    converter = make(client, stream=True)
    assert converter.feed(answer + b"\n") + converter.finish() == b""
    assert isinstance(converter.failure, UpstreamInvalid)


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_a_stream_for_a_messages_client(cut):
    converter = make(stream=True)
    stream = b"".join(converter.feed(STREAM[at : at + cut]) for at in range(0, len(STREAM), cut))
    message = accumulate(check_stream(stream + converter.finish(), failed=False))

    kinds = [block["type"] for block in message["content"]]
    assert kinds == ["thinking", "text", "tool_use", "tool_use"]
    assert message["content"][1]["text"] == "Sunny."
    ids = {block["id"] for block in message["content"][2:]}
    assert ids == {"call_0123_0", "call_0123_1"}
    assert converter.finish_reason is FinishReason.TOOL_CALLS
    assert converter.usage.prompt_tokens == 12
    assert (converter.started, converter.content_started, converter.done) == (True, True, True)
    assert converter.failure is None
    assert converter.answered_by == ""
    assert converter.upstream_id == "chatcmpl-0123"


def test_a_stream_for_a_chat_client():
    converter = make(Dialect.OPENAI_CHAT, stream=True, stream_options={"include_usage": True})
    frames = converter.feed(STREAM) + converter.finish()

    chunks = [orjson.loads(f.removeprefix(b"data: ")) for f in frames.split(b"\n\n")[:-2]]
    assert frames.endswith(b"data: [DONE]\n\n")
    assert [c["choices"][0]["delta"].get("content") for c in chunks[1:3]] == ["Sun", "ny."]
    roles = [c["choices"][0]["delta"].get("role") for c in chunks[:5]]
    assert roles == ["assistant", None, None, None, None]
    assert [c["index"] for c in chunks[3]["choices"][0]["delta"]["tool_calls"]] == [0, 1]
    assert chunks[4]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[5]["usage"] == {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}


def test_a_chat_client_that_did_not_ask_for_usage_gets_none():
    converter = make(Dialect.OPENAI_CHAT, stream=True)

    assert b'"usage":{' not in converter.feed(STREAM)
    assert converter.usage.completion_tokens == 5


def test_the_last_line_needs_no_end():
    converter = make(stream=True)
    stream = converter.feed(STREAM[:-1]) + converter.finish()

    assert accumulate(check_stream(stream, failed=False))["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("length", FinishReason.LENGTH), ("load", FinishReason.STOP), ("odd", FinishReason.STOP)],
)
def test_why_it_ended(reason, finish):
    converter = make()
    converter.read_answer(
        orjson.dumps(line({"content": "Hi"}, done=True, done_reason=reason, eval_count="odd"))
    )

    assert converter.finish_reason is finish


def test_an_error_in_the_middle_is_a_failure():
    converter = make(stream=True)
    converter.feed(lines(line({"content": "Hi"}), {"error": "out of memory"}))

    assert isinstance(converter.failure, UpstreamError)
    assert "out of memory" in converter.failure.message
    assert converter.feed(STREAM) == b""
    assert converter.finish() == b""


def test_an_error_in_the_clothes_of_a_success():
    with pytest.raises(UpstreamError, match="out of memory"):
        make().read_answer(b'{"error": "out of memory"}')


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"message": 5}'])
def test_a_whole_answer_that_is_none(body):
    with pytest.raises(UpstreamInvalid):
        make().read_answer(body)


def test_a_line_that_is_none():
    converter = make(stream=True)
    assert converter.feed(b"<html>\n") == b""
    assert isinstance(converter.failure, UpstreamInvalid)


def test_a_line_without_an_end(monkeypatch):
    monkeypatch.setattr(answers, "LINE_BYTES_MAX", 100)
    converter = make(stream=True)
    converter.feed(b'{"message": "' + b"a" * 100)

    assert isinstance(converter.failure, UpstreamInvalid)


def test_a_stream_that_was_cut():
    converter = make(stream=True)
    converter.feed(lines(line({"content": "Hi"})))
    converter.finish()

    assert isinstance(converter.failure, UpstreamStreamCut)


def test_lines_that_say_nothing_say_nothing():
    converter = make(Dialect.OPENAI_CHAT, stream=True)

    assert converter.feed(b"\n" + lines(line(), line({"content": ""}))) == b""


def test_arguments_in_a_text_and_calls_that_are_none():
    converter = make()
    call = {"function": {"name": "f", "arguments": '{"a": 1}'}}
    message = {"content": "", "tool_calls": [call, "odd"]}
    content = check_message(converter.read_answer(orjson.dumps(line(message, done=True))))[
        "content"
    ]

    assert content[0]["input"] == {"a": 1}


def test_a_call_without_a_function_is_no_answer():
    message = {"content": "Hi", "tool_calls": [{"function": "odd"}]}
    with pytest.raises(UpstreamInvalid):
        make().read_answer(orjson.dumps(line(message, done=True)))


def test_what_crossed_differently_is_in_one_report():
    converter = make(Dialect.OPENAI_CHAT, logit_bias={"1": 1})

    assert converter.report.dropped_paths == ["logit_bias"]

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.errors import GatewayError, UpstreamInvalid, UpstreamRejected
from conversion.usage import Usage
from tests.conversion import recordings
from tests.conversion.anthropic_over_openai.answering import PROMPT_TOKENS, REQUEST, Answering
from tests.conversion.grammar import accumulate, check_stream


def frame(chunk) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(chunk)


def delta(**members) -> bytes:
    return frame({"id": "gen-1", "choices": [{"delta": members}]})


def run(*pieces: bytes) -> tuple[bytes, Answering]:
    answering = Answering()
    return b"".join([answering.feed(piece) for piece in pieces]) + answering.finish(), answering


def facts(answering: Answering) -> tuple:
    known = answering.facts
    return (
        answering.usage,
        known.finish_reason,
        known.answered_model,
        known.answered_by,
        known.upstream_id,
        repr(answering.failure),
        answering.report.dropped_paths,
    )


@pytest.mark.parametrize("name", recordings.CHAT)
def test_recording_becomes_a_stream_that_keeps_the_rules(name):
    stream, answering = run(recordings.read(name))
    failed = name == "openrouter-error.sse"
    assert (answering.failure is not None) == failed
    events = check_stream(stream, failed=failed)
    assert not answering.usage.estimated
    if not failed:
        message = accumulate(events)
        assert message["content"]
        assert message["usage"]["output_tokens"] == answering.usage.completion_tokens


def test_recorded_error_ends_in_failure():
    _, answering = run(recordings.read("openrouter-error.sse"))
    assert isinstance(answering.failure, UpstreamRejected)
    assert answering.failure.message == "Token limit reached"
    assert answering.failure.upstream_status == 400
    assert answering.usage.prompt_tokens == 43
    assert answering.usage.completion_tokens == 10


def test_recorded_reasoning_is_sealed_and_its_text_whole():
    stream, answering = run(recordings.read("openrouter-reasoning.sse"))
    message = accumulate(check_stream(stream, failed=False))
    assert [block["type"] for block in message["content"]] == ["redacted_thinking", "text"]
    assert message["content"][1]["text"].endswith("just let me know!")
    assert str(answering.usage.cost_usd) == "0.00085"
    assert answering.facts.answered_by == "OpenAI"
    assert answering.facts.upstream_id == "gen-1762141316-q3fB64DDMstJO0ZakdSK"


def test_recorded_tool_call_of_xai_counts_its_reasoning():
    stream, answering = run(recordings.read("xai-tool-call.chunks.txt"))
    message = accumulate(check_stream(stream, failed=False))
    assert [block["type"] for block in message["content"]] == ["thinking", "tool_use"]
    assert message["content"][1]["input"] == {"location": "San Francisco"}
    assert answering.usage.completion_tokens == 253  # 26 + 227 reasoning


def test_recorded_first_chunk_of_azure_says_nothing():
    stream, answering = run(recordings.read("azure-model-router.chunks.txt"))
    message = accumulate(check_stream(stream, failed=False))
    assert message["content"] == [{"type": "text", "text": "Capital of Denmark."}]
    assert answering.facts.answered_model == "gpt-5-nano-2025-08-07"
    assert message["model"] == "claude-alias"


@pytest.mark.parametrize("name", recordings.CHAT)
def test_recording_fed_byte_by_byte_becomes_the_same(name):
    data = recordings.read(name)
    whole, one = run(data)
    bytewise, other = run(*(data[at : at + 1] for at in range(len(data))))
    assert bytewise == whole
    assert facts(other) == facts(one)


@pytest.mark.parametrize("name", recordings.CHAT)
@settings(max_examples=15, deadline=None)
@given(places=st.lists(st.integers(min_value=0), max_size=30))
def test_recording_cut_anywhere_becomes_the_same(name, places):
    data = recordings.read(name)
    ends = sorted(place % (len(data) + 1) for place in places)
    pieces = [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    whole, one = run(data)
    cut, other = run(*pieces)
    assert cut == whole
    assert facts(other) == facts(one)


@pytest.mark.parametrize("name", recordings.CHAT)
def test_recording_cut_short_is_a_failure_or_an_end(name):
    data = recordings.read(name)
    for share in range(1, 10):
        stream, answering = run(data[: len(data) * share // 10])
        check_stream(stream, failed=answering.failure is not None)


def test_message_start_carries_the_estimate():
    stream, _ = run(delta(content="Hi"), b"data: [DONE]\n\n")
    usage = check_stream(stream, failed=False)[0]["message"]["usage"]
    assert usage["input_tokens"] == PROMPT_TOKENS
    assert usage["output_tokens"] == 0


def test_several_events_of_one_read_come_as_one_piece():
    answering = Answering()
    out = answering.feed(delta(content="a") + delta(content="b"))
    assert out.count(b"event: ") == 4  # message_start, start, two deltas


def test_states_tell_how_far_it_is():
    answering = Answering()
    stream = answering.stream
    assert not stream.started
    assert answering.feed(b": OPENROUTER PROCESSING\n\n") == b""
    assert not stream.started
    assert answering.feed(delta(role="assistant", content=""))
    assert stream.started
    assert not stream.content_started
    answering.feed(delta(content="Hi"))
    assert stream.content_started
    assert not stream.done
    answering.feed(b"data: [DONE]\n\n")
    assert stream.done
    assert answering.feed(delta(content="Hi")) == b""
    assert answering.finish() == b""


def test_nothing_comes_after_a_failure():
    answering = Answering()
    answering.feed(frame({"error": {"message": "No."}}))
    assert isinstance(answering.failure, GatewayError)
    assert answering.feed(delta(content="Hi")) == b""
    assert answering.finish() == b""


def test_usage_is_unknown_before_the_answer_begins():
    answering = Answering()
    answering.feed(b": OPENROUTER PROCESSING\n\n")
    assert answering.usage == Usage()


def test_usage_is_estimated_when_the_client_leaves_half_way():
    answering = Answering()
    answering.feed(delta(content="12345678"))
    assert answering.usage == Usage(
        prompt_tokens=PROMPT_TOKENS, completion_tokens=2, estimated=True
    )


def test_endless_frame_is_a_failure(monkeypatch):
    monkeypatch.setattr("conversion.sse.FRAME_BYTES_MAX", 10)
    answering = Answering()
    assert answering.feed(b"data: 1234567890") == b""
    assert isinstance(answering.failure, UpstreamInvalid)


def test_names_of_tools_are_the_clients_again():
    long = "mcp__" + "x" * 80
    tools = [{"name": long, "input_schema": {"type": "object", "properties": {}}}]
    answering = Answering({**REQUEST, "tools": tools})
    (short,) = [
        name for name, client in answering.facts.expected.tool_names.items() if client == long
    ]
    call = {"id": "call_a", "type": "function", "function": {"name": short, "arguments": "{}"}}
    stream = answering.feed(delta(tool_calls=[{"index": 0, **call}]) + b"data: [DONE]\n\n")
    assert accumulate(check_stream(stream, failed=False))["content"][0]["name"] == long
    body = orjson.dumps({"choices": [{"message": {"tool_calls": [call]}}]})
    again = Answering({**REQUEST, "tools": tools})
    assert json.loads(again.read_answer(body))["content"][0]["name"] == long  # fmt: skip


TEXT = st.sampled_from(["", "a", "{", "}", '{"a":1}', "[1]", " ", "ä\u2028"]) | st.text(max_size=3)
ODD = (
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats() | TEXT | st.just([]) | st.just({})
)
FUNCTION = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["f", "g", ""]) | ODD, "arguments": TEXT | ODD}
)
CALL = st.fixed_dictionaries(
    {"function": FUNCTION | ODD},
    optional={
        "index": st.integers(0, 2) | ODD,
        "id": st.sampled_from(["a", "b", ""]) | ODD,
        "extra_content": ODD,
    },
)
DETAIL = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted", "x"])
        | ODD
    },
    optional={
        "text": TEXT | ODD,
        "summary": TEXT | ODD,
        "signature": TEXT | ODD,
        "data": ODD,
        "index": ODD,
        "id": ODD,
    },
)
PART = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "refusal", "thinking"]) | ODD,
        "text": TEXT | ODD,
        "thinking": ODD,
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "role": ODD,
        "content": TEXT | ODD | st.lists(PART | ODD, max_size=2),
        "reasoning": TEXT | ODD,
        "reasoning_content": TEXT | ODD,
        "reasoning_details": st.lists(DETAIL | ODD, max_size=2) | ODD,
        "refusal": TEXT | ODD,
        "tool_calls": st.lists(CALL | ODD, max_size=3) | ODD,
        "function_call": FUNCTION | ODD,
        "annotations": ODD,
    },
)
FINISH = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "error", "", "odd"])
CHOICE = st.fixed_dictionaries(
    {"delta": DELTA | ODD},
    optional={"finish_reason": st.none() | FINISH | ODD, "stop_reason": ODD, "message": DELTA},
)
USAGE = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": st.integers(0, 100) | ODD,
        "completion_tokens": st.integers(0, 100) | ODD,
        "total_tokens": ODD,
        "cost": st.floats(0, 1) | ODD,
        "prompt_tokens_details": st.dictionaries(
            st.sampled_from(["cached_tokens", "cache_write_tokens"]), ODD | st.integers(0, 200)
        )
        | ODD,
        "completion_tokens_details": st.dictionaries(st.just("reasoning_tokens"), ODD) | ODD,
    },
)
CHUNK = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, min_size=1, max_size=2) | ODD},
    optional={"usage": USAGE | ODD, "id": ODD, "model": ODD, "object": ODD, "x_groq": ODD},
)  # fmt: skip
FRAMES = st.lists(
    CHUNK.map(frame)
    | CHUNK.map(frame)
    | CHUNK.map(frame)
    | st.sampled_from([b"data: [DONE]\n\n", b": x\n\n", b"data: x\n\n", b"event: error\n\n", b"\r"])
    | st.binary(max_size=5),
    max_size=12,
)


def test_an_entry_of_reasoning_whose_type_is_no_text_is_sealed():
    stream, answering = run(
        frame(
            {"choices": [{"delta": {"reasoning_details": [{"type": []}]}, "finish_reason": "stop"}]}
        )
    )

    assert answering.failure is None
    assert b"redacted_thinking" in stream


@settings(max_examples=500, deadline=None)
@given(FRAMES)
def test_any_chunks_in_any_order_keep_the_rules(frames):
    stream, answering = run(*frames)
    failed = answering.failure is not None
    assert failed != answering.stream.done
    check_stream(stream, failed=failed)
    usage = answering.usage
    assert usage.completion_tokens is None or usage.completion_tokens >= 0


@settings(max_examples=300, deadline=None)
@given(CHUNK | ODD, DELTA)
def test_any_whole_answer_is_a_message_or_an_error(answer, message):
    if isinstance(answer, dict) and isinstance(answer.get("choices"), list):
        for choice in answer["choices"]:
            choice["message"] = message
    answering = Answering()
    try:
        body = answering.read_answer(orjson.dumps(answer))
    except GatewayError:
        return
    assert json.loads(body)["type"] == "message"

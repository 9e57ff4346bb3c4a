import json
from contextlib import suppress
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.errors import GatewayError, UpstreamError, UpstreamInvalid, UpstreamStreamCut
from conversion.usage import FinishReason
from tests.conversion import recordings
from tests.conversion.chat_rules import accumulate, check_completion, check_stream, told
from tests.conversion.messages_answers import TEXT, event, messages, streams
from tests.conversion.openai_over_anthropic.answering import REQUEST, Answering

FUNCTIONS = {**REQUEST, "functions": [{"name": "get_weather"}, {"name": "search"}]}


def fed(data: bytes, *, request=None, size: int | None = None) -> tuple[Answering, bytes]:
    answering = Answering(request)
    size = size or max(1, len(data))
    pieces = [answering.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return answering, b"".join(pieces) + answering.finish()


@pytest.mark.parametrize("name", recordings.MESSAGES)
def test_recording_becomes_a_stream_that_keeps_the_rules(name):
    answering, stream = fed(recordings.read(name))
    assert answering.failure is None
    completion = accumulate(check_stream(stream, failed=False, include_usage=True))
    assert completion["usage"]["completion_tokens"] == answering.usage.completion_tokens
    assert answering.stream.done
    assert not answering.usage.estimated


@pytest.mark.parametrize("name", recordings.MESSAGES)
def test_recording_cut_anywhere_becomes_the_same(name):
    data = recordings.read(name)
    whole = fed(data)[1]
    for size in (1, 7, 100):
        assert fed(data, size=size)[1] == whole


@pytest.mark.parametrize("name", recordings.MESSAGES)
def test_recording_that_ends_early_is_a_cut(name):
    data = recordings.read(name)
    end = data.index(b"event: message_delta")
    for at in (0, 40, end // 2, end):
        answering, stream = fed(data[:at])
        assert isinstance(answering.failure, UpstreamStreamCut)
        check_stream(stream, failed=True, include_usage=True)
        assert answering.usage.estimated == bool(stream)


@given(st.data(), messages(), st.sampled_from([None, FUNCTIONS]))
def test_whole_and_streamed_answers_agree(data, message, request):
    streaming, stream = fed(data.draw(streams(message)), request=request)
    whole = Answering(request)
    completion = check_completion(whole.read_answer(json.dumps(message).encode()))
    assert streaming.failure is None
    chunks = check_stream(stream, failed=False, include_usage=True)
    assert told(accumulate(chunks)) == told(completion)
    assert streaming.usage == whole.usage
    assert not whole.usage.estimated
    assert streaming.facts.finish_reason == whole.facts.finish_reason
    assert streaming.report == whole.report


@given(messages())
def test_usage_holds_the_same_tokens(message):
    given = message["usage"]
    usage = check_completion(Answering().read_answer(json.dumps(message).encode()))["usage"]
    cached = usage["prompt_tokens_details"]
    assert cached["cached_tokens"] == given["cache_read_input_tokens"]
    assert cached["cache_write_tokens"] == given["cache_creation_input_tokens"]
    assert usage["prompt_tokens"] == given["input_tokens"] + sum(cached.values())
    assert usage["completion_tokens"] == given["output_tokens"]


@given(st.data(), messages())
def test_stream_cut_anywhere_never_raises(data, message):
    stream = data.draw(streams(message))
    at = data.draw(st.integers(0, len(stream)))
    answering, out = fed(stream[:at], size=data.draw(st.integers(1, 50)))
    failed = answering.failure is not None
    assert failed != answering.stream.done
    check_stream(out, failed=failed, include_usage=True)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def damaged(draw):
    """A message with something odd in the place of some member."""
    message = deepcopy(draw(messages()))  # parts of it are shared with the next example
    holders = [message, *message["content"]]
    holders += [message["usage"]]
    holder = draw(st.sampled_from(holders))
    name = draw(st.sampled_from(sorted(holder)))
    holder[name] = draw(ODD)
    return message


@given(damaged())
def test_damaged_answer_is_a_completion_or_an_error(message):
    with suppress(UpstreamInvalid, UpstreamError):
        check_completion(Answering().read_answer(json.dumps(message).encode()))


@given(st.data(), damaged())
def test_damaged_event_is_survived(data, message):
    kinds = (
        "message_start",
        "content_block_start",
        "content_block_delta",
        "message_delta",
        "error",
    )
    odd = {"type": data.draw(st.sampled_from(kinds))}
    for name in ("message", "content_block", "delta", "index", "usage", "error"):
        if data.draw(st.booleans()):
            odd[name] = data.draw(
                ODD | st.just(message) | st.sampled_from([message, *_parts(message)])
            )
    stream = data.draw(streams(_SOUND))
    frames = stream.split(b"\n\n")
    at = data.draw(st.integers(0, len(frames) - 1))
    frames.insert(at, event(odd).strip())
    answering, _ = fed(b"\n\n".join(frames))
    assert answering.stream.done or isinstance(answering.failure, GatewayError)


def _parts(message):
    content = message["content"]
    return content if isinstance(content, list) else []


_SOUND = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-model",
    "content": [{"type": "text", "text": "Hello", "citations": None}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {
        "input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 2,
    },
}


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data):
    answering, out = fed(data, size=3)
    assert isinstance(answering.failure, GatewayError)
    assert out == b""
    with pytest.raises((UpstreamInvalid, UpstreamError)):
        Answering().read_answer(data)


def test_nothing_follows_the_end():
    data = recordings.read("anthropic-image.sse")
    answering, stream = fed(data + data)
    assert stream.count(b"[DONE]") == 1
    assert (answering.feed(data), answering.finish()) == (b"", b"")


def test_nothing_follows_a_failure():
    answering, _ = fed(b"data: [1]\n\n")
    assert isinstance(answering.failure, UpstreamInvalid)
    assert (answering.feed(recordings.read("anthropic-image.sse")), answering.finish()) == (
        b"",
        b"",
    )


def test_content_starts_after_the_first_chunk():
    frames = recordings.read("anthropic-image.sse").split(b"\n\n")
    answering = Answering()
    answering.feed(frames[0] + b"\n\n")
    assert (answering.stream.started, answering.stream.content_started) == (True, False)
    answering.feed(b"\n\n".join(frames[1:5]) + b"\n\n")
    assert answering.stream.content_started


def test_usage_of_an_unfinished_stream_is_estimated_from_its_text():
    start = {**_SOUND, "content": [], "stop_reason": None}
    delta = {"type": "text_delta", "text": "x" * 100}
    answering = Answering()
    assert answering.usage.prompt_tokens is None
    answering.feed(event({"type": "message_start", "message": start}))
    answering.feed(event({"type": "content_block_delta", "index": 0, "delta": delta}))
    assert answering.usage.prompt_tokens == 3
    assert answering.usage.completion_tokens == 25  # 100 characters, four a token
    assert answering.usage.estimated
    assert answering.facts.finish_reason is not FinishReason.STOP


def test_a_message_begins_whatever_is_nested_in_it():
    start = {**_SOUND, "content": [], "stop_reason": None, "x": "DEEP"}
    answering = Answering()
    deep = b"[" * 1000 + b"]" * 1000
    begun = event({"type": "message_start", "message": start}).replace(b'"DEEP"', deep)
    assert answering.feed(begun)
    assert answering.usage.prompt_tokens == 3

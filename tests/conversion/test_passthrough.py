import json
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.call import read_call
from conversion.dialects import Converter, Dialect
from conversion.errors import (
    GatewayError,
    RequestInvalid,
    UpstreamBroken,
    UpstreamError,
    UpstreamInvalid,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamStreamCut,
)
from conversion.passthrough import Passthrough
from conversion.usage import FinishReason, Usage
from tests.conversion import recordings

CHAT_CALL = b'{ "model" : "alias",  "messages":[{"role":"user","content":"hi \\"model\\": 1"}],"stream":true, "odd": 1.50}'
MESSAGES_CALL = (
    b'{"model":"alias","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stream":true}'
)


def chat(raw: bytes = CHAT_CALL, **options) -> Passthrough:
    options = {"upstream_model": "acme/large", **options}
    return Passthrough(read_call(Dialect.OPENAI_CHAT, raw), **options)


def messages(raw: bytes = MESSAGES_CALL, **options) -> Passthrough:
    options = {"upstream_model": "acme/large", **options}
    return Passthrough(read_call(Dialect.ANTHROPIC_MESSAGES, raw), **options)


def run(converter: Converter, *pieces: bytes) -> bytes:
    return b"".join([converter.feed(piece) for piece in pieces]) + converter.finish()


def frame(chunk, event: str = "") -> bytes:
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: %b\n\n" % orjson.dumps(chunk)


def chunk(content=None, finish=None, **top) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return frame({"id": "gen-1", "model": "m", "choices": [choice], **top})


DONE = b"data: [DONE]\n\n"
USAGE = frame(
    {"id": "gen-1", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 5}}
)


# The request


def test_model_name_is_put_into_the_clients_own_bytes():
    assert chat().request == CHAT_CALL.replace(b'"alias"', b'"acme/large"')


def test_same_model_name_leaves_every_byte():
    assert chat(upstream_model="alias").request == CHAT_CALL


def test_model_name_with_escapes_is_replaced_whole():
    raw = rb'{"messages":[],"model":"a\"li\\as"}'
    assert chat(raw).request == b'{"messages":[],"model":"acme/large"}'


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"alias","messages":[],"metadata":{"model":"other"}}',
        b'{"model":"first","model":"alias","messages":[]}',
        rb'{"mod\u0065l":"alias","messages":[],"metadata":{"model":"other"}}',
        rb'{"mod\u0065l":"alias","messages":[]}',
    ],
)
def test_model_name_is_written_anew_where_its_place_is_in_doubt(raw):
    body = json.loads(chat(raw).request)
    assert body == {**json.loads(raw), "model": "acme/large"}


@pytest.mark.parametrize(
    "raw",
    [
        b'{ "metadata":{"model":"alias"}, "model" : "alias","messages":[]}',
        b'{"messages":[{"role":"user","content":"\\"model\\""}], "tools":["model"] ,"model": "alias"}',
        b'{"model":"alias","model":"alias","messages":[]}',
    ],
)
def test_the_model_of_the_request_itself_is_renamed_and_every_other_byte_stays(raw):
    at = raw.rindex(b'"alias"')
    assert chat(raw).request == raw[:at] + b'"acme/large"' + raw[at + 7 :]


def test_a_body_too_deep_to_be_written_again_is_refused():
    deep = b"[" * 1015 + b"]" * 1015
    with pytest.raises(RequestInvalid, match="nested too deeply"):
        chat(b'{"model":"alias","messages":[],"x":%b}' % deep)


def test_overrides_are_merged_last():
    body = json.loads(chat(parameters={"temperature": 0, "model": "pinned"}).request)
    assert body["temperature"] == 0
    assert body["model"] == "pinned"
    assert body["odd"] == 1.5


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"max_tokens": 100}, {"max_tokens": 100}),
        ({"max_tokens": 5000}, {"max_tokens": 4000}),
        ({"max_completion_tokens": 1, "max_tokens": 5000}, {"max_completion_tokens": 1, "max_tokens": 4000}),
        ({"max_completion_tokens": 5000}, {"max_completion_tokens": 4000}),
        ({"max_tokens": "many", "max_completion_tokens": 5}, {"max_tokens": "many", "max_completion_tokens": 5}),
        ({}, {}),
    ],
)  # fmt: skip
def test_a_longer_answer_than_the_deployment_allows_is_not_asked_for(asked, sent):
    raw = orjson.dumps({"model": "alias", "messages": [], **asked})
    converter = chat(raw, max_output_tokens=4000)
    assert json.loads(converter.request) == {"model": "acme/large", "messages": [], **sent}
    notes = [(note.kind, note.path) for note in converter.report.notes]
    assert notes == [("mapped", name) for name in asked if asked[name] != sent[name]]


@pytest.mark.parametrize(
    ("most", "budget"),
    [(8000, 7000), (7001, 7000), (7000, 6999), (1025, 1024), (1024, 7000)],
)
def test_a_budget_for_thoughts_stays_below_a_limit_that_is_cut_down(most, budget):
    """Below 1,024 Anthropic takes no budget: there the upstream's own refusal says what is wrong."""
    thinking = {"type": "enabled", "budget_tokens": 7000, "display": "omitted"}
    body = {"model": "alias", "max_tokens": 9000, "messages": [], "thinking": thinking}
    sent = json.loads(messages(orjson.dumps(body), max_output_tokens=most).request)
    assert sent["max_tokens"] == most
    assert sent["thinking"] == {**thinking, "budget_tokens": budget}


@pytest.mark.parametrize("thinking", [None, 7, {"type": "adaptive"}, {"budget_tokens": "7"}])
def test_what_is_no_budget_for_thoughts_is_left_alone(thinking):
    body = {"model": "alias", "max_tokens": 9000, "messages": [], "thinking": thinking}
    sent = json.loads(messages(orjson.dumps(body), max_output_tokens=2000).request)
    assert sent == {**body, "model": "acme/large", "max_tokens": 2000}


def test_what_a_deployment_sets_is_not_cut_down():
    converter = chat(parameters={"max_tokens": 5000}, max_output_tokens=4000)
    assert json.loads(converter.request)["max_tokens"] == 5000


def test_usage_is_asked_for_in_place():
    request = chat(ask_for_usage=True).request
    assert request.startswith(b'{"stream_options":{"include_usage":true}, "model" : "acme/large"')
    assert json.loads(request) == {
        **json.loads(CHAT_CALL),
        "model": "acme/large",
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("options", [b"null", b'{"include_usage":false,"x":1}', b"7"])
def test_usage_is_asked_for_where_the_client_did_not_want_it(options):
    raw = b'{"model":"alias","messages":[],"stream":true,"stream_options":%b}' % options
    written = json.loads(chat(raw, ask_for_usage=True).request)["stream_options"]
    assert written["include_usage"] is True
    assert written.get("x") == (1 if b"x" in options else None)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"alias","messages":[],"stream":true,"stream_options":{"include_usage":true}}',
        b'{"model":"alias","messages":[]}',
    ],
)
def test_usage_is_not_asked_for_without_need(raw):
    assert chat(raw, ask_for_usage=True, upstream_model="alias").request == raw


def test_anthropic_request_is_never_asked_for_usage():
    assert messages(ask_for_usage=True, upstream_model="alias").request == MESSAGES_CALL


# Streams


@pytest.mark.parametrize("name", recordings.MESSAGES)
def test_anthropic_recording_passes_byte_for_byte(name):
    data = recordings.read(name)
    converter = messages()
    assert run(converter, data) in (data, data + b"\n\n")  # one lacks its last line end
    assert converter.failure is None
    assert converter.done
    assert converter.content_started == (b"content_block_start" in data)
    assert converter.upstream_id.startswith("msg_")
    assert converter.answered_model.startswith("claude")
    assert converter.finish_reason is not None
    usage = [
        json.loads(line.removeprefix(b"data: "))["usage"]
        for line in data.splitlines()
        if b'"message_delta"' in line and line.startswith(b"data")
    ][-1]
    assert not converter.usage.estimated
    assert converter.usage.completion_tokens == usage["output_tokens"]
    if "input_tokens" in usage:
        assert converter.usage.uncached_prompt_tokens == usage["input_tokens"]


@pytest.mark.parametrize("name", recordings.CHAT)
def test_openai_recording_passes_byte_for_byte(name):
    data = recordings.read(name)
    converter = chat()
    passed = run(converter, data)
    if name == "openrouter-error.sse":
        assert data.startswith(passed)
        assert isinstance(converter.failure, UpstreamRejected)
        assert converter.finish_reason is FinishReason.ERROR
    else:
        assert passed == data
        assert converter.failure is None
        assert converter.done
        assert converter.content_started
        assert converter.finish_reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)
    assert not converter.usage.estimated
    assert converter.upstream_id


@pytest.mark.parametrize("name", [*recordings.CHAT, *recordings.MESSAGES])
@settings(max_examples=10, deadline=None)
@given(places=st.lists(st.integers(min_value=0), max_size=30))
def test_recording_cut_anywhere_passes_the_same(name, places):
    make = messages if name in recordings.MESSAGES else chat
    data = recordings.read(name)
    ends = sorted(place % (len(data) + 1) for place in places)
    pieces = [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    whole, cut = make(), make()
    assert run(cut, *pieces) == run(whole, data)
    assert cut.usage == whole.usage
    assert cut.finish_reason == whole.finish_reason
    assert repr(cut.failure) == repr(whole.failure)


def test_pieces_given_to_the_client_end_between_events():
    data = recordings.read("anthropic-tools.sse")
    converter = messages()
    for at in range(0, len(data), 7):
        piece = converter.feed(data[at : at + 7])
        assert piece == b"" or piece.endswith(b"\n\n")


def test_usage_chunk_that_only_the_gateway_asked_for_is_kept_back():
    converter = chat(ask_for_usage=True)
    assert run(converter, chunk("Hi") + chunk(finish="stop") + USAGE + DONE) == (
        chunk("Hi") + chunk(finish="stop") + DONE
    )
    assert converter.usage == Usage(prompt_tokens=12, completion_tokens=5)


def test_usage_chunk_that_the_client_asked_for_is_passed():
    raw = b'{"model":"alias","messages":[],"stream":true,"stream_options":{"include_usage":true}}'
    data = chunk("Hi") + chunk(finish="stop") + USAGE + DONE
    assert run(chat(raw, ask_for_usage=True), data) == data


def test_usage_in_a_chunk_with_choices_is_passed():
    data = chunk("Hi", usage={"prompt_tokens": 12, "completion_tokens": 5}) + DONE
    assert run(chat(ask_for_usage=True), data) == data


def test_states_tell_how_far_it_is():
    converter = chat()
    assert (converter.started, converter.content_started, converter.done) == (False, False, False)
    assert converter.feed(b": OPENROUTER PROCESSING\n\n")
    assert converter.started
    converter.feed(chunk(""))
    assert not converter.content_started
    converter.feed(chunk("Hi"))
    assert converter.content_started
    assert converter.finish_reason is None
    converter.feed(DONE)
    assert converter.done
    assert converter.feed(DONE) == b""
    assert converter.finish() == b""


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_many_frames_and_the_end_in_one_piece_are_passed_and_read(line_end):
    """Where lines end with CR LF, the last frames aren't looked for from the end of the piece."""
    many = b"".join(chunk("word " * 3) for _ in range(20))
    pieces = [chunk("first"), many + chunk(finish="stop") + USAGE + DONE]
    pieces = [piece.replace(b"\n", line_end) for piece in pieces]
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    converter = chat(orjson.dumps(asked | {"model": "alias", "messages": []}))
    assert run(converter, *pieces) == b"".join(pieces)
    assert converter.done
    assert converter.finish_reason == FinishReason.STOP
    assert converter.usage == Usage(prompt_tokens=12, completion_tokens=5)


def test_what_follows_the_end_is_not_passed():
    assert run(chat(), chunk("Hi", "stop") + DONE + chunk("again")) == chunk("Hi", "stop") + DONE


def test_content_that_speaks_of_usage_is_not_read():
    data = chunk('"usage":{"prompt_tokens":1} "error":{} [DONE]') + chunk(finish="stop") + DONE
    converter = chat()
    assert run(converter, data) == data
    assert converter.failure is None
    assert converter.usage.estimated


def test_cost_and_provider_are_read():
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "cost": 0.00015}
    converter = chat()
    run(converter, chunk("Hi", "stop", provider="Acme", usage=usage) + DONE)
    assert converter.usage.cost_usd == Decimal("0.00015")
    assert converter.answered_by == "Acme"
    assert converter.answered_model == "m"


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (frame({"error": {"code": 429, "message": "Slow down"}}), UpstreamRateLimited),
        (frame({"object": "error", "message": "No.", "code": 400}), UpstreamRejected),
        (chunk(finish="error"), UpstreamBroken),
        (frame({"id": "x", "choices": [{"delta": {}, "finish_reason": "stop", "error": {"code": 503, "message": "x"}}]}), UpstreamOverloaded),
        (b"event: error\ndata: gone\n\n", UpstreamError),
    ],
)  # fmt: skip
def test_openai_error_is_a_failure_and_not_passed(bad, kind):
    converter = chat()
    assert run(converter, chunk("Hi") + bad + chunk("more") + DONE) == chunk("Hi")
    assert isinstance(converter.failure, kind)
    assert converter.feed(DONE) == b""


def test_anthropic_error_is_a_failure_and_not_passed():
    start = frame(
        {"type": "message_start", "message": {"id": "msg_1", "model": "m"}}, "message_start"
    )
    bad = frame(
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error"
    )
    converter = messages()
    assert run(converter, start + bad) == start
    assert isinstance(converter.failure, UpstreamOverloaded)
    assert converter.failure.message == "Overloaded"
    assert converter.finish_reason is FinishReason.ERROR  # fmt: skip


def test_chunk_that_is_not_json_is_a_failure():
    converter = chat()
    assert run(converter, chunk("Hi") + b'data: {"usage":{\n\n') == chunk("Hi")
    assert isinstance(converter.failure, UpstreamInvalid)


@pytest.mark.parametrize("bad", [b"data: 17\n\n", b"data: [{}]\n\n"])
def test_chunk_that_is_no_object_is_a_failure(bad):
    converter = chat()
    assert run(converter, bad) == b""
    assert isinstance(converter.failure, UpstreamInvalid)


def test_endless_frame_is_a_failure(monkeypatch):
    monkeypatch.setattr("conversion.sse.FRAME_BYTES_MAX", 10)
    converter = chat()
    assert converter.feed(b"data: 1234567890") == b""
    assert isinstance(converter.failure, UpstreamInvalid)


@pytest.mark.parametrize("rest", [b"", b"\n", b'data: {"choices":[{"delta":{"content":"mo'])
def test_stream_that_ends_early_is_a_failure(rest):
    converter = chat()
    assert run(converter, chunk("Hi") + rest).strip() == chunk("Hi").strip()
    assert isinstance(converter.failure, UpstreamStreamCut)


def test_last_event_without_its_end_is_passed():
    data = chunk("Hi") + chunk(finish="stop") + b"data: [DONE]"
    converter = chat()
    assert run(converter, data) == data + b"\n\n"
    assert converter.done


def test_failure_in_the_last_event_is_noticed():
    converter = chat()
    assert run(converter, chunk("Hi") + b'data: {"error":{"message":"No."}}') == chunk("Hi")
    assert isinstance(converter.failure, UpstreamBroken)


def test_missing_end_mark_is_added_for_openai():
    converter = chat()
    data = chunk("Hi") + chunk(finish="odd")
    assert run(converter, data) == data + DONE
    assert converter.done


def test_missing_end_mark_is_added_for_anthropic():
    data = recordings.read("anthropic-tools.sse")
    end = data.index(b"event: message_stop")
    converter = messages()
    assert run(converter, data[:end]).endswith(
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    assert converter.done


def test_client_that_leaves_half_way_has_an_estimate():
    converter = chat()
    converter.feed(chunk("a") + chunk("b") + chunk("c"))
    converter.feed(chunk("d"))
    # 105 bytes of request make 26 tokens, four frames make four
    assert converter.usage == Usage(
        prompt_tokens=len(converter.request) // 4, completion_tokens=4, estimated=True
    )


def test_anthropic_client_that_leaves_half_way_has_the_prompt_as_told():
    data = recordings.read("anthropic-thinking.sse")
    converter = messages()
    converter.feed(data[: len(data) // 2])
    whole = messages()
    whole.feed(data)
    assert converter.usage.estimated
    assert converter.usage.prompt_tokens == whole.usage.prompt_tokens
    assert converter.usage.completion_tokens > 10


def test_usage_is_unknown_before_the_answer_begins():
    assert chat().usage == Usage()


def test_all_figures_of_anthropic_are_read():
    start = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    end = {
        "output_tokens": 7,
        "input_tokens": None,
        "output_tokens_details": {"thinking_tokens": 3},
        "cost": 0.0015,
    }
    data = (
        frame({"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": start}}, "message_start")
        + frame({"type": "message_delta", "delta": {"stop_reason": "new_reason"}, "usage": end}, "message_delta")
        + frame({"type": "message_stop"}, "message_stop")
    )  # fmt: skip
    converter = messages()
    assert run(converter, data) == data
    assert converter.usage == Usage(
        prompt_tokens=100,  # 10 uncached + 30 written + 60 read
        completion_tokens=7,
        cache_read_tokens=60,
        cache_write_tokens=30,
        cache_write_1h_tokens=20,
        reasoning_tokens=3,
        cost_usd=Decimal("0.0015"),
    )
    assert converter.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("cost", ["much", None, -1, "1e-999999", "NaN"])
def test_what_is_no_cost_of_anthropic_is_none(cost):
    data = frame(
        {"type": "message_delta", "delta": None, "usage": {"output_tokens": 7, "cost": cost}},
        "message_delta",
    )
    converter = messages()
    run(converter, frame({"type": "message_start", "message": None}) + data)
    assert converter.usage == Usage(completion_tokens=7)  # fmt: skip


DEEP = b"[" * 1010 + b"]" * 1010


@pytest.mark.parametrize(
    ("beside", "cost", "told"),
    [
        (b"1", b"0.00000000000000012345", Decimal("0.00000000000000012345")),
        (DEEP, b"1", None),  # it cannot be told digit by digit
        (b"1", b"-1", None),
    ],
)
def test_a_message_that_begins_is_read_with_its_cost_whatever_it_holds(beside, cost, told):
    begun = (
        b'event: message_start\ndata: {"type":"message_start","message":'
        b'{"id":"msg_1","model":"m","x":%b,"usage":{"input_tokens":3,"output_tokens":4,"cost":%b}}}\n\n'
    ) % (beside, cost)
    converter = messages()
    assert converter.feed(begun) == begun
    assert converter.failure is None
    assert converter.upstream_id == "msg_1"
    assert converter._watcher.usage == Usage(prompt_tokens=3, completion_tokens=4, cost_usd=told)


def test_a_figure_of_anthropic_beyond_all_counts_is_none():
    converter = messages()
    usage = {"input_tokens": 2**64 - 1, "cache_read_input_tokens": 2**53, "output_tokens": 4}
    converter.feed(frame({"type": "message_delta", "delta": {}, "usage": usage}, "message_delta"))
    assert converter.usage == Usage(completion_tokens=4)


@pytest.mark.parametrize(
    ("dialect", "members", "parameters"),
    [
        (Dialect.OPENAI_CHAT, b'"messages":[],"n":2', None),
        (Dialect.OPENAI_CHAT, b'"messages":[]', {"n": 2}),  # the deployment asks for more
        (Dialect.OPENAI_COMPLETIONS, b'"prompt":["one","two"]', None),
    ],
)
def test_an_end_is_seen_among_chunks_of_several_choices(dialect, members, parameters):
    call = read_call(dialect, b'{"model":"alias","stream":true,%b}' % members)
    converter = Passthrough(call, upstream_model="m", parameters=parameters)
    word, end = ({"text": " word", "finish_reason": reason} for reason in (None, "stop"))
    first, both, ended, last = (
        frame({"id": "g", "choices": choices})
        for choices in (
            [{"index": 0, **word}],
            [{"index": 0, **word}, {"index": 1, **word}],
            [{"index": 0, **end}],
            [{"index": 1, **word}],
        )
    )
    converter.feed(first)
    converter.feed(both + ended + last)
    assert converter.finish_reason is FinishReason.STOP
    assert converter.finish() == b"data: [DONE]\n\n"


# Whole answers


def test_whole_openai_answer_passes_untouched():
    body = b' {"id":"gen-1","model":"m","provider":"Acme","choices":[{"message":{"content":"Hi"},"finish_reason":"length"}],"usage":{"prompt_tokens":12,"completion_tokens":5}} '
    converter = chat()
    assert converter.read_answer(body) is body
    assert converter.usage == Usage(prompt_tokens=12, completion_tokens=5)
    assert converter.finish_reason is FinishReason.LENGTH
    assert converter.upstream_id == "gen-1"


def test_whole_openai_answer_without_usage_is_estimated():
    converter = chat()
    converter.read_answer(b'{"choices":[{"message":{"content":"Hi"}}]}')
    assert converter.usage.estimated
    assert converter.usage.completion_tokens


def test_whole_anthropic_answer_passes_untouched():
    body = b'{"id":"msg_1","type":"message","model":"m","content":[],"stop_reason":"pause_turn","usage":{"input_tokens":12,"output_tokens":5,"cost":0.10}}'
    converter = messages()
    assert converter.read_answer(body) is body
    assert converter.usage == Usage(prompt_tokens=12, completion_tokens=5, cost_usd=Decimal("0.10"))
    assert converter.finish_reason is FinishReason.PAUSE


@pytest.mark.parametrize(
    ("make", "body", "kind"),
    [
        (chat, b"<html></html>", UpstreamInvalid),
        (chat, b"[]", UpstreamInvalid),
        (chat, b"{}", UpstreamInvalid),
        (chat, b'{"error":{"code":429,"message":"x"}}', UpstreamRateLimited),
        (chat, b'{"choices":[{"finish_reason":"error"}]}', UpstreamBroken),
        (messages, b"<html></html>", UpstreamInvalid),
        (messages, b"{}", UpstreamInvalid),
        (messages, b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', UpstreamOverloaded),
        (messages, b'{"error":{"code":429,"message":"x"}}', UpstreamRateLimited),
    ],
)  # fmt: skip
def test_whole_answer_that_is_none_is_an_error(make, body, kind):
    with pytest.raises(kind) as raised:
        make().read_answer(body)
    assert isinstance(raised.value, GatewayError)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([chat, messages]),
    st.lists(
        st.sampled_from(
            [
                chunk("Hi"), chunk(finish="stop"), USAGE, DONE, b": x\n\n", b"\r\n", b"\n", b"data: {\n\n", b"data: 1",
                frame({"type": "message_start", "message": {"usage": {"input_tokens": 1.5}}}, "message_start"),
                frame({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": []}, "message_delta"),
                frame({"type": "message_delta", "usage": {"output_tokens": True, "cost": []}}, "message_delta"),
                frame({"type": "content_block_start"}, "content_block_start"),
                frame({"type": "message_stop"}, "message_stop"), frame({"error": [1]}), frame({"error": ""}),
            ]
        )
        | st.binary(max_size=4),
        max_size=12,
    ),
)  # fmt: skip
def test_any_stream_passes_or_fails_without_an_exception(make, pieces):
    converter = make()
    run(converter, *pieces)
    assert converter.done != (converter.failure is not None)
    assert isinstance(converter.usage, Usage)


def embeddings(**fields):
    raw = orjson.dumps({"model": "alias", "input": ["one", "two"], **fields})
    return Passthrough(read_call(Dialect.OPENAI_EMBEDDINGS, raw), upstream_model="embed-1")


def test_embeddings_pass_with_their_usage():
    converter = embeddings(encoding_format="base64", stream=True)
    body = orjson.dumps(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": "AAAA"}],
            "model": "embed-1-large",
            "usage": {"prompt_tokens": 4, "total_tokens": 4},
        }
    )

    assert orjson.loads(converter.request)["encoding_format"] == "base64"
    assert converter.read_answer(body) == body
    assert (converter.usage.prompt_tokens, converter.usage.completion_tokens) == (4, 0)
    assert not converter.usage.estimated
    assert converter.answered_model == "embed-1-large"
    assert converter.finish_reason is FinishReason.STOP


def test_embeddings_without_usage_cost_what_nobody_knows():
    converter = embeddings()
    converter.read_answer(b'{"data": []}')

    assert converter.usage == Usage()


def test_an_answer_without_embeddings_is_none():
    with pytest.raises(UpstreamInvalid):
        embeddings().read_answer(b'{"choices": []}')


def test_a_recorded_stream_of_completions_passes_untouched():
    raw = orjson.dumps({"model": "alias", "prompt": "Hello", "stream": True})
    converter = Passthrough(read_call(Dialect.OPENAI_COMPLETIONS, raw), upstream_model="base")
    stream = recordings.read("openai-completion.chunks.txt")
    passed = b"".join(converter.feed(stream[at : at + 97]) for at in range(0, len(stream), 97))

    assert passed + converter.finish() == stream
    assert converter.content_started
    assert converter.finish_reason is not None
    assert converter.usage.completion_tokens

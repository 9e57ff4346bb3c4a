"""Answers, edited: whole ones, and streams cut anywhere."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.editing.answers import EditedAnswer
from conversion.editing.edits import BodyEdit, Edit, in_turn, text_edits
from conversion.editing.windows import WINDOW_CHARS
from conversion.errors import (
    TransformationFailed,
    UpstreamInvalid,
    UpstreamOverloaded,
    UpstreamStreamCut,
)
from conversion.pairs import make_converter
from conversion.passthrough import Passthrough
from conversion.sse import END_MARK, Frames, split_frames, write_anthropic_event, write_openai_chunk
from conversion.traits import ChatTraits, MessagesTraits
from tests.conversion import recordings
from tests.conversion.editing.patterns import dropping, replacing, setting

MESSAGES = Dialect.ANTHROPIC_MESSAGES
CHAT = Dialect.OPENAI_CHAT
COMPLETIONS = Dialect.OPENAI_COMPLETIONS
KEY = replacing("sk-[a-z]{3,9}", "[key]")
ASKS = {
    MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    COMPLETIONS: {"model": "m", "prompt": "p"},
    Dialect.OPENAI_EMBEDDINGS: {"model": "m", "input": "i"},
}
DONE = END_MARK[CHAT]


def make(dialect: Dialect, *edits: Edit, window_chars: int = WINDOW_CHARS) -> EditedAnswer:
    ask = {**ASKS[dialect], "stream": True, "stream_options": {"include_usage": True}}
    inner = Passthrough(read_call(dialect, orjson.dumps(ask)), upstream_model="m")
    return EditedAnswer(inner, dialect, edits, window_chars=window_chars)


def run(converter: EditedAnswer, stream: bytes, cuts: list[int] | None = None) -> bytes:
    places = sorted({0, *(cut % (len(stream) + 1) for cut in cuts or ()), len(stream)})
    out = [converter.feed(stream[a:b]) for a, b in pairwise(places)]
    return b"".join([*out, converter.finish()])


def event(kind: str, **members: Any) -> bytes:
    return write_anthropic_event(kind, {"type": kind, **members})


def delta(index: int, text: str) -> bytes:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


def block(index: int, text: str = "") -> bytes:
    return event("content_block_start", index=index, content_block={"type": "text", "text": text})


START = event("message_start", message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 3}})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}) + event(
    "message_stop"
)


def chunk(index: int = 0, finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return write_openai_chunk({"id": "gen-1", "model": "m", "choices": [choice]})


def values(stream: bytes) -> list[Any]:
    return [
        orjson.loads(data) if data.strip() != b"[DONE]" else "[DONE]"
        for _event, data in Frames().read(stream)
    ]


def heard(dialect: Dialect, stream: bytes) -> tuple[dict[int, str], list[Any]]:
    """The text of each block or choice, and everything else in order, without what only holds text."""
    texts: dict[int, str] = defaultdict(str)
    others: list[Any] = []
    for value in values(stream):
        if dialect is MESSAGES:
            held = value.get("delta") or value.get("content_block") or {}
            if held.get("type") in ("text_delta", "text"):
                texts[value["index"]] += held.pop("text")
            if held.get("type") == "text_delta":
                continue
        elif isinstance(value, dict):
            for choice in value.get("choices") or ():
                holder = choice["delta"] if dialect is CHAT else choice
                texts[choice["index"]] += (
                    holder.pop("content" if dialect is CHAT else "text", "") or ""
                )
                holder.pop("role", None)
                choice.pop("logprobs", None)
            if all(not any(c.get("delta", {}).values()) and not c["finish_reason"] for c in value.get("choices") or ()) and not value.get("usage"):  # fmt: skip
                continue
        others.append(value)
    return texts, others


PIECES = st.lists(
    st.tuples(st.integers(0, 2), st.text(alphabet="sk-abé🙂 ", max_size=9)), max_size=25
)
CUTS = st.lists(st.integers(0, 10_000), max_size=30)
RULES = [KEY, replacing("k-", "K"), replacing("[é🙂]{1,3}", "")]


def edited(pieces: list[tuple[int, str]]) -> dict[int, str]:
    texts: dict[int, str] = defaultdict(str)
    for index, piece in pieces:
        texts[index] += piece
    return {index: said for index, text in texts.items() if (said := in_turn(RULES, text))}


@settings(deadline=None)
@given(PIECES, CUTS)
def test_messages_however_cut_hold_the_edited_texts_and_all_else_in_order(pieces, cuts):
    indexes = sorted({index for index, _ in pieces})
    stream = START + b"".join(map(block, indexes)) + event("ping")
    stream += b"".join(delta(index, piece) for index, piece in pieces)
    stream += b"".join(event("content_block_stop", index=index) for index in indexes) + END
    converter = make(MESSAGES, *RULES, window_chars=20)
    texts, others = heard(MESSAGES, run(converter, stream, cuts))

    assert {index: text for index, text in texts.items() if text} == edited(pieces)
    assert others == heard(MESSAGES, stream)[1]
    assert converter.failure is None
    assert converter.done
    assert converter.usage.completion_tokens == 2


@settings(deadline=None)
@pytest.mark.parametrize("dialect", [CHAT, COMPLETIONS])
@given(PIECES, CUTS, st.booleans())
def test_chunks_however_cut_hold_the_edited_texts_and_all_else_in_order(
    dialect, pieces, cuts, has_reason
):
    def one(index: int, text: str, finish: str | None = None) -> bytes:
        holder: dict[str, Any] = {"delta": {"content": text}} if dialect is CHAT else {"text": text}
        choice = {"index": index, **holder, "finish_reason": finish}
        return write_openai_chunk({"id": "gen-1", "model": "m", "choices": [choice]})

    stream = b": comment\n\n" + b"".join(one(index, piece) for index, piece in pieces)
    if has_reason:
        stream += b"".join(one(index, "", "stop") for index in range(3))
    stream += write_openai_chunk({"id": "gen-1", "choices": [], "usage": {"prompt_tokens": 1}}) + DONE  # fmt: skip
    converter = make(dialect, *RULES, window_chars=20)
    texts, others = heard(dialect, run(converter, stream, cuts))

    assert {index: text for index, text in texts.items() if text} == edited(pieces)
    assert others == heard(dialect, stream)[1]
    assert converter.done


@pytest.mark.parametrize("name", [*recordings.CHAT, *recordings.MESSAGES])
@pytest.mark.parametrize("size", [1, 1000, 10**9])
def test_a_recorded_stream_that_no_edit_touches_says_the_same(name, size):
    dialect = CHAT if name in recordings.CHAT else MESSAGES
    stream = recordings.read(name)
    cuts = list(range(0, len(stream), size))
    plain, converter = make(dialect), make(dialect, replacing("ABSENT"))
    expected, got = run(plain, stream, cuts), run(converter, stream, cuts)

    assert heard(dialect, got) == heard(dialect, expected)
    assert type(converter.failure) is type(plain.failure)
    assert converter.usage == plain.usage


@pytest.mark.parametrize(
    ("client", "upstream", "traits", "names"),
    [
        (MESSAGES, CHAT, ChatTraits(model="m"), recordings.CHAT),
        (CHAT, MESSAGES, MessagesTraits(model="m"), recordings.MESSAGES),
        (COMPLETIONS, CHAT, ChatTraits(model="m"), recordings.CHAT),
    ],
)
def test_translated_streams_are_edited_in_the_clients_dialect(client, upstream, traits, names):
    def convert(name, *edits):
        call = read_call(client, orjson.dumps({**ASKS[client], "stream": True}))
        inner = make_converter(call, upstream, traits, answer_id="1", created_s=1)
        stream = recordings.read(name)
        return heard(client, run(EditedAnswer(inner, client, edits), stream, [*range(0, 9999, 99)]))

    edit, changed = replacing("[aeiou]+", "*"), 0
    for name in names:
        plain, edited = convert(name), convert(name, edit)
        assert edited[0] == {index: edit(text) for index, text in plain[0].items()}
        assert edited[1] == plain[1]
        changed += edited != plain
    assert changed > 2


def test_a_stream_without_text_edits_passes_byte_for_byte():
    stream = recordings.read(recordings.MESSAGES[0])

    assert run(make(MESSAGES, setting("model", "x")), stream) == stream
    assert make(MESSAGES).release() == b""


def test_what_is_held_comes_before_the_end_of_its_block():
    stream = START + block(0, "ask sk-") + delta(0, "abc") + delta(0, "")
    stream += event("content_block_stop", index=0) + END
    said = values(run(make(MESSAGES, KEY), stream))

    assert [value["type"] for value in said] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert said[1]["content_block"] == {"type": "text", "text": ""}
    assert said[2]["delta"] == {"type": "text_delta", "text": ""}
    assert said[3]["delta"] == {"type": "text_delta", "text": "ask [key]"}


def test_a_block_that_nobody_stopped_is_told_before_the_end_of_the_message():
    said = values(run(make(MESSAGES, KEY), START + block(0) + delta(0, "sk-abc") + END))

    assert [value["type"] for value in said[2:]] == [
        "content_block_delta", "message_delta", "message_stop",
    ]  # fmt: skip
    assert said[2]["delta"]["text"] == "[key]"


def test_thinking_tool_input_and_citations_pass_byte_for_byte():
    kinds = [
        {"type": "thinking_delta", "thinking": "sk-abc"},
        {"type": "input_json_delta", "partial_json": "sk-abc"},
        {"type": "signature_delta", "signature": "sk-abc"},
        {"type": "citations_delta", "citation": {"cited_text": "sk-abc"}},
        {"type": "text_delta", "text": None},
        None,
    ]
    stream = START + b"".join(event("content_block_delta", index="0", delta=kind) for kind in kinds)
    stream += event("content_block_start", index=1, content_block={"type": "tool_use", "name": "sk-abc"})  # fmt: skip
    stream += event("sk-abc") + b"data: sk-abc\n\n" + b'data: ["sk-abc"]\n\n'

    assert make(MESSAGES, KEY).feed(stream) == stream


def test_a_stream_that_fails_gives_out_what_was_held():
    half = START + block(0) + delta(0, "to sk-abc")
    overloaded = event("error", error={"type": "overloaded_error", "message": "busy"})
    for end, failure in ((overloaded, UpstreamOverloaded), (b"", UpstreamStreamCut)):
        converter = make(MESSAGES, KEY)
        said = values(run(converter, half + end))

        assert isinstance(converter.failure, failure)
        assert said[-1]["delta"]["text"] == "to [key]"
        assert converter.release() == b""


def test_a_stream_that_breaks_off_outside_gives_out_what_was_held_on_request():
    converter = make(CHAT, KEY)
    assert converter.feed(chunk(content="") + chunk(content="to sk-")) == chunk(content="")
    assert converter.started
    assert not converter.content_started
    said = values(converter.release())

    assert converter.content_started
    choice = {"index": 0, "delta": {"content": "to sk-"}, "logprobs": None, "finish_reason": None}
    assert said == [{"id": "gen-1", "model": "m", "choices": [choice]}]


def test_the_rest_of_a_choice_comes_before_its_finish_reason():
    stream = chunk(role="assistant", content="sk-ab") + chunk(content="c.") + chunk(finish="stop")
    said = values(run(make(CHAT, KEY), stream + DONE))

    assert [value["choices"][0]["delta"] for value in said[:-1]] == [
        {"role": "assistant", "content": ""},
        {"content": "[key]."},
        {},
    ]
    assert said[-1] == "[DONE]"


def test_text_in_the_chunk_with_the_finish_reason_stays_there():
    stream = chunk(content="sk-") + chunk(content="abc", finish="stop") + DONE
    said = values(run(make(CHAT, KEY), stream))

    assert said[1]["choices"][0] == {"index": 0, "delta": {"content": "[key]"}, "finish_reason": "stop"}  # fmt: skip


def test_the_rest_of_a_choice_comes_before_its_tool_calls():
    calls = [{"index": 0, "id": "t", "function": {"name": "n", "arguments": "sk-abc"}}]
    stream = chunk(content="to sk-abc") + chunk(tool_calls=calls, content=None) + chunk(finish="tool_calls")  # fmt: skip
    said = values(run(make(CHAT, KEY), stream + DONE))

    assert [value["choices"][0]["delta"] for value in said[:-1]] == [
        {"content": ""},
        {"content": "to [key]"},
        {"tool_calls": calls, "content": None},
        {},
    ]


def test_a_chunk_whose_text_is_held_stays_for_the_sake_of_all_else_in_it():
    first = chunk(content="a")
    thought = chunk(content="b", reasoning="sk-abc")
    usage = {"choices": [{"index": 0, "delta": {"content": "c"}}], "usage": {"prompt_tokens": 1}}
    said = values(make(CHAT, KEY).feed(first + thought + write_openai_chunk(usage)))

    assert said[1]["choices"][0]["delta"] == {"content": "", "reasoning": "sk-abc"}
    assert said[2] == {"choices": [], "usage": {"prompt_tokens": 1}}


def test_text_in_parts_is_edited_part_by_part():
    parts = [{"type": "text", "text": "sk-"}, {"type": "reference", "reference_ids": [1]}, "odd"]
    more = [{"type": "text", "text": "abc"}]
    stream = chunk(content=parts) + chunk(content=more, finish="stop") + DONE
    said = values(run(make(CHAT, KEY), stream))

    assert said[0]["choices"][0]["delta"]["content"] == [{"type": "text", "text": ""}, *parts[1:]]
    assert said[1]["choices"][0]["delta"]["content"] == [
        {"type": "text", "text": ""},
        {"type": "text", "text": "[key]"},
    ]


def test_log_probabilities_do_not_tell_what_the_text_does_not():
    choice = {"index": 0, "delta": {"content": "sk-abc"}, "logprobs": {"content": [{"token": "sk-"}]}}  # fmt: skip
    said = make(CHAT, KEY).feed(write_openai_chunk({"id": "gen-1", "choices": [choice]}))

    assert b"token" not in said


def test_what_is_no_chunk_passes_byte_for_byte():
    stream = b": comment\n\ndata: {\n\ndata: []\n\n"
    stream += b"".join(
        write_openai_chunk(odd)
        for odd in (
            {"id": "gen-1", "choices": []},
            {"choices": None},
            {"choices": ["odd", {"delta": 3}, {"index": "x", "delta": {"content": 5}}]},
        )
    )
    events = make(CHAT, KEY)._events

    assert [events.edit(frame) for frame in split_frames(stream)] == split_frames(stream)


def test_an_error_in_a_chunk_comes_after_the_text():
    converter = make(CHAT, KEY)
    error = write_openai_chunk({"error": {"message": "busy", "code": 503}})
    said = values(converter._events.edit(chunk(content="sk-ab")) + converter._events.edit(error))

    assert [value.get("choices", [{}])[0].get("delta") for value in said] == [
        {"content": ""}, {"content": "sk-ab"}, None,
    ]  # fmt: skip


WHOLE = {
    MESSAGES: {
        "id": "msg_1",
        "type": "message",
        "content": [{"type": "text", "text": "my sk-abc"}],
        "stop_reason": "end_turn",
    },
    CHAT: {
        "id": "gen-1",
        "choices": [{"index": 0, "message": {"content": "my sk-abc"}, "finish_reason": "stop"}],
    },
    COMPLETIONS: {
        "id": "gen-1",
        "choices": [{"index": 0, "text": "my sk-abc", "finish_reason": "stop"}],
    },
    Dialect.OPENAI_EMBEDDINGS: {"data": [{"embedding": [1.5], "text": "my sk-abc"}]},
}


@pytest.mark.parametrize("dialect", WHOLE)
def test_a_whole_answer_is_edited(dialect):
    body = orjson.dumps(WHOLE[dialect])
    texts, both = make(dialect, KEY), make(dialect, setting("seen", {"a": 1}), KEY)

    if dialect is Dialect.OPENAI_EMBEDDINGS:
        assert texts.read_answer(body) is body
    else:
        assert texts.read_answer(body) == body.replace(b"sk-abc", b"[key]")
    assert orjson.loads(both.read_answer(body))["seen"] == {"a": 1}
    assert make(dialect, replacing("ABSENT")).read_answer(body) is body
    assert texts.request == orjson.dumps(orjson.loads(texts.request))
    assert text_edits(both._edits) == (KEY,)


def test_an_edit_that_breaks_an_answer_is_the_operators_mistake():
    body = orjson.dumps(WHOLE[CHAT])
    for edit in (BodyEdit("odd", lambda _body: []), setting("odd", object())):
        with pytest.raises(TransformationFailed, match="odd"):
            make(CHAT, edit).read_answer(body)
    assert b"choices" not in make(CHAT, dropping("choices")).read_answer(body)


def test_an_answer_that_is_too_deep_is_the_upstreams():
    def dig(_body):
        raise RecursionError

    with pytest.raises(UpstreamInvalid):
        make(CHAT, BodyEdit("deep", dig)).read_answer(orjson.dumps(WHOLE[CHAT]))

"""What a model said is read out of answers of both dialects, whole, streamed, cut and broken."""

import orjson
import pytest

from llmgateway.answer_reading import EventReader, ReadAnswer, Said, read_answer


def body(**fields) -> str:
    return orjson.dumps(fields).decode()


def events(*told: dict) -> str:
    return "".join(
        f"event: {each.get('type', '')}\ndata: {orjson.dumps(each).decode()}\n\n" for each in told
    )


TOOL = {"type": "tool_use", "id": "t", "name": "look", "input": {"at": 1}}
CALL = {"id": "c", "function": {"name": "look", "arguments": '{"at":1}'}}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            body(content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}, TOOL],
                 stop_reason="tool_use"),
            ReadAnswer("Hi", "hm", ['look({"at":1})'], "tool_use"),
        ),
        (
            body(choices=[{"message": {"content": "Hi", "reasoning": "hm", "tool_calls": [CALL]},
                           "finish_reason": "stop"}]),
            ReadAnswer("Hi", "hm", ['look({"at":1})'], "stop"),
        ),
        (body(choices=[{"text": "Hi", "finish_reason": "length"}]), ReadAnswer("Hi", finish="length")),
        (body(data=[{"embedding": [0.1]}, {"embedding": [0.2]}]), ReadAnswer("2 embeddings")),
        (body(error={"message": "no"}), ReadAnswer(error="no")),
        (body(error="no"), ReadAnswer(error="no")),
        (body(error={"code": 1}), ReadAnswer(error="The answer is an error.")),
        (body(content=None, choices=7, data={}), ReadAnswer()),
        ("[1]", ReadAnswer()),
        ("", ReadAnswer()),
        ("no answer at all", ReadAnswer()),
    ],
    ids=["messages", "chat", "completions", "embeddings", "error", "error-text", "error-bare", "odd", "list", "empty",
         "text"],
)  # fmt: skip
def test_whole_answers_are_read(told, expected):
    assert read_answer(told) == expected
    assert read_answer(told).is_empty == (expected == ReadAnswer())


def test_a_stream_of_messages_is_put_together():
    told = events(
        {"type": "message_start", "message": {"id": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi "}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "there"}},
        {"type": "content_block_start", "index": 2, "content_block": TOOL | {"input": {}}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"at"'}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ":1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
    )  # fmt: skip

    assert read_answer(told) == ReadAnswer("Hi there", "hm", ['look({"at":1})'], "tool_use")


def test_a_stream_of_chat_chunks_is_put_together():
    chunks = [
        {"choices": [{"delta": {"role": "assistant", "content": "Hi "}}]},
        {"choices": [{"delta": {"content": "there", "reasoning": "hm"}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": '{"at"'}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {}},
    ]  # fmt: skip
    told = (
        "".join(f"data: {orjson.dumps(chunk).decode()}\n\n" for chunk in chunks)
        + "data: [DONE]\n\n"
    )

    assert read_answer(told) == ReadAnswer("Hi there", "hm", ['look({"at":1})'], "stop")


def test_what_came_before_an_error_or_a_cut_is_told():
    begun = events(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    )

    assert read_answer(
        begun + events({"type": "error", "error": {"message": "overloaded"}})
    ) == ReadAnswer("Hi", error="overloaded")
    assert read_answer(begun + begun[: len(begun) // 2]).text == "Hi"


# As it comes.


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_is_told_as_it_comes_however_it_is_cut(size):
    told = events(
        {"type": "content_block_delta", "index": 0, "delta": {"thinking": "hm"}},
        {"type": "content_block_delta", "index": 1, "delta": {"text": "Hi"}},
        {"type": "content_block_start", "index": 2, "content_block": TOOL},
        {"type": "content_block_delta", "index": 2, "delta": {"partial_json": '{"at":'}},
        {"type": "content_block_delta", "index": 2, "delta": {"partial_json": "1}"}},
        {"type": "content_block_start", "index": 3, "content_block": {**TOOL, "name": "go"}},
    ).encode()
    reader = EventReader()
    said = [each for at in range(0, len(told), size) for each in reader.feed(told[at : at + size])]

    assert [(each.kind, each.text, each.call) for each in said if each.text] == [
        ("thinking", "hm", 0),
        ("text", "Hi", 0),
        ("call", "look", 0),
        ("call", '{"at":', 0),
        ("call", "1}", 0),
        ("call", "go", 1),
    ]


def test_what_is_no_stream_says_nothing_as_it_comes():
    reader = EventReader()

    assert reader.feed(body(content=[{"type": "text", "text": "Hi"}]).encode()) == []
    assert reader.feed(b"x" * 40_000_000) == []
    assert EventReader().feed(b"data: [DONE]\n\ndata: 7\n\n") == []


def test_pieces_of_chunks_are_told_in_order():
    chunk = {"choices": [{"delta": {"content": "there", "reasoning": "hm"}}]}

    assert EventReader().feed(events(chunk).encode()) == [Said("thinking", "hm"), Said("text", "there")]  # fmt: skip

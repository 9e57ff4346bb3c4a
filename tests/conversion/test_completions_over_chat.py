"""Old completions clients at upstreams that only converse."""

import orjson
import pytest
from openai._models import construct_type
from openai.types import Completion

from conversion.call import read_call
from conversion.completions_over_chat import CompletionsOverChat
from conversion.dialects import Dialect
from conversion.errors import RequestInexpressible, RequestInvalid, UpstreamInvalid
from conversion.pairs import make_converter
from conversion.traits import ChatTraits

ASK = {"model": "alias", "prompt": "Once upon", "max_tokens": 9}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def make(**fields) -> CompletionsOverChat:
    call = read_call(Dialect.OPENAI_COMPLETIONS, orjson.dumps({**ASK, **fields}))
    made = make_converter(
        call, Dialect.OPENAI_CHAT, ChatTraits(model="acme/large"), answer_id="01", created_s=1
    )
    assert isinstance(made, CompletionsOverChat)
    return made


def chunk(delta=None, finish=None, **more) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    value = {"id": "gen-1", "created": 5, "model": "acme/large", "choices": [choice], **more}
    return b"data: " + orjson.dumps(value) + b"\n\n"


def read(stream: bytes) -> list[Completion]:
    frames = [frame.removeprefix(b"data: ") for frame in stream.split(b"\n\n") if frame]
    assert frames[-1] == b"[DONE]"
    return [construct_type(type_=Completion, value=orjson.loads(frame)) for frame in frames[:-1]]


@pytest.mark.parametrize("prompt", ["Once upon", ["Once upon"]])
def test_the_prompt_is_one_user_turn(prompt):
    body = orjson.loads(make(prompt=prompt, temperature=0, echo=False, n=1, suffix=None).request)

    assert body == {
        "model": "acme/large",
        "messages": [{"role": "user", "content": "Once upon"}],
        "max_tokens": 9,
        "temperature": 0,
    }


def test_a_whole_answer_is_a_text_completion():
    converter = make()
    message = {"role": "assistant", "content": " a time."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {
        "id": "gen-1",
        "created": 5,
        "model": "acme/large",
        "choices": [choice],
        "usage": USAGE,
    }
    completion = Completion.model_validate_json(converter.read_answer(orjson.dumps(answer)))

    assert completion.id == "cmpl-01"
    assert completion.choices[0].text == " a time."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 5
    assert converter.usage.completion_tokens == 2


@pytest.mark.parametrize("asks", [True, False])
def test_a_stream_is_a_stream_of_text_completions(asks):
    converter = make(stream=True, stream_options={"include_usage": asks})
    stream = converter.feed(chunk({"role": "assistant", "content": ""}))
    assert stream == b""
    stream = converter.feed(chunk({"content": " a"}) + chunk({"content": " time."}))
    stream += converter.feed(chunk(finish="stop") + chunk(choices=[], usage=USAGE))
    stream += converter.feed(b"data: [DONE]\n\n") + converter.finish()

    *chunks, last = read(stream)
    if asks:
        assert last.usage.total_tokens == 5
    else:
        chunks.append(last)
    assert "".join(part.choices[0].text for part in chunks) == " a time."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert converter.done
    assert converter.usage.prompt_tokens == 3


def test_the_end_is_written_where_the_upstream_forgot_it():
    converter = make(stream=True)
    stream = converter.feed(chunk({"content": "Hi"}) + chunk(finish="length")) + converter.finish()

    assert read(stream)[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    "junk", [b"data: <html>\n\n", b"data: 5\n\n", b'data: {"choices": [5]}\n\n']
)
def test_junk_in_a_stream_is_a_failure(junk):
    converter = make(stream=True)
    converter.feed(chunk({"content": "Hi"}))
    converter.feed(junk)

    assert isinstance(converter.failure, UpstreamInvalid)


DEEP = b"[" * 300 + b"]" * 300  # more than can be written again


@pytest.mark.parametrize(
    "answer",
    [
        b'{"choices":[{"message":"text"}]}',
        b'{"choices":[{"message":{"content":"text"}},7]}',
        b'{"choices":[{"message":{"content":%b}}]}' % DEEP,
        b'{"choices":[{"message":{"content":"text"}}],"usage":{"odd":%b}}' % DEEP,
    ],
)
def test_an_answer_that_is_no_completion_is_the_upstreams_failure(answer):
    with pytest.raises(UpstreamInvalid):
        make().read_answer(answer)


def test_a_chunk_too_deep_to_be_written_again_is_a_failure():
    converter = make(stream=True)
    first, deep = chunk({"content": "Hi"}), chunk({"content": "DEEP"})
    assert converter.feed(first)
    assert converter.feed(deep.replace(b'"DEEP"', DEEP)) == b""
    assert isinstance(converter.failure, UpstreamInvalid)


@pytest.mark.parametrize(
    "fields",
    [
        {"echo": True},
        {"suffix": "end"},
        {"best_of": 2},
        {"n": 2},
        {"logprobs": 3},
        {"prompt": ["one", "two"]},
        {"prompt": [1, 2, 3]},
        {"prompt": [[1, 2, 3]]},
    ],
)
def test_what_a_conversation_cannot_do_is_refused(fields):
    with pytest.raises(RequestInexpressible) as refused:
        make(**fields)
    assert refused.value.path in fields


def test_a_prompt_is_needed():
    with pytest.raises(RequestInvalid, match="prompt"):
        read_call(Dialect.OPENAI_COMPLETIONS, b'{"model": "alias"}')


def test_an_upstream_of_completions_gets_the_bytes():
    call = read_call(Dialect.OPENAI_COMPLETIONS, orjson.dumps({**ASK, "echo": True}))
    converter = make_converter(
        call, Dialect.OPENAI_COMPLETIONS, ChatTraits(model="base"), answer_id="1", created_s=1
    )

    assert orjson.loads(converter.request) == {**ASK, "model": "base", "echo": True}
    converter.feed(b'data: {"id": "c", "choices": [{"text": "Hi", "finish_reason": null}]}\n\n')
    assert converter.content_started

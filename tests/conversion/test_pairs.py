import orjson
import pytest

from conversion.anthropic_over_openai.converter import AnthropicOverOpenAI
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import RequestInexpressible
from conversion.openai_over_anthropic.converter import OpenAIOverAnthropic
from conversion.pairs import make_converter
from conversion.passthrough import Passthrough
from conversion.traits import ChatTraits, MessagesTraits

BODY = {
    "model": "alias",
    "max_tokens": 9,
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
}


def make(client: Dialect, upstream: Dialect, **traits):
    call = read_call(client, orjson.dumps(BODY))
    return make_converter(
        call, upstream, ChatTraits(model="acme/large", **traits), answer_id="1", created_s=1
    )


def test_messages_clients_speak_to_chat_upstreams():
    assert isinstance(make(Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT), AnthropicOverOpenAI)


def test_chat_clients_speak_to_messages_upstreams():
    call = read_call(Dialect.OPENAI_CHAT, orjson.dumps(BODY))
    traits = MessagesTraits(model="claude-model")
    converter = make_converter(call, Dialect.ANTHROPIC_MESSAGES, traits, answer_id="1", created_s=1)
    assert isinstance(converter, OpenAIOverAnthropic)


@pytest.mark.parametrize("dialect", [Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT])
def test_same_dialect_passes_through(dialect):
    converter = make(dialect, dialect, parameters={"seed": 7})
    assert isinstance(converter, Passthrough)
    body = orjson.loads(converter.request)
    assert body["model"] == "acme/large"
    assert body["seed"] == 7


@pytest.mark.parametrize("option", [True, False])
def test_usage_is_asked_for_where_the_upstream_needs_it(option):
    converter = make(Dialect.OPENAI_CHAT, Dialect.OPENAI_CHAT, stream_usage_option=option)
    assert (b"include_usage" in converter.request) == option


def test_pair_that_does_not_exist_says_so():
    with pytest.raises(RequestInexpressible) as raised:
        make(Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES)
    assert raised.value.may_fall_back


CHUNK = b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DELTA = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"1","type":"message","role":"assistant",'
    b'"model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
LINE = b'{"model":"m","created_at":"2026-11-21T00:00:00Z","message":{"role":"assistant","content":"Hi"},"done":false}\n'


@pytest.mark.parametrize(
    ("client", "upstream", "piece"),
    [
        (Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT, CHUNK),
        (Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES, DELTA),
        (Dialect.OPENAI_CHAT, Dialect.OPENAI_CHAT, CHUNK),
        (Dialect.ANTHROPIC_MESSAGES, Dialect.OLLAMA_CHAT, LINE),
        (Dialect.OPENAI_COMPLETIONS, Dialect.OPENAI_CHAT, CHUNK),
    ],
)
def test_a_request_that_is_forgotten_changes_nothing_of_the_answer(client, upstream, piece):
    body = {**BODY, "prompt": "hi"} if client is Dialect.OPENAI_COMPLETIONS else BODY
    is_anthropic = upstream is Dialect.ANTHROPIC_MESSAGES
    traits = MessagesTraits(model="m") if is_anthropic else ChatTraits(model="m")
    told = []
    for forgets in (False, True):
        call = read_call(client, orjson.dumps(body))
        converter = make_converter(call, upstream, traits, answer_id="1", created_s=1)
        assert converter.request
        if forgets:
            converter.drop_request()
            assert converter.request == b""
        told.append((converter.feed(piece), converter.usage, converter.finish(), converter.usage))

    assert told[0] == told[1]


def test_only_the_stream_of_a_converter_is_made_for_whoever_asks():
    converter = make(Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT)
    with pytest.raises(AttributeError, match="feet"):
        converter.feet  # noqa: B018
    assert converter.feed(b"") == b""

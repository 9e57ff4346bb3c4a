"""What the fields of the form become in each dialect."""

import orjson
import pytest

from conversion.call import read_call
from conversion.dialects import Dialect
from llmgateway.playground.drafts import Draft, Image, Turn, write_body

TURNS = [Turn("user", "Hi"), Turn("assistant", "Yes?"), Turn("user", "Look")]
LEAST = Draft(model="demo", turns=TURNS[:1], max_tokens=9)
FULL = Draft(
    model="demo",
    turns=TURNS,
    max_tokens=9000,
    stream=True,
    system="Be kind.",
    temperature=0.5,
    effort="medium",
    has_tool=True,
    image=Image("image/png", b"\x89PNG"),
)


def body_of(draft: Draft, dialect: Dialect) -> dict:
    written = write_body(draft, dialect)
    assert read_call(dialect, written.encode()).alias == "demo"
    return orjson.loads(written)


def test_the_least_holds_nothing_that_was_not_entered():
    messages = [{"role": "user", "content": "Hi"}]

    assert body_of(LEAST, Dialect.ANTHROPIC_MESSAGES) == {"model": "demo", "max_tokens": 9, "messages": messages}  # fmt: skip
    assert body_of(LEAST, Dialect.OPENAI_CHAT) == {"model": "demo", "max_completion_tokens": 9, "messages": messages}  # fmt: skip


def test_everything_in_anthropics_dialect():
    body = body_of(FULL, Dialect.ANTHROPIC_MESSAGES)

    assert body["system"] == "Be kind."
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    picture, text = body["messages"][2]["content"]
    assert picture["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    assert text == {"type": "text", "text": "Look"}
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert body["tools"][0]["input_schema"]["required"] == ["place"]
    assert (body["temperature"], body["stream"]) == (0.5, True)


def test_everything_in_openais_dialect():
    body = body_of(FULL, Dialect.OPENAI_CHAT)

    assert body["messages"][0] == {"role": "system", "content": "Be kind."}
    picture, text = body["messages"][3]["content"]
    assert picture["image_url"] == {"url": "data:image/png;base64,iVBORw=="}
    assert text == {"type": "text", "text": "Look"}
    assert body["reasoning_effort"] == "medium"
    assert body["tools"][0]["function"]["name"] == "get_weather"
    assert (body["temperature"], body["stream"]) == (0.5, True)


@pytest.mark.parametrize("dialect", [Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT])
def test_a_picture_may_go_without_words(dialect):
    draft = Draft(model="demo", turns=[Turn("user", "")], max_tokens=9, image=FULL.image)

    (message,) = body_of(draft, dialect)["messages"]
    assert len(message["content"]) == 1


def test_a_picture_without_a_users_message_goes_nowhere():
    draft = Draft(model="demo", turns=[Turn("assistant", "Hm")], max_tokens=9, image=FULL.image)

    (message,) = body_of(draft, Dialect.OPENAI_CHAT)["messages"]
    assert message["content"] == "Hm"

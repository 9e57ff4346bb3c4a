"""Transformations on the way through: what the provider gets, and what the client gets back."""

import pytest

from routing.models import ModelAlias, Provider, Transformation
from tests.fakes.upstream import (
    Answer,
    chat_answer,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
    usage,
)
from tests.llmgateway.conftest import ALIAS
from tests.serving import serving

SECRET = "sk-abcdefghijklmnopqrstuvwx"
ASK = {
    "model": ALIAS,
    "max_tokens": 100,
    "system": f"The key is {SECRET}.",
    "messages": [{"role": "user", "content": [{"type": "text", "text": f"Use {SECRET} now"}]}],
}
MASK = {"pattern": "sk-[A-Za-z0-9]{20,}", "replacement": "[key]"}


async def test_text_is_edited_before_it_leaves(provider, key, upstream, tmp_path):
    await Transformation.objects.acreate(**MASK)
    async with serving(tmp_path / "journal", key=key) as gateway:
        await gateway.messages(ASK)
        await gateway.chat({"model": ALIAS, "messages": [{"role": "user", "content": SECRET}]})

    converted, passed = upstream.requests
    assert converted.json["messages"] == [
        {"role": "system", "content": "The key is [key]."},
        {"role": "user", "content": "Use [key] now"},
    ]
    assert passed.json["messages"][0]["content"] == "[key]"


async def test_bodies_are_edited_by_path(provider, key, upstream, tmp_path):
    await Transformation.objects.acreate(kind="json_set", pattern="$.temperature", value=0.5)
    await Transformation.objects.acreate(kind="json_drop", pattern="$.metadata", position=1)
    async with serving(tmp_path / "journal", key=key) as gateway:
        await gateway.messages({**ASK, "metadata": {"user_id": "u"}})

    assert upstream.requests[0].json["temperature"] == 0.5
    assert "user" not in upstream.requests[0].json


async def test_scopes_choose_whose_requests_are_edited(provider, key, upstream, tmp_path):
    other = await ModelAlias.objects.acreate(name="other")
    await Transformation.objects.acreate(**MASK, scope="route", alias=other)
    async with serving(tmp_path / "journal", key=key) as gateway:
        await gateway.messages(ASK)

    assert SECRET in str(upstream.requests[0].json)


@pytest.mark.parametrize("cut", [1, 3, 50])
async def test_an_answer_is_edited_whole_and_streamed_alike(provider, key, upstream, tmp_path, cut):
    await Transformation.objects.acreate(**MASK, direction="response")
    text = f"It was {SECRET}, and it still is."
    pieces = [text[at : at + cut] for at in range(0, len(text), cut)]
    upstream.answers(json_answer(chat_answer(text)), *[stream_answer(text_stream(*pieces))] * 2)
    async with serving(tmp_path / "journal", key=key) as gateway:
        whole = await gateway.messages(ASK)
        streamed = await gateway.messages({**ASK, "stream": True})
        chat = await gateway.chat(
            {"model": ALIAS, "stream": True, "messages": [{"role": "user", "content": "?"}]}
        )

    assert whole.json()["content"][0]["text"] == "It was [key], and it still is."
    assert (
        texts(streamed.text, "text")
        == texts(chat.text, "content")
        == whole.json()["content"][0]["text"]
    )
    assert SECRET not in streamed.text + chat.text


def texts(stream: str, name: str) -> str:
    """All texts of a stream, whatever its dialect."""
    import re

    return "".join(re.findall(rf'"{name}":"([^"]*)"', stream))


async def test_what_is_held_back_comes_before_the_error(provider, key, upstream, tmp_path):
    await Transformation.objects.acreate(**MASK, direction="response")
    upstream.answers(
        Answer(
            stream_answer([chunk({"content": "Some words and sk-abc"})], done=False).pieces,
            headers={"content-type": "text/event-stream"},
            ending="cut",
        )
    )
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages({**ASK, "stream": True})

    assert texts(answer.text.split("event: error")[0], "text") == "Some words and sk-abc"
    assert "event: error" in answer.text


async def test_a_transformation_that_leaves_no_request_is_ours_to_mend(
    provider, key, upstream, tmp_path
):
    await Transformation.objects.acreate(kind="json_drop", pattern="$.messages", name="too much")
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages(ASK)

    assert answer.status_code >= 500
    assert "too much" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert upstream.requests == []


async def test_usage_is_read_beside_the_edits(provider, key, upstream, tmp_path):
    await Transformation.objects.acreate(**MASK, direction="response")
    upstream.answers(stream_answer([*text_stream("Hi")[:-1], chunk(usage=usage(30, 7))]))
    async with serving(tmp_path / "journal", key=key) as gateway:
        await gateway.messages({**ASK, "stream": True})
        (record,) = await gateway.records(1)

    assert (record.prompt_tokens, record.completion_tokens) == (30, 7)
    assert await Provider.objects.acount() == 1

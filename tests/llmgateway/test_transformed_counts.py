"""Counting a prompt: what is sent to be counted is what would be sent to be answered."""

import pytest

from routing.models import Transformation
from tests.fakes.upstream import json_answer
from tests.serving import serving

SECRET = "sk-abcdefghijklmnopqrstuvwx"
ASK = {
    "model": "claude-sonnet-4-5",
    "messages": [{"role": "user", "content": f"Use {SECRET} now"}],
    "system": "Be brief.",
}


@pytest.fixture
async def count(route, key, upstream, tmp_path):
    async def ask():
        await route("anthropic")
        upstream.answers(json_answer({"input_tokens": 4321}))
        async with serving(tmp_path / "journal", key=key) as running:
            return await running.post("/v1/messages/count_tokens", ASK)

    return ask


async def test_what_is_masked_in_requests_is_masked_in_counts(count, upstream):
    await Transformation.objects.acreate(pattern="sk-[a-z]{20,}", replacement="[key]")
    answer = await count()

    assert answer.json() == {"input_tokens": 4321}
    assert upstream.requests[0].json == {
        **ASK,
        "messages": [{"role": "user", "content": "Use [key] now"}],
    }


async def test_what_is_only_added_is_no_part_of_the_prompt(count, upstream):
    await Transformation.objects.acreate(kind="json_set", pattern="$.temperature", value=0)
    await Transformation.objects.acreate(kind="json_drop", pattern="$.system")
    await count()

    assert upstream.requests[0].json == {"model": ASK["model"], "messages": ASK["messages"]}


async def test_where_a_transformation_fails_nothing_is_sent(count, upstream):
    await Transformation.objects.acreate(kind="json_drop", pattern="$.messages")
    answer = await count()

    assert answer.headers["x-llmgateway-token-count"] == "estimated"
    assert answer.json()["input_tokens"] > 0
    assert upstream.requests == []

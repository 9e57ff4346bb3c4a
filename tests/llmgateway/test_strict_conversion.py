"""The flag strict_conversion: refused instead of sent without a part of it."""

from asgiref.sync import sync_to_async

from routing.models import FeatureFlag
from tests.fakes.upstream import chat_answer, json_answer
from tests.llmgateway.conftest import ALIAS, add_openrouter, route_to
from tests.serving import Serving, serving

LOSSY = {
    "model": ALIAS,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
    "service_tier": "auto",
    "inference_geo": "eu",
}


async def switch_on(**scope):
    await FeatureFlag.objects.acreate(name="strict_conversion", **scope)


async def test_what_would_be_lost_is_refused_by_name(provider, key, upstream, tmp_path):
    await switch_on()
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages(LOSSY)
        records = await gateway.records()

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "service_tier, inference_geo" in error["message"]
    assert "strict_conversion" in error["message"]
    assert upstream.requests == []
    assert records == []


async def test_what_loses_nothing_is_sent(provider, key, upstream, tmp_path):
    await switch_on()
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages({**LOSSY, "service_tier": None, "inference_geo": None})

    assert answer.status_code == 200


async def test_other_teams_are_not_touched_and_told_what_was_lost(
    provider, key, upstream, tmp_path
):
    await switch_on(team="birch")
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages(LOSSY)
        (record,) = await gateway.records(1)

    assert answer.status_code == 200
    assert answer.headers["x-llmgateway-dropped"] == "service_tier, inference_geo"
    assert ["dropped", "inference_geo", "chat completions have no such field"] in record.notes


async def test_a_target_that_takes_all_of_it_is_fallen_back_to(provider, key, upstream, tmp_path):
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    await switch_on(team="alder", key="laptop")

    def add():
        url = upstream.url.removesuffix("/api/v1")
        route_to(ALIAS, add_openrouter("anthropic", url, kind="anthropic"), "claude-sonnet-4-5")

    await sync_to_async(add)()
    upstream.answers(json_answer(message))
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages(LOSSY)

    assert answer.status_code == 200
    assert answer.headers["x-llmgateway-provider"] == "anthropic"
    assert upstream.requests[0].json["inference_geo"] == "eu"


async def test_a_switch_is_live_within_a_second(gateway: Serving, upstream):
    upstream.default = json_answer(chat_answer("Hi"))
    assert (await gateway.messages(LOSSY)).status_code == 200
    await switch_on()
    await gateway.runtime.refresh()

    assert (await gateway.messages(LOSSY)).status_code == 400

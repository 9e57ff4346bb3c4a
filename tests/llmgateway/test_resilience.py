"""Fallback, credentials, cooldown, turns, header rules and pass-through, over real sockets."""

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async

from routing.models import Credential, HeaderRule, Provider
from tests.fakes.upstream import (
    Answer,
    FakeUpstream,
    chat_answer,
    json_answer,
    stream_answer,
    text_stream,
)
from tests.llmgateway.conftest import ALIAS, MODEL, SECRET, add_openrouter, route_to
from tests.serving import serving
from tests.waiting import until

ASK = {"model": ALIAS, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
FAILS = json_answer({"error": {"message": "broken", "code": 500}}, status=500)
REFUSED = json_answer({"error": {"message": "no such key", "code": 401}}, status=401)
LIMITED = json_answer(
    {"error": {"message": "slow down", "code": 429}}, status=429, headers={"retry-after": "60"}
)


@pytest.fixture
async def second(key):
    async with FakeUpstream(json_answer(chat_answer("From the second."))) as fake:
        yield fake


@pytest.fixture
async def both(provider, second):
    """ALIAS falls back from the first upstream to the second."""

    def add():
        route_to(ALIAS, add_openrouter("second", second.url))

    await sync_to_async(add)()


async def test_records_say_which_path_was_taken_and_why_the_one_before_failed(
    both, key, upstream, tmp_path
):
    upstream.answers(FAILS)
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages(ASK)
        first, second = await gateway.records(2)

    assert answer.headers["x-llmgateway-attempts"] == "2"
    assert (first.provider_kind, first.after_error) == ("openrouter", "")
    assert second.after_error == "UpstreamBroken"
    assert answer.json()["content"][0]["text"] == "From the second."


@pytest.mark.parametrize("is_cut", [True, False])
@pytest.mark.parametrize(("status", "told"), [(400, 400), (401, 502), (429, 429), (500, 502)])
async def test_a_status_is_an_answer_although_its_body_cannot_be_read(
    provider, key, upstream, tmp_path, status, told, is_cut
):
    await Provider.objects.aupdate(retries_max=2)
    upstream.default = Answer(
        [b"half a wo" if is_cut else bytes(300_000)],
        status,
        {"content-type": "text/html", "retry-after": "60"},
        ending="cut" if is_cut else "close",
    )
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages(ASK)
        (record,) = await gateway.records(1)

    assert (answer.status_code, answer.headers["retry-after"]) == (told, "60")
    assert len(upstream.requests) == 1  # a minute is more than the longest wait
    assert record.error in {
        "UpstreamRejected", "UpstreamUnauthorized", "UpstreamRateLimited", "UpstreamBroken"
    }  # fmt: skip


async def test_a_deployment_that_keeps_failing_is_skipped_and_probed_again(
    both, key, upstream, tmp_path
):
    await Provider.objects.filter(slug="openrouter").aupdate(cooldown_after=2, cooldown_s=60)
    upstream.default = FAILS
    async with serving(tmp_path / "journal", key=key) as gateway:
        for _ in range(5):
            assert (await gateway.messages(ASK)).status_code == 200
        asked_while_failing = len(upstream.requests)
        upstream.default = json_answer(chat_answer("Well again."))
        for cooling in gateway.runtime.live.cooldowns._deployments.values():
            cooling.until_s = time.monotonic()  # the minute is over
        answer = await gateway.messages(ASK)
        again = await gateway.messages(ASK)

    assert asked_while_failing == 2
    assert answer.json()["content"][0]["text"] == "Well again."
    assert again.headers["x-llmgateway-provider"] == "openrouter"


async def test_a_deployment_whose_streams_break_off_is_skipped_too(both, key, upstream, tmp_path):
    await Provider.objects.filter(slug="openrouter").aupdate(cooldown_after=2, cooldown_s=60)
    broken = stream_answer(text_stream("Some", " words")[:2], done=False, ending="cut")
    upstream.answers(broken, stream_answer(text_stream("Well.")), broken, broken)
    async with serving(tmp_path / "journal", key=key) as gateway:
        streams = [await gateway.messages({**ASK, "stream": True}) for _ in range(4)]
        after = await gateway.messages(ASK)

    assert [("event: error" in stream.text) for stream in streams] == [True, False, True, True]
    assert {stream.headers["x-llmgateway-provider"] for stream in streams} == {"openrouter"}
    assert after.headers["x-llmgateway-provider"] == "second"


@pytest.mark.parametrize("failure", [REFUSED, LIMITED])
async def test_another_credential_is_tried_at_once_and_the_first_one_rests(
    provider, key, upstream, tmp_path, failure
):
    def add():
        row = Credential(provider=provider, label="spare", weight=0)
        row.seal("sk-or-v1-spare")
        row.save()

    await sync_to_async(add)()
    upstream.answers(failure)
    async with serving(tmp_path / "journal", key=key) as gateway:
        first = await gateway.messages(ASK)
        second = await gateway.messages(ASK)

    assert (first.status_code, second.status_code) == (200, 200)
    used = [seen.headers["authorization"].removeprefix("Bearer ") for seen in upstream.requests]
    assert used == [SECRET, "sk-or-v1-spare", "sk-or-v1-spare"]


async def test_while_all_credentials_rest_each_is_tried_before_one_is_again(
    provider, key, upstream, tmp_path
):
    def add():
        row = Credential(provider=provider, label="spare", weight=0)
        row.seal("sk-or-v1-spare")
        row.save()

    def refuses_the_first(seen):
        return REFUSED if seen.headers["authorization"].endswith(SECRET) else None

    await sync_to_async(add)()
    upstream.answers(REFUSED, LIMITED)
    upstream.answer_with = refuses_the_first
    async with serving(tmp_path / "journal", key=key) as gateway:
        answers = [await gateway.messages(ASK) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [429, 200, 200]
    used = [seen.headers["authorization"].removeprefix("Bearer ") for seen in upstream.requests]
    assert used == [SECRET, "sk-or-v1-spare", "sk-or-v1-spare", "sk-or-v1-spare"]


async def test_requests_over_the_limit_wait_for_their_turn(provider, key, upstream, tmp_path):
    await Provider.objects.aupdate(concurrent_max=2, queue_max=10)
    upstream.default = stream_answer(text_stream("a", "b"), pause_s=0.05)
    async with serving(tmp_path / "journal", key=key) as gateway:
        stream = {**ASK, "stream": True}
        answers = await asyncio.gather(*(gateway.messages(stream) for _ in range(6)))
        await until(lambda: set(gateway.runtime.turns.state().values()) == {(0, 0)})

    assert {answer.status_code for answer in answers} == {200}
    assert len(upstream.requests) == 6
    assert upstream.under_way_most == 2


async def test_who_finds_no_place_in_the_queue_goes_to_the_next_target(
    both, key, upstream, second, tmp_path
):
    await Provider.objects.filter(slug="openrouter").aupdate(concurrent_max=1, queue_max=0)
    may_end = asyncio.Event()
    upstream.default = stream_answer(text_stream("a", "b"), ends_after=may_end)
    async with serving(tmp_path / "journal", key=key) as gateway:
        slow = asyncio.ensure_future(gateway.messages({**ASK, "stream": True}))
        await until(lambda: upstream.requests)
        quick = await gateway.messages(ASK)
        may_end.set()
        await slow

    assert quick.headers["x-llmgateway-provider"] == "second"


async def test_a_wait_that_is_too_long_is_told_with_its_setting(provider, key, upstream, tmp_path):
    await Provider.objects.aupdate(concurrent_max=1, queue_wait_s="0.05")
    may_end = asyncio.Event()
    upstream.default = stream_answer(text_stream("a", "b"), ends_after=may_end)
    async with serving(tmp_path / "journal", key=key) as gateway:
        slow = asyncio.ensure_future(gateway.messages({**ASK, "stream": True}))
        await until(lambda: upstream.requests)
        refused = await gateway.messages(ASK)
        may_end.set()
        await slow
        records = await gateway.records(1)

    assert refused.status_code == 529
    assert "longest wait for a turn" in refused.json()["error"]["message"]
    assert len(records) == 1  # what reached no provider is no attempt


async def test_a_client_that_leaves_the_queue_takes_no_turn(provider, key, upstream, tmp_path):
    await Provider.objects.aupdate(concurrent_max=1)
    may_end = asyncio.Event()
    upstream.default = stream_answer(text_stream("a", "b", "c"), ends_after=may_end)
    async with serving(tmp_path / "journal", key=key) as gateway:
        turns = gateway.runtime.turns
        slow = asyncio.ensure_future(gateway.messages({**ASK, "stream": True}))
        await until(lambda: upstream.requests)
        gone = asyncio.ensure_future(gateway.messages(ASK))
        await until(lambda: set(turns.state().values()) == {(1, 1)})
        gone.cancel()
        await until(lambda: set(turns.state().values()) == {(1, 0)})
        may_end.set()
        await slow
        await until(lambda: set(turns.state().values()) == {(0, 0)})
        assert (await gateway.messages({**ASK, "stream": True})).status_code == 200
        await until(lambda: set(turns.state().values()) == {(0, 0)})


async def test_header_rules_reach_the_provider_filled_in(provider, key, upstream, tmp_path):
    for action, name, value in (
        ("force", "X-Who", "${team}/${key} asks ${model} as ${upstream_model}"),
        ("drop", "x-title", ""),
        ("add", "X-Request", "${request_id}"),
    ):
        await HeaderRule.objects.acreate(action=action, name=name, value=value)
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages(ASK)

    seen = upstream.requests[0].headers
    assert seen["x-who"] == f"alder/laptop asks {ALIAS} as {MODEL}"
    assert seen["x-request"] == answer.headers["request-id"]
    assert "x-title" not in seen
    assert seen["authorization"] == f"Bearer {SECRET}"
    assert seen["content-type"] == "application/json"


async def test_an_allow_list_lets_the_clients_own_headers_through(
    provider, key, upstream, tmp_path
):
    await HeaderRule.objects.acreate(action="allow", name="x-trace-*")
    async with serving(tmp_path / "journal", key=key) as gateway:
        await gateway.messages(ASK, x_trace_id="t-1", x_other="o", cookie="c=1")

    seen = upstream.requests[0].headers
    assert seen["x-trace-id"] == "t-1"
    assert not {"x-other", "cookie", "x-title", "x-api-key"} & seen.keys()


# The client's own credential


@pytest.fixture
async def passing(route):
    await route("anthropic", credential_mode="pass_through")
    await Credential.objects.all().adelete()


MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip


async def test_the_clients_own_credential_goes_through_untouched(passing, key, upstream, tmp_path):
    upstream.answers(json_answer(MESSAGE))
    async with serving(tmp_path / "journal", key="") as gateway:
        answer = await gateway.messages(
            ASK,
            x_llmgateway_key=key,
            authorization="Bearer sk-ant-own",
            anthropic_beta="oauth-2025-04-20",
        )

    assert answer.status_code == 200
    seen = upstream.requests[0].headers
    assert seen["authorization"] == "Bearer sk-ant-own"
    assert seen["anthropic-beta"] == "oauth-2025-04-20"
    assert key not in str(seen)


async def test_a_refusal_of_the_clients_own_credential_is_the_clients_business(
    passing, key, upstream, tmp_path
):
    error = {"type": "error", "error": {"type": "authentication_error", "message": "expired"}}
    upstream.answers(json_answer(error, status=401))
    async with serving(tmp_path / "journal", key="") as gateway:
        answer = await gateway.messages(ASK, x_llmgateway_key=key, x_api_key="sk-ant-own")

    assert answer.status_code == 401
    assert answer.json() == error


async def test_a_limit_of_one_clients_own_credential_is_no_other_clients_business(
    passing, key, upstream, second, tmp_path
):
    await sync_to_async(lambda: route_to("*", add_openrouter("second", second.url)))()
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    upstream.answers(json_answer(error, status=429, headers={"retry-after": "60"}))
    upstream.default = json_answer(MESSAGE)
    async with serving(tmp_path / "journal", key="") as gateway:
        answers = [
            await gateway.messages(ASK, x_llmgateway_key=key, x_api_key=own)
            for own in ("sk-ant-limited", "sk-ant-other")
        ]

    providers = [answer.headers["x-llmgateway-provider"] for answer in answers]
    assert providers == ["second", "anthropic"]


async def test_without_one_the_client_is_told_how_to_send_it(passing, key, upstream, tmp_path):
    async with serving(tmp_path / "journal", key=key) as gateway:
        answer = await gateway.messages(ASK)

    assert answer.status_code == 401
    assert "x-llmgateway-key" in answer.json()["error"]["message"]
    assert upstream.requests == []

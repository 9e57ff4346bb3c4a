"""Limits and budgets over a real socket: who is let in, what the others are told, and that no more is spent."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import anthropic
import openai
import pytest
from asgiref.sync import sync_to_async

from accounting import snapshot as keys_snapshot
from accounting.models import Budget, Price, Project, Team, UsageRecord, VirtualKey
from tests.factories.accounting import make_usage
from tests.fakes.upstream import Answer, FakeUpstream, chat_answer, json_answer, stream_answer
from tests.fakes.upstream import chunk as chunk_of
from tests.llmgateway.conftest import ALIAS, MODEL
from tests.serving import Serving, serving
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("provider")

ASK = {"model": ALIAS, "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}
USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
COST = Decimal("0.0003")  # 20 x 15 USD per million; the prompt is free


@pytest.fixture
def run(key, tmp_path):
    """The gateway on rows that a function makes first: ``async with run(make_rows) as gateway``."""

    class Run:
        def __init__(self, make):
            self.make = make

        async def __aenter__(self) -> Serving:
            await sync_to_async(self.make)()
            self.serving = serving(tmp_path / "journal", key=key)
            return await self.serving.__aenter__()

        async def __aexit__(self, *error):
            await self.serving.__aexit__(*error)

    return Run


def limit_key(**limits):
    def make():
        row = VirtualKey.objects.get(name="laptop")
        for name, value in limits.items():
            setattr(row, name, value)
        row.save()

    return make


def add_price(**fields):
    Price.objects.create(
        provider="openrouter",
        upstream_model=MODEL,
        valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
        source="test",
        **{"prompt_usd_per_mtok": Decimal(0), "completion_usd_per_mtok": Decimal(15), **fields},
    )


def add_budget(amount, **fields):
    def make():
        add_price()
        holder = fields or {"team": Team.objects.get(slug="alder")}
        Budget.objects.create(amount_usd=Decimal(amount), **holder)

    return make


def with_usage(usage):
    """An answer without a figure of the provider's own."""
    return {**chat_answer("Hello."), "usage": usage}


def answer(**how) -> Answer:
    return json_answer(with_usage(USAGE), **how)


async def test_the_minutes_requests_are_told_and_held(run, upstream: FakeUpstream):
    upstream.default = answer()
    async with run(limit_key(requests_per_minute=2)) as gateway:
        first = await gateway.messages(ASK)
        second = await gateway.chat(ASK)
        third = await gateway.messages(ASK)
        fourth = await gateway.chat(ASK)

    assert first.headers["anthropic-ratelimit-requests-limit"] == "2"
    assert first.headers["anthropic-ratelimit-requests-remaining"] == "1"
    reset_at = datetime.fromisoformat(first.headers["anthropic-ratelimit-requests-reset"])
    assert abs(reset_at - datetime.now(UTC)) < timedelta(seconds=70)
    assert second.headers["x-ratelimit-limit-requests"] == "2"
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert second.headers["x-ratelimit-reset-requests"].endswith("s")
    assert third.status_code == fourth.status_code == 429
    assert third.json()["error"]["type"] == "rate_limit_error"
    assert fourth.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(third.headers["retry-after"]) <= 61
    assert third.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert "x-should-retry" not in third.headers
    assert len(upstream.requests) == 2


async def test_tokens_of_a_minute_count_as_used(run, upstream: FakeUpstream):
    upstream.default = json_answer(with_usage({"prompt_tokens": 900, "completion_tokens": 20}))
    async with run(limit_key(tokens_per_minute=1000)) as gateway:
        first = await gateway.chat(ASK)
        second = await gateway.chat({**ASK, "max_tokens": 200})

    assert first.headers["x-ratelimit-limit-tokens"] == "1000"
    assert second.status_code == 429
    assert "has 80 of its 1000 tokens of a minute left" in second.json()["error"]["message"]


async def test_requests_under_way_are_limited_and_streams_count_until_their_end(
    run, upstream: FakeUpstream
):
    events = [chunk_of({"role": "assistant", "content": "a"}), chunk_of({"content": "b"})]
    refused_once = asyncio.Event()
    slow = stream_answer([*events, chunk_of({}, finish_reason="stop")], ends_after=refused_once)
    upstream.answers(slow, slow)
    upstream.default = answer()
    async with run(limit_key(concurrent_requests=2)) as gateway:
        streams = [
            asyncio.ensure_future(gateway.messages({**ASK, "stream": True})) for _ in range(2)
        ]
        await until(lambda: len(upstream.requests) == 2)
        refused = await gateway.messages(ASK)
        refused_once.set()
        ended = await asyncio.gather(*streams)
        let_in = await gateway.messages(ASK)

    assert refused.status_code == 429
    assert "2 requests under way" in refused.json()["error"]["message"]
    assert [response.status_code for response in ended] == [200, 200]
    assert let_in.status_code == 200


async def test_a_client_that_leaves_gives_its_turn_back(run, upstream: FakeUpstream):
    first = chunk_of({"role": "assistant", "content": "a"})
    upstream.answers(stream_answer([first], done=False, ending="stall"))
    upstream.default = answer()
    async with run(limit_key(concurrent_requests=1)) as gateway:
        async with gateway.http.stream(
            "POST", "/v1/messages", json={**ASK, "stream": True}
        ) as response:
            await anext(response.aiter_bytes())
        await gateway.records(1)
        again = await gateway.messages(ASK)
    assert again.status_code == 200


async def test_a_request_that_failed_gives_its_turn_back(run, upstream: FakeUpstream):
    upstream.default = json_answer({"error": {"message": "no", "code": 400}}, status=400)
    async with run(limit_key(concurrent_requests=1)) as gateway:
        codes = [(await gateway.messages(ASK)).status_code for _ in range(3)]
    assert codes == [400, 400, 400]


async def test_limits_of_team_and_project_hold_over_all_their_keys(run, upstream: FakeUpstream):
    upstream.default = answer()

    def make():
        team = Team.objects.get(slug="alder")
        Project.objects.create(team=team, slug="web", requests_per_minute=1)
        team.requests_per_minute = 2
        team.save()

    async with run(make) as gateway:
        web = {"x-llmgateway-project": "web"}
        codes = [
            (await gateway.messages(ASK, **headers)).status_code for headers in (web, web, {}, {})
        ]
        (first, second) = await gateway.records(2)
    assert codes == [200, 429, 200, 429]
    assert (first.project, second.project) == ("web", "")


async def test_two_hundred_at_once_get_twenty_through_and_never_spend_more(
    run, upstream: FakeUpstream
):
    upstream.default = replace(answer(), before_s=0.05)
    async with run(add_budget(COST * 20)) as gateway:
        responses = await asyncio.gather(
            *(gateway.messages(ASK) if number % 2 else gateway.chat(ASK) for number in range(200))
        )
        records = await gateway.records()

    passed = [response for response in responses if response.status_code == 200]
    assert len(passed) == 20
    assert sum(record.cost_usd for record in records) == COST * 20
    assert {response.status_code for response in responses} == {200, 429}


async def test_a_spent_budget_is_told_in_both_dialects_with_the_time_it_begins_anew(
    run, upstream: FakeUpstream
):
    upstream.default = answer()

    def make():
        add_budget("0.5")()
        make_usage(cost_usd=Decimal("0.5"), started_at=datetime.now(UTC))

    async with run(make) as gateway:
        messages, chat = await gateway.messages(ASK), await gateway.chat(ASK)
        counted = await gateway.post("/v1/messages/count_tokens", ASK)
        listed = await gateway.http.get("/v1/models")

    assert messages.status_code == chat.status_code == 429
    assert messages.json()["error"]["type"] == "billing_error"
    assert chat.json()["error"]["code"] == "insufficient_quota"
    assert (
        "spend limit reached: the monthly budget of team alder of 0.5 USD is spent"
        in (messages.json()["error"]["message"])
    )
    assert messages.headers["x-should-retry"] == chat.headers["x-should-retry"] == "false"
    assert int(messages.headers["retry-after"]) > 0
    assert counted.status_code == listed.status_code == 200
    assert not upstream.requests


async def test_real_clients_understand_both_refusals(run, key, upstream: FakeUpstream):
    upstream.default = answer()

    any_model = {**ASK, "model": "any-model"}  # the SDKs warn of names that are retired
    async with run(limit_key(requests_per_minute=1)) as gateway:
        claude = anthropic.AsyncAnthropic(
            base_url=gateway.url,
            api_key=key,
            max_retries=0,
            http_client=anthropic.DefaultAsyncHttpxClient(),
        )
        gpt = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)
        async with claude, gpt:
            await claude.messages.create(**any_model)
            with pytest.raises(anthropic.RateLimitError) as limited:
                await claude.messages.create(**any_model)
            with pytest.raises(openai.RateLimitError) as limited_too:
                await gpt.chat.completions.create(**any_model)
    assert limited.value.response.headers["retry-after"]
    assert limited_too.value.code == "rate_limit_exceeded"


async def test_a_keys_budget_is_not_its_teams(run, key, upstream: FakeUpstream):
    upstream.default = answer()

    def make():
        add_price()
        row = VirtualKey.objects.get(name="laptop")
        Budget.objects.create(key=row, amount_usd=COST * 2)

    async with run(make) as gateway:
        codes = [(await gateway.messages(ASK)).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


async def test_a_soft_budget_refuses_nothing(run, upstream: FakeUpstream):
    upstream.default = answer()

    def make():
        add_price()
        Budget.objects.create(team=Team.objects.get(slug="alder"), amount_usd=COST, hard=False)

    async with run(make) as gateway:
        codes = [(await gateway.messages(ASK)).status_code for _ in range(3)]
    assert codes == [200, 200, 200]


async def test_a_budget_made_while_it_runs_holds_once_the_keys_are_read_anew(
    run, upstream: FakeUpstream
):
    upstream.default = answer()
    async with run(add_price) as gateway:
        assert (await gateway.messages(ASK)).status_code == 200

        def make():
            Budget.objects.create(team=Team.objects.get(slug="alder"), amount_usd=COST * 2)

        before = keys_snapshot.current().number
        await sync_to_async(make)()
        await until(lambda: keys_snapshot.current().number > before)
        codes = [(await gateway.messages(ASK)).status_code for _ in range(2)]
        spent = [record.cost_usd async for record in UsageRecord.objects.all()]
    assert codes == [200, 429]  # the first one of all counts too
    assert sum(spent) <= COST * 2


async def test_a_key_without_rules_is_held_to_nothing(gateway: Serving, upstream: FakeUpstream):
    upstream.default = answer()
    response = await gateway.messages(ASK)
    assert not [name for name in response.headers if "ratelimit" in name]

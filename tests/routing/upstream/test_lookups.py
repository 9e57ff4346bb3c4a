"""Looking providers up: whether they answer, what they have left, and which models they list."""

import asyncio
from decimal import Decimal

import pytest

from conversion.errors import UpstreamUnauthorized
from routing.header_rules import Rule
from routing.providers.facts import ModelFacts, ProviderState
from routing.upstream import lookups
from routing.upstream.errors import UpstreamTlsFailed, UpstreamUnreachable
from tests.factories.pictures import SECRET, picture_provider
from tests.fakes.upstream import NOTHING_AT_ALL, Answer, FakeUpstream, json_answer

KEY = {"data": {"label": "sk-or…", "limit": 10, "limit_remaining": 7.5, "is_free_tier": False}}
CREDITS = {"data": {"total_credits": 100.0, "total_usage": 97.75}}
REFUSAL = json_answer({"error": {"message": "No such key", "code": 401}}, status=401)
OPENROUTER_MODELS = {
    "data": [
        {
            "id": "anthropic/claude-sonnet-4.5",
            "name": "Anthropic: Claude Sonnet 4.5",
            "context_length": 1000000,
            "pricing": {
                "prompt": "0.000003",
                "completion": "0.000015",
                "input_cache_read": "0.0000003",
                "input_cache_write": "0.00000375",
                "request": "0",
                "image": "-1",
            },
            "top_provider": {"max_completion_tokens": 64000},
            "architecture": {"input_modalities": ["text", "image"]},
            "supported_parameters": ["tools", "reasoning"],
        },
        {"id": "odd/bare", "pricing": {"prompt": "-1", "completion": "x"}},
        {"name": "without an id"},
        "odd",
    ]
}


@pytest.fixture
async def upstream():
    async with FakeUpstream() as fake:
        yield fake


def provider(upstream: FakeUpstream, kind: str = "openrouter", **fields):
    url = (
        upstream.url
        if kind in ("openrouter", "openai_compatible")
        else f"http://127.0.0.1:{upstream.port}"
    )
    return picture_provider(url, kind=kind, **fields)


async def test_openrouter_tells_what_the_key_may_spend(upstream):
    upstream.answers(json_answer(KEY), json_answer(CREDITS))
    state = await lookups.check(provider(upstream))

    assert (state.problem, state.detail) == ("", "paid")
    assert state.credit_usd == Decimal("2.25")  # of the account; the key alone might spend 7.50
    assert state.latency_ms is not None
    assert [seen.path for seen in upstream.requests][:2] == ["/api/v1/key", "/api/v1/credits"]
    assert upstream.requests[0].headers["authorization"] == f"Bearer {SECRET}"


async def test_a_key_that_may_not_see_the_credits_is_no_problem(upstream):
    upstream.answers(json_answer(KEY), REFUSAL)
    state = await lookups.check(provider(upstream))

    assert (state.problem, state.credit_usd) == ("", Decimal("7.5"))


@pytest.mark.parametrize(
    ("key", "credits", "problem"),
    [
        ({"data": {"limit_remaining": 0}}, CREDITS, "the key has no credit left"),
        (KEY, {"data": {"total_credits": 5, "total_usage": 6}}, "the account has no credit left"),
        ([], CREDITS, "the answer about the key cannot be read"),
    ],
)
async def test_openrouter_without_credit_is_a_problem(upstream, key, credits, problem):
    upstream.answers(json_answer(key), json_answer(credits))

    assert (await lookups.check(provider(upstream))).problem == problem


async def test_credits_that_cannot_be_read_are_not_known(upstream):
    upstream.answers(json_answer({"data": {"limit_remaining": None}}), json_answer({"data": 5}))
    state = await lookups.check(provider(upstream))

    assert (state.problem, state.credit_usd) == ("", None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (REFUSAL, "No such key"),
        (NOTHING_AT_ALL, "does not answer"),
        (Answer([b"<html>"]), "JSON"),
    ],
)
async def test_what_is_wrong_is_said(upstream, answer, words):
    upstream.answers(answer)
    state = await lookups.check(provider(upstream))

    assert words in state.problem
    assert SECRET not in state.problem


async def test_without_a_credential_nobody_is_asked(upstream):
    state = await lookups.check(provider(upstream, credentials=()))

    assert "credential" in state.problem
    assert upstream.requests == []


async def test_the_demo_is_always_well():
    assert await lookups.check(picture_provider(kind="demo", credentials=())) == ProviderState(
        detail="answers inside the gateway"
    )
    assert await lookups.list_models(picture_provider(kind="demo", credentials=())) == []


async def test_an_open_health_page_says_nothing_of_the_credential(upstream):
    upstream.answers(json_answer({"status": "healthy"}), REFUSAL)
    state = await lookups.check(provider(upstream, "litellm_proxy"))

    assert [seen.path for seen in upstream.requests] == ["/health/readiness", "/v1/models"]
    assert "No such key" in state.problem


async def test_a_health_page_that_is_the_list_is_asked_once(upstream):
    upstream.answers(json_answer({"data": []}))
    state = await lookups.check(provider(upstream, "openai_compatible"))

    assert state.problem == ""
    assert len(upstream.requests) == 1


async def test_openrouter_lists_prices_per_million_tokens(upstream):
    upstream.answers(json_answer(OPENROUTER_MODELS))
    sonnet, bare = await lookups.list_models(provider(upstream))

    assert (sonnet.context_window_tokens, sonnet.max_output_tokens) == (1_000_000, 64_000)
    assert sonnet.prices.prompt_usd_per_mtok == Decimal(3)
    assert sonnet.prices.completion_usd_per_mtok == Decimal(15)
    assert sonnet.prices.cache_read_usd_per_mtok == Decimal("0.3")
    assert sonnet.prices.cache_write_usd_per_mtok == Decimal("3.75")
    assert sonnet.prices.request_usd == 0
    assert sonnet.parameters == ("tools", "reasoning")
    assert sonnet.inputs == ("text", "image")
    assert bare.prices.prompt_usd_per_mtok is None
    assert bare.prices.completion_usd_per_mtok is None
    assert bare.inputs == ()


async def test_further_pages_are_fetched_from_the_same_host_alone(upstream):
    following = {"data": [{"id": "b"}], "links": {"next": "https://elsewhere.example/models"}}
    first = {"data": [{"id": "a"}], "links": {"next": "/api/v1/models?page=2"}}
    upstream.answers(json_answer(first), json_answer(following))
    found = await lookups.list_models(provider(upstream))

    assert [facts.id for facts in found] == ["a", "b"]
    assert [seen.path for seen in upstream.requests] == ["/api/v1/models", "/api/v1/models?page=2"]


async def test_anthropics_list_goes_on_behind_its_last_id(upstream):
    first = {
        "data": [
            {"id": "claude-a", "display_name": "A", "max_tokens": 64000, "max_input_tokens": 200000}
        ],
        "has_more": True,
        "last_id": "claude-a",
    }
    upstream.answers(
        json_answer(first), json_answer({"data": [{"id": "claude-b"}], "has_more": False})
    )
    found = await lookups.list_models(provider(upstream, "anthropic"))

    assert [facts.id for facts in found] == ["claude-a", "claude-b"]
    assert (found[0].name, found[0].max_output_tokens) == ("A", 64000)
    assert upstream.requests[1].path == "/v1/models?limit=1000&after_id=claude-a"
    assert upstream.requests[0].headers["anthropic-version"] == "2023-06-01"
    assert upstream.requests[0].headers["x-api-key"] == SECRET


async def test_ollama_tells_what_is_pulled_and_what_is_loaded(upstream):
    tags = {
        "models": [
            {"name": "qwen3:8b", "details": {"parameter_size": "8B", "context_length": 40960}},
            {"name": "llama3:8b", "details": "odd"},
        ]
    }
    upstream.answers(json_answer(tags), json_answer({"models": [{"name": "qwen3:8b"}]}))
    qwen, llama = await lookups.list_models(provider(upstream, "ollama", credentials=()))

    assert (qwen.state, qwen.name, qwen.context_window_tokens) == ("loaded", "qwen3:8b 8B", 40960)
    assert (llama.state, llama.context_window_tokens) == ("pulled", None)
    assert [seen.path for seen in upstream.requests] == ["/api/tags", "/api/ps"]


async def test_a_compatible_server_lists_its_context_window(upstream):
    models = {
        "data": [{"id": "qwen", "max_model_len": 32768}, {"id": "other", "max_model_len": True}]
    }
    upstream.answers(json_answer(models))
    qwen, other = await lookups.list_models(provider(upstream, "openai_compatible"))

    assert (qwen.context_window_tokens, other.context_window_tokens) == (32768, None)


async def test_a_list_that_is_none_is_empty(upstream):
    upstream.answers(json_answer({"data": "odd"}))

    assert await lookups.list_models(provider(upstream)) == []


async def test_a_refusal_is_told_as_one(upstream):
    upstream.answers(REFUSAL)
    with pytest.raises(UpstreamUnauthorized):
        await lookups.list_models(provider(upstream))


async def test_an_address_that_is_none_is_told_as_one():
    with pytest.raises(UpstreamUnreachable):
        await lookups.list_models(picture_provider("http://[odd"))


async def test_certificates_are_checked_against_the_bundle(upstream):
    with pytest.raises(UpstreamTlsFailed, match="CA bundle of provider openrouter"):
        await lookups.list_models(provider(upstream, ca_bundle_pem="no certificate"))


async def test_openrouters_list_tells_what_a_model_can(upstream):
    upstream.answers(json_answer(OPENROUTER_MODELS))
    sonnet, bare = await lookups.list_models(provider(upstream))

    assert (sonnet.takes_tools, sonnet.takes_images, sonnet.can_reason) == (True, True, True)
    assert sonnet.can_cache is True
    assert (bare.takes_tools, bare.takes_images, bare.can_reason, bare.can_cache) == (None,) * 4
    assert await lookups.describe_models(provider(upstream), [sonnet]) == [sonnet]


async def test_a_litellm_proxy_describes_the_models_of_its_list(upstream):
    info = {"max_input_tokens": 1000, "input_cost_per_token": 1.5e-07, "output_cost_per_token": 0}
    entries = [{"model_name": "a", "model_info": info}, {"model_name": "unlisted"}]
    upstream.answers(json_answer({"data": entries}))
    proxy = provider(upstream, "litellm_proxy")
    listed = [ModelFacts("a", max_output_tokens=5), ModelFacts("b")]
    a, b = await lookups.describe_models(proxy, listed)

    assert (a.context_window_tokens, a.max_output_tokens) == (1000, 5)
    assert a.prices.prompt_usd_per_mtok == Decimal("0.15")  # exact: never a float
    assert b == ModelFacts("b")
    assert upstream.requests[0].path == "/model/info"

    upstream.answers(REFUSAL)
    assert await lookups.describe_models(proxy, listed) == listed


async def test_ollama_is_asked_for_each_model(upstream):
    def show(request):
        if request.json["model"] == "broken":
            return json_answer({"error": "no such model"}, status=404)
        return json_answer(
            {
                "capabilities": ["completion", "tools"],
                "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960},
            }
        )

    upstream.answer_with = show
    heard: list[int] = []
    ollama = provider(upstream, "ollama", credentials=())
    listed = [ModelFacts("qwen3:8b"), ModelFacts("broken")]
    qwen, broken = await lookups.describe_models(ollama, listed, told=heard.append)

    assert (qwen.takes_tools, qwen.takes_images, qwen.can_reason) == (True, False, False)
    assert qwen.context_window_tokens == 40960
    assert broken == ModelFacts("broken")
    assert heard == [1, 2]
    assert {seen.path for seen in upstream.requests} == {"/api/show"}


@pytest.mark.parametrize("body", [[], {}, {"capabilities": "odd", "model_info": 5}])
async def test_an_odd_description_says_nothing(upstream, body):
    upstream.default = json_answer(body)
    listed = [ModelFacts("m")]

    assert (
        await lookups.describe_models(provider(upstream, "ollama", credentials=()), listed)
        == listed
    )


async def test_nobody_is_asked_about_no_models_or_by_a_kind_that_calls_nobody(upstream):
    demo = picture_provider(kind="demo", credentials=())
    assert await lookups.describe_models(demo, [ModelFacts("m")]) == [ModelFacts("m")]
    assert await lookups.describe_models(provider(upstream, "ollama", credentials=()), []) == []
    assert upstream.requests == []


async def test_where_clients_bring_the_credentials_only_an_answer_is_asked_for(upstream):
    passes = provider(upstream, "anthropic", credentials=(), is_pass_through=True)
    upstream.answers(REFUSAL)
    state = await lookups.check(passes)

    assert (state.problem, state.detail) == ("", "answers; clients bring the credentials")
    assert "x-api-key" not in upstream.requests[0].headers
    upstream.answers(json_answer({"data": []}), NOTHING_AT_ALL)
    assert (await lookups.check(passes)).problem == ""
    assert "does not answer" in (await lookups.check(passes)).problem


async def test_a_providers_header_rules_are_kept_in_a_look_too(upstream):
    upstream.answers(json_answer({"data": []}))
    rules = (Rule("force", "x-team", "alder"),)
    await lookups.check(provider(upstream, "openai_compatible", header_rules=rules))

    assert upstream.requests[0].headers["x-team"] == "alder"


async def test_an_answer_is_read_no_further_than_its_bound(upstream, monkeypatch):
    """Its last piece never comes, and nobody waits for it."""
    monkeypatch.setattr(lookups, "ANSWER_BYTES_MAX", 100_000)  # a size, not a function
    never = asyncio.Event()
    upstream.answers(Answer([b" " * 60_000] * 3, ends_after=never))
    state = await lookups.check(provider(upstream))
    assert "more than 100000 bytes" in state.problem

    upstream.answers(Answer([b"no " * 30_000, b"x"], status=500, ends_after=never))
    assert (await lookups.check(provider(upstream))).problem


async def test_an_answer_that_drips_is_given_up(upstream, monkeypatch):
    monkeypatch.setattr(lookups, "ANSWER_S", 0.3)  # a time, not a function
    upstream.answers(Answer([b" "] * 10_000, pause_s=0.05))
    state = await lookups.check(provider(upstream))
    assert "does not answer (TimeoutError)" in state.problem

"""The provider kinds: each is one complete value."""

from decimal import Decimal

import pytest

from conversion.dialects import Dialect
from conversion.errors import GatewayError
from routing.models.provider import kind_choices
from routing.providers import KINDS, anthropic, litellm_proxy, openai_compatible, openrouter
from routing.providers.facts import ModelPrices, TierPrices
from routing.providers.kind import bearer


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_is_complete(kind):
    assert KINDS[kind.name] is kind
    assert kind.dialect in set(Dialect)
    assert kind.traits("some/model").model == "some/model"
    assert kind.calls_out == bool(kind.paths[kind.dialect])
    assert not kind.base_url.endswith("/")
    assert isinstance(kind.read_error(500, b"no JSON", None), GatewayError)
    assert (kind.name, kind.label) in kind_choices()


def test_a_secret_goes_into_the_usual_header():
    assert bearer("secret") == (("Authorization", "Bearer secret"),)
    assert openrouter.KIND.credential_headers is bearer


@pytest.mark.parametrize(
    ("model", "helps"),
    [
        ("anthropic/claude-sonnet-4.5", True),
        ("~anthropic/claude-sonnet-latest", True),
        ("google/gemini-2.5-pro", True),
        ("openai/gpt-5", False),
        ("deepseek/anthropic/odd", False),
    ],
)
def test_openrouter_is_sent_marks_for_caching_where_they_help(model, helps):
    assert openrouter.traits(model).cache_control is helps


def test_openrouter_takes_reasoning_in_its_own_words():
    traits = openrouter.traits("openai/gpt-5")

    assert traits.reasoning == "openrouter"
    assert traits.reasoning_replay == "details"
    assert openrouter.KIND.paths[Dialect.OPENAI_CHAT] == "/chat/completions"


@pytest.mark.parametrize(
    ("model", "thinking", "sampling", "system_turns"),
    [
        ("claude-3-5-haiku-20241022", "none", True, False),
        ("claude-3-7-sonnet-latest", "enabled", True, False),
        ("claude-sonnet-4-20250514", "enabled", True, False),
        ("claude-haiku-4-5-20251001", "enabled", True, False),
        ("anthropic/claude-sonnet-4.5", "enabled", True, False),
        ("claude-opus-4-6", "adaptive", True, False),
        ("claude-opus-4-8", "adaptive", False, True),
        ("claude-sonnet-5", "adaptive", False, False),
        ("claude-opus-5-5", "adaptive", False, True),
        ("claude-of-tomorrow", "adaptive", False, False),
    ],
)
def test_a_claude_takes_what_its_version_does(model, thinking, sampling, system_turns):
    traits = anthropic.messages_traits(model)

    assert traits.model == model
    assert (traits.thinking, traits.sampling, traits.system_turns) == (
        thinking,
        sampling,
        system_turns,
    )


def test_openrouter_takes_claudes_ways_for_claudes_alone():
    assert openrouter.messages_traits("anthropic/claude-opus-4.6").thinking == "adaptive"
    assert openrouter.messages_traits("openai/gpt-5").thinking == "enabled"


@pytest.mark.parametrize(
    ("model", "field", "reasoning", "replay"),
    [
        ("gpt-5-mini", "max_completion_tokens", "effort", "none"),
        ("openai/o3", "max_completion_tokens", "effort", "none"),
        ("gpt-4o", "max_completion_tokens", "none", "none"),
        ("deepseek-reasoner", "max_tokens", "none", "content"),
        ("Qwen/Qwen3-32B", "max_tokens", "effort", "content"),
        ("grok-4", "max_tokens", "effort", "none"),
        ("gemini-2.5-pro", "max_tokens", "effort", "none"),
        ("my-own-llama", "max_tokens", "none", "none"),
    ],
)
def test_compatible_servers_differ_by_the_model(model, field, reasoning, replay):
    traits = openai_compatible.traits(model)

    assert traits.model == model
    assert traits.max_tokens_field == field
    assert (traits.reasoning, traits.reasoning_replay) == (reasoning, replay)


def test_the_version_in_an_address_is_optional():
    for kind in KINDS.values():
        if kind.version_path:
            assert all(
                path.startswith((kind.version_path, "/api/", "/health"))
                for path in kind.paths.values()
            )


def test_only_litellm_proxy_tells_its_cost_in_a_header():
    assert litellm_proxy.KIND.cost_header == "x-litellm-response-cost"
    assert litellm_proxy.traits("claude-sonnet").cache_control
    assert not litellm_proxy.traits("gpt-5").cache_control


def test_openrouters_prices_of_long_prompts_become_tiers():
    prices = openrouter.read_prices(
        {
            "prompt": "0.00000125",
            "completion": "0.00001",
            "input_cache_read": "0.000000125",
            "image": "0.00516",
            "request": "0.001",
            "web_search": "0.01",
            "audio": "0",
            "discount": 0.5,
            "overrides": [
                {"min_prompt_tokens": 200001, "prompt": "0.0000025", "completion": "0.000015"},
                {"utc_start": "16:00", "utc_end": "00:00", "prompt": "0.000001"},
                {"min_prompt_tokens": 500000, "utc_start": "16:00", "prompt": "0.000001"},
                "odd",
            ],
        }
    )

    assert (prices.request_usd, prices.image_usd) == (Decimal("0.001"), Decimal("0.00516"))
    assert prices.tiers == (
        TierPrices(
            prompt_usd_per_mtok=Decimal("2.5"),
            completion_usd_per_mtok=Decimal(15),
            cache_read_usd_per_mtok=Decimal("0.125"),  # inherited
            prompt_tokens_above=200_000,
        ),
    )
    assert prices.untaken == ("web_search", "discount", "overrides")


def test_openrouters_prices_may_be_missing():
    assert openrouter.read_prices({}) == ModelPrices()

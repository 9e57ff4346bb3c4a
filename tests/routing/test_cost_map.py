"""What LiteLLM's cost map and proxy tell of models."""

import sys
from decimal import Decimal

import pytest

from routing.providers import KINDS, cost_map
from routing.providers.cost_map import CostMap, read_info, read_map, read_model_info
from routing.providers.facts import ModelPrices, TierPrices

SONNET = {
    "litellm_provider": "anthropic",
    "mode": "chat",
    "max_tokens": 64000,
    "max_input_tokens": 200000,
    "max_output_tokens": 64000,
    "input_cost_per_token": Decimal("3e-06"),
    "output_cost_per_token": Decimal("1.5e-05"),
    "cache_read_input_token_cost": Decimal("3e-07"),
    "cache_creation_input_token_cost": Decimal("3.75e-06"),
    "cache_creation_input_token_cost_above_1hr": Decimal("6e-06"),
    "supports_function_calling": True,
    "supports_vision": True,
    "supports_reasoning": True,
    "supports_prompt_caching": True,
}


def test_an_entry_is_read_exactly():
    facts = read_info("claude", SONNET)

    assert (facts.id, facts.context_window_tokens, facts.max_output_tokens) == (
        "claude",
        200000,
        64000,
    )
    assert facts.prices == ModelPrices(
        prompt_usd_per_mtok=Decimal(3),
        completion_usd_per_mtok=Decimal(15),
        cache_read_usd_per_mtok=Decimal("0.3"),
        cache_write_usd_per_mtok=Decimal("3.75"),
        cache_write_1h_usd_per_mtok=Decimal(6),
    )
    assert facts.takes_tools is facts.takes_images is facts.can_reason is facts.can_cache is True


@pytest.mark.parametrize(
    ("info", "window", "output"),
    [
        ({"max_tokens": 4096}, None, None),  # nobody knows which of the two it is
        ({"max_tokens": 8192, "max_input_tokens": 8192}, 8192, None),
        ({"max_tokens": 4096, "max_input_tokens": 8192}, 8192, 4096),
        ({"max_tokens": "odd", "max_input_tokens": None}, None, None),
        ({}, None, None),
    ],
)
def test_the_legacy_limit_is_the_output_where_it_is_less_than_the_window(info, window, output):
    facts = read_info("m", info)

    assert (facts.context_window_tokens, facts.max_output_tokens) == (window, output)
    assert facts.takes_tools is None


def test_the_first_name_that_the_map_has_is_taken_if_it_is_of_the_provider():
    book = CostMap(
        {
            "sample_spec": {"mode": "chat"},
            "claude": SONNET,
            "picture": {"mode": "image_generation", "litellm_provider": "openai"},
            "odd": "odd",
        }
    )

    assert book.names() == ["claude"]
    assert book.find("x/claude", (("x/claude", ""), ("claude", "x"))) is None
    found = book.find("anthropic/claude", (("anthropic/claude", ""), ("claude", "anthropic")))
    assert found is not None
    assert found.id == "anthropic/claude"
    assert book.find("picture", (("picture", ""),)) is None
    assert book.find("odd", (("odd", ""),)) is None


@pytest.mark.parametrize(
    ("kind", "address", "model", "window"),
    [
        ("anthropic", "", "claude-sonnet-4-5", 200000),
        ("litellm_sdk", "", "openai/gpt-4o", 128000),
        ("litellm_sdk", "", "gpt-4o", 128000),
        ("litellm_sdk", "", "hosted_vllm/gpt-4o", None),
        ("openai_compatible", "https://api.openai.com/v1", "gpt-4o", 128000),
        ("openai_compatible", "https://api.deepseek.com/v1", "deepseek-chat", 131072),
        ("openai_compatible", "http://127.0.0.1:8000/v1", "no/such-model", None),
    ],
)
def test_the_shipped_map_is_read_without_importing_the_package(kind, address, model, window):
    names = KINDS[kind].cost_map_names
    assert names is not None
    was_there = "litellm" in sys.modules
    facts = cost_map.shipped().find(model, names(address, model))

    assert (facts.context_window_tokens if facts else None) == window
    assert ("litellm" in sys.modules) == was_there


@pytest.mark.parametrize("content", [None, "odd", "[]"])
def test_without_a_map_nothing_is_known(monkeypatch, tmp_path, content):
    (tmp_path / "__init__.py").touch()
    if content is not None:
        (tmp_path / cost_map.FILE_NAME).write_text(content)

    class Spec:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(cost_map.importlib.util, "find_spec", lambda _name: Spec)
    assert cost_map.shipped().names() == []
    monkeypatch.setattr(cost_map.importlib.util, "find_spec", lambda _name: None)
    assert cost_map.shipped().names() == []


def test_a_proxy_tells_what_holds_for_all_its_deployments_of_a_name():
    entries = [
        {"model_name": "sonnet", "litellm_params": {"model": "anthropic/x"}, "model_info": SONNET},
        {"model_name": "sonnet", "model_info": {**SONNET, "max_input_tokens": 100000}},
        {"model_name": "mixed", "model_info": SONNET},
        {"model_name": "mixed", "model_info": {**SONNET, "supports_vision": None}},
        {
            "model_name": "mixed",
            "model_info": {**SONNET, "output_cost_per_token": Decimal("1e-05")},
        },
        {"model_name": "unpriced", "model_info": {"input_cost_per_token": 0}},
        {"model_name": "anthropic/*", "model_info": SONNET},
        {"model_name": "bare", "model_info": None},
        "odd",
    ]
    sonnet, mixed, unpriced, bare = read_model_info({"data": entries})

    assert (sonnet.id, sonnet.context_window_tokens) == ("sonnet", 100000)
    assert sonnet.prices.prompt_usd_per_mtok == 3
    assert (mixed.takes_images, mixed.takes_tools, mixed.prices) == (None, True, ModelPrices())
    assert unpriced.prices == ModelPrices()  # a proxy says 0 where it does not know
    assert bare.context_window_tokens is None


def test_prices_of_long_prompts_become_tiers():
    info = {
        **SONNET,
        "input_cost_per_token_above_200k_tokens": Decimal("6e-06"),
        "output_cost_per_token_above_200k_tokens": Decimal("2.25e-05"),
        "cache_read_input_token_cost_above_200k_tokens": Decimal("6e-07"),
        "cache_creation_input_token_cost_above_200k_tokens": Decimal("7.5e-06"),
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens": Decimal("1.2e-05"),
        "input_cost_per_token_above_1000000_tokens": Decimal("9e-06"),
        "input_cost_per_token_above_200k_tokens_batches": Decimal("3e-06"),
    }
    long, longest = read_info("claude", info).prices.tiers

    assert long == TierPrices(
        prompt_usd_per_mtok=Decimal(6),
        completion_usd_per_mtok=Decimal("22.5"),
        cache_read_usd_per_mtok=Decimal("0.6"),
        cache_write_usd_per_mtok=Decimal("7.5"),
        cache_write_1h_usd_per_mtok=Decimal(12),
        prompt_tokens_above=200_000,
    )
    # What is not told of a length is as for the length below.
    assert (longest.prompt_tokens_above, longest.prompt_usd_per_mtok) == (1_000_000, 9)
    assert (longest.completion_usd_per_mtok, longest.cache_read_usd_per_mtok) == (
        Decimal("22.5"),
        Decimal("0.6"),
    )


def test_a_tier_of_a_provider_that_counts_its_number_in_begins_one_token_earlier():
    info = {**SONNET, "input_cost_per_token_above_128k_tokens": Decimal("6e-06")}

    (tier,) = read_info("grok", {**info, "litellm_provider": "xai"}).prices.tiers
    assert tier.prompt_tokens_above == 127_999


def test_a_table_of_ranges_is_a_price_with_tiers():
    table = [
        {"input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06, "range": [256e3, 1e6]},
        {"input_cost_per_token": 5e-08, "range": [0, 256e3], "cache_read_input_token_cost": 1e-08},
        {"range": "odd"},
        {"range": [-1, 2]},
    ]
    info = {"tiered_pricing": table, "output_cost_per_token": Decimal("4e-07")}
    prices = read_info("qwen", info).prices

    assert prices.prompt_usd_per_mtok == Decimal("0.05")
    assert prices.completion_usd_per_mtok == Decimal("0.4")  # beside the table
    assert prices.cache_read_usd_per_mtok == Decimal("0.01")
    assert prices.tiers == (
        TierPrices(
            prompt_usd_per_mtok=Decimal("0.25"),
            completion_usd_per_mtok=Decimal(2),
            prompt_tokens_above=256_000,
        ),
    )


def test_a_table_without_a_range_is_none():
    info = {**SONNET, "tiered_pricing": [{"range": None}]}

    assert read_info("m", info).prices.prompt_usd_per_mtok == 3


def test_requests_and_images_have_a_price_and_what_is_not_taken_is_named():
    prices = read_info(
        "m",
        {
            **SONNET,
            "input_cost_per_request": Decimal("0.005"),
            "input_cost_per_image": Decimal("0.0011"),
            "input_cost_per_token_batches": Decimal("1.5e-06"),
            "input_cost_per_audio_token": 0,
            "search_context_cost_per_query": {"search_context_size_high": 0.01},
        },
    ).prices

    assert (prices.request_usd, prices.image_usd) == (Decimal("0.005"), Decimal("0.0011"))
    assert prices.untaken == ("input_cost_per_token_batches", "search_context_cost_per_query")


def test_a_map_may_come_from_a_file():
    assert read_map(b'{"m": {"mode": "chat"}}').names() == ["m"]
    for raw in (b"[]", b"{", b"\xff"):
        with pytest.raises(ValueError, match=r"an object|Expecting|decode"):
            read_map(raw)


def test_every_price_of_the_shipped_map_that_is_not_taken_is_of_a_known_sort():
    """A new sort of price in a new LiteLLM shows here, so that somebody decides about it."""
    sorts = (
        "_batches", "_priority", "_flex", "_balanced", "_ultrafast", "_decisions", "audio", "video", "image", "search",
        "grounding", "_per_second", "_per_query", "_per_character", "dbu", "off_peak", "citation", "_session", "explicit",
    )  # fmt: skip
    book = cost_map.shipped()
    found = {
        name
        for model in book.names()
        if (facts := book.find(model, [(model, "")]))
        for name in facts.prices.untaken
    }

    assert sorted(name for name in found if not any(sort in name for sort in sorts)) == []

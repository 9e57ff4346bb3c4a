"""OpenRouter's chat completions.

Facts: OpenRouter's documentation on chat completions, streaming, usage accounting, reasoning tokens, prompt
caching and errors (read 2026-11), and the recorded streams in ``tests/fixtures/recorded-streams``.
"""

from collections.abc import Mapping
from typing import Any

from conversion.anthropic_over_openai.errors import read_error
from conversion.dialects import Dialect
from conversion.traits import ChatTraits, MessagesTraits
from routing.providers import anthropic
from routing.providers.facts import (
    RATES,
    ModelFacts,
    ModelPrices,
    ProviderState,
    TierPrices,
    TokenPrices,
    count_in,
    entries_of,
    per_mtok,
    tier_over,
    usd_in,
)
from routing.providers.kind import ProviderKind, bearer

PRICES = {
    "prompt",
    "completion",
    "input_cache_read",
    "input_cache_write",
    "input_cache_write_1h",
    "internal_reasoning",
    "request",
    "image",
}
"""What is taken of ``pricing`` and of its ``overrides`` (OpenRouter's API reference, Pricing and PricingOverride, read
November 2026); beside it are audio, images of answers, searches of the web and discounts of single endpoints."""


def traits(model: str) -> ChatTraits:
    """What OpenRouter takes for a model: it normalises most, caching marks only help some vendors."""
    return ChatTraits(
        model=model,
        reasoning="openrouter",
        efforts=("minimal", "low", "medium", "high", "xhigh", "max"),
        reasoning_replay="details",
        cache_control=model.startswith(("anthropic/", "google/", "~anthropic/", "~google/")),
        top_k=True,
        pdf_files=True,
        web_search_plugin=True,
        user_field="user",
        # Deprecated without effect there: the last chunk carries the usage anyway.
        stream_usage_option=True,
    )


def messages_traits(model: str) -> MessagesTraits:
    """What OpenRouter takes in Anthropic's dialect: for a Claude what Anthropic does, for others the plain dialect."""
    is_claude = "claude" in model
    return anthropic.messages_traits(model) if is_claude else MessagesTraits(model=model)


def read_models(body: Any) -> list[ModelFacts]:
    """``GET /models``: with prices, which are text and per token, and the parameters that each model takes."""
    facts = []
    for entry in entries_of(body):
        pricing = entry.get("pricing")
        pricing = pricing if isinstance(pricing, dict) else {}
        top = entry.get("top_provider")
        architecture = entry.get("architecture")
        inputs = (
            _words(architecture.get("input_modalities")) if isinstance(architecture, dict) else ()
        )
        parameters = _words(entry.get("supported_parameters"))
        writes_cache = per_mtok(pricing, "input_cache_write") or per_mtok(
            pricing, "input_cache_read"
        )
        facts.append(
            ModelFacts(
                id=entry["id"],
                name=str(entry.get("name") or ""),
                context_window_tokens=count_in(entry, "context_length"),
                max_output_tokens=count_in(top, "max_completion_tokens")
                if isinstance(top, dict)
                else None,
                parameters=parameters,
                inputs=inputs,
                takes_tools="tools" in parameters if parameters else None,
                takes_images="image" in inputs if inputs else None,
                can_reason="reasoning" in parameters if parameters else None,
                can_cache=True if writes_cache else None,
                prices=read_prices(pricing),
            )
        )
    return facts


def read_prices(pricing: Mapping[str, Any]) -> ModelPrices:
    """The ``pricing`` of a model. An override that depends on more than the prompt's length (a time of day) is not taken."""
    base = _rates(pricing)
    tiers: list[TierPrices] = []
    untaken = [name for name in pricing if name not in PRICES and usd_in(pricing, name)]
    overrides = pricing.get("overrides")
    for override in overrides if isinstance(overrides, list) else ():
        tokens_min = count_in(override, "min_prompt_tokens") if isinstance(override, dict) else None
        if tokens_min is None or not override.keys() <= PRICES | {"min_prompt_tokens"}:
            untaken.append("overrides")
        else:
            # "At least" there is "above one less" here. Keys that are absent inherit the price without overrides.
            tiers.append(tier_over(base, tokens_min - 1, _rates(override)))
    return ModelPrices(
        **{name: getattr(base, name) for name in RATES},
        request_usd=usd_in(pricing, "request"),
        image_usd=usd_in(pricing, "image"),
        tiers=tuple(sorted(tiers, key=lambda tier: tier.prompt_tokens_above)),
        untaken=tuple(dict.fromkeys(untaken)),
    )


def _rates(pricing: Mapping[str, Any]) -> TokenPrices:
    return TokenPrices(
        prompt_usd_per_mtok=per_mtok(pricing, "prompt"),
        completion_usd_per_mtok=per_mtok(pricing, "completion"),
        cache_read_usd_per_mtok=per_mtok(pricing, "input_cache_read"),
        cache_write_usd_per_mtok=per_mtok(pricing, "input_cache_write"),
        cache_write_1h_usd_per_mtok=per_mtok(pricing, "input_cache_write_1h"),
        reasoning_usd_per_mtok=per_mtok(pricing, "internal_reasoning"),
    )


def read_health(body: Any) -> ProviderState:
    """``GET /key``: whether the key works, and what it may still spend. A key without a limit has no figure there."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        return ProviderState(problem="the answer about the key cannot be read")
    left = usd_in(data, "limit_remaining")
    is_spent = data.get("limit_remaining") is not None and not left
    label = "free tier" if data.get("is_free_tier") else "paid"
    problem = "the key has no credit left" if is_spent else ""
    return ProviderState(problem=problem, detail=label, credit_usd=left)


def read_credits(body: Any) -> ProviderState:
    """``GET /credits``: what the account has left; only a management key may ask."""
    data = body.get("data") if isinstance(body, dict) else None
    total, used = usd_in(data, "total_credits"), usd_in(data, "total_usage")
    if total is None or used is None:
        return ProviderState(problem="the answer about the credits cannot be read")
    left = total - used
    return ProviderState(
        problem="" if left > 0 else "the account has no credit left", credit_usd=max(left, 0 * left)
    )


def _words(value: Any) -> tuple[str, ...]:
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


KIND = ProviderKind(
    name="openrouter",
    label="OpenRouter",
    needs="Hundreds of models of all vendors behind one account. It needs an API key, made at openrouter.ai/keys.",
    base_url="https://openrouter.ai/api/v1",
    paths={
        Dialect.OPENAI_CHAT: "/chat/completions",
        Dialect.ANTHROPIC_MESSAGES: "/messages",
        Dialect.OPENAI_COMPLETIONS: "/completions",
        Dialect.OPENAI_EMBEDDINGS: "/embeddings",
    },
    credential_headers=bearer,
    # Which app OpenRouter attributes the requests to: the client's own, if it says so.
    fixed_headers=(("x-title", "llmgateway"),),
    client_headers=(
        "http-referer",
        "x-title",
        "x-openrouter-title",
        "x-openrouter-categories",
        "x-session-id",
    ),
    traits=traits,
    read_error=read_error,
    messages_traits=messages_traits,
    health_path="/key",
    read_health=read_health,
    credits_path="/credits",
    read_credits=read_credits,
    models_path="/models",
    read_models=read_models,
    id_header="x-generation-id",
)

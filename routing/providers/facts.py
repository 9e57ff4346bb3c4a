"""What providers tell of themselves: their models, and whether they and the credential work."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any

TOKENS_PER_MTOK = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """USD per million tokens; None where the provider does not say."""

    prompt_usd_per_mtok: Decimal | None = None
    completion_usd_per_mtok: Decimal | None = None
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None
    cache_write_1h_usd_per_mtok: Decimal | None = None
    reasoning_usd_per_mtok: Decimal | None = None


RATES = tuple(entry.name for entry in fields(TokenPrices))


@dataclass(frozen=True, slots=True)
class TierPrices(TokenPrices):
    """What all tokens of a request cost instead, once its prompt has more tokens than ``prompt_tokens_above``."""

    prompt_tokens_above: int = 0


@dataclass(frozen=True, slots=True)
class ModelPrices(TokenPrices):
    """The prices of a model, also per request and per image of the prompt. ``tiers`` are in order, shortest first.

    ``untaken`` names what the provider tells of prices beside that: of batches and priorities, say.
    """

    request_usd: Decimal | None = None
    image_usd: Decimal | None = None
    tiers: tuple[TierPrices, ...] = ()
    untaken: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model of a provider's list; None or empty where the list does not say.

    ``parameters`` are the request fields it takes, ``inputs`` the kinds of content (text, image, file, audio).
    ``state`` is a word on where it is: ``loaded`` in memory, ``pulled`` to disk (Ollama). ``can_cache``: it takes
    cache marks, or caches prompts by itself.
    """

    id: str
    name: str = ""
    context_window_tokens: int | None = None
    max_output_tokens: int | None = None
    parameters: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    prices: ModelPrices = field(default_factory=ModelPrices)
    state: str = ""
    takes_tools: bool | None = None
    takes_images: bool | None = None
    can_reason: bool | None = None
    can_cache: bool | None = None


def filled_up(facts: ModelFacts, more: ModelFacts) -> ModelFacts:
    """The facts, and where they say nothing what ``more`` says of the same model."""
    empty = ("", (), None, ModelPrices())
    names = (entry.name for entry in fields(ModelFacts))
    missing = {name: getattr(more, name) for name in names if getattr(facts, name) in empty}
    return replace(facts, **missing)


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What a look at a provider found. ``problem`` is empty when all is well; no field holds a secret.

    ``credit_usd`` is what the credential may still spend; None where the provider does not tell, or sets no limit.
    ``error`` is the name of our error behind the problem, where there was one; it is not kept with the rest.
    """

    problem: str = ""
    detail: str = ""
    credit_usd: Decimal | None = None
    latency_ms: int | None = None
    error: str = field(default="", compare=False)


def tier_over(lower: TokenPrices, prompt_tokens_above: int, told: TokenPrices) -> TierPrices:
    """A tier with what is told of it, and where nothing is, what holds for shorter prompts."""
    rates = {
        name: getattr(lower, name) if (rate := getattr(told, name)) is None else rate
        for name in RATES
    }
    return TierPrices(**rates, prompt_tokens_above=prompt_tokens_above)


def read_openai_models(body: Any) -> list[ModelFacts]:
    """OpenAI's list of models, with what vLLM, LiteLLM and llama.cpp put beside it."""
    return [
        ModelFacts(
            id=entry["id"],
            context_window_tokens=count_in(
                entry, "max_model_len", "context_length", "max_input_tokens"
            ),
            max_output_tokens=count_in(entry, "max_output_tokens", "max_tokens"),
        )
        for entry in entries_of(body)
    ]


def entries_of(body: Any, key: str = "data", name: str = "id") -> list[dict[str, Any]]:
    """The objects of a list that have a name; whatever else is there is passed over."""
    rows = body.get(key) if isinstance(body, dict) else body
    if not isinstance(rows, list):
        return []
    return [
        row
        for row in rows
        if isinstance(row, dict) and isinstance(row.get(name), str) and row[name]
    ]


def count_in(entry: Mapping[str, Any], *names: str) -> int | None:
    """The first of these members that is a positive whole number."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def usd_in(entry: Any, name: str) -> Decimal | None:
    """A sum of money, exact; None for what is none (OpenRouter writes -1 where a price varies)."""
    value = entry.get(name) if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def per_mtok(entry: Any, name: str) -> Decimal | None:
    """A price per token as one per million tokens."""
    amount = usd_in(entry, name)
    return None if amount is None else (amount * TOKENS_PER_MTOK).normalize()

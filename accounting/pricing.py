"""What usage costs: pure arithmetic on decimals. An unknown price is "unpriced", never zero."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from accounting.models.money import to_pico
from conversion.usage import Usage

CostSource = Literal["provider", "price_book", "unpriced"]
MTOK = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What each sort of token costs; what the price book leaves empty is filled in already.

    The ``dearest`` are what a million tokens of the prompt or of the answer cost at most, be they read from a cache,
    written to one, or thought, in whole picodollars: every request under a budget asks for them.
    """

    prompt_usd_per_mtok: Decimal
    completion_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal
    cache_write_5m_usd_per_mtok: Decimal
    cache_write_1h_usd_per_mtok: Decimal
    reasoning_usd_per_mtok: Decimal
    dearest_prompt_pico_per_mtok: int = field(init=False, repr=False, compare=False)
    dearest_completion_pico_per_mtok: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find the dearest."""
        prompt = max(
            self.prompt_usd_per_mtok,
            self.cache_read_usd_per_mtok,
            self.cache_write_5m_usd_per_mtok,
            self.cache_write_1h_usd_per_mtok,
        )
        completion = max(self.completion_usd_per_mtok, self.reasoning_usd_per_mtok)
        object.__setattr__(self, "dearest_prompt_pico_per_mtok", to_pico(prompt))
        object.__setattr__(self, "dearest_completion_pico_per_mtok", to_pico(completion))


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRates(Rates):
    """The rates of all tokens of a request whose prompt is longer than ``prompt_tokens_above``.

    The prompt with its cache reads and writes is what counts, and the answer costs more, too: Anthropic's page on
    prices (long context: above 200,000 input tokens) and Google's on Gemini's (prompts above 200k), read November 2026.
    """

    prompt_tokens_above: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTag(Rates):
    """The prices of one model from a moment on. ``tiers`` are in order, the longest prompts first."""

    pk: int
    valid_from_at: datetime
    request_usd: Decimal
    image_usd: Decimal = Decimal(0)
    tiers: tuple[TierRates, ...] = ()

    def rates_for(self, prompt_tokens: int) -> Rates:
        """The rates of a request with a prompt of so many tokens, cache reads and writes included."""
        for tier in self.tiers:
            if prompt_tokens > tier.prompt_tokens_above:
                return tier
        return self


class Cost(msgspec.Struct, frozen=True):
    """An amount and who says so; ``price_pk`` is the price book's row where it was that."""

    amount_usd: Decimal | None
    source: CostSource
    price_pk: int | None = None


UNPRICED = Cost(amount_usd=None, source="unpriced")


def _cached_in(usage: Usage) -> tuple[int, int, int]:
    """Prompt tokens that were read from a cache, written to one for 5 minutes, and for 1 hour."""
    written_1h = usage.cache_write_1h_tokens or 0
    written_5m = max(0, (usage.cache_write_tokens or 0) - written_1h)
    return usage.cache_read_tokens or 0, written_5m, written_1h


def cost_of(usage: Usage, price: PriceTag | None, *, images: int | None = 0) -> Cost:
    """Cost in USD: the provider's own figure where it gave one, else from the price.

    Unpriced when there is neither, or when the tokens are not known; also when each of the prompt's ``images``
    costs something and their number is not known.
    """
    if usage.cost_usd is not None:
        return Cost(amount_usd=usage.cost_usd, source="provider")
    if price is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return UNPRICED
    if images is None and price.image_usd:
        return UNPRICED
    read, written_5m, written_1h = _cached_in(usage)
    reasoning = usage.reasoning_tokens or 0
    uncached = max(0, usage.prompt_tokens - read - written_5m - written_1h)
    spoken = max(0, usage.completion_tokens - reasoning)
    rates = price.rates_for(usage.prompt_tokens)
    usd_mtok = (
        uncached * rates.prompt_usd_per_mtok
        + read * rates.cache_read_usd_per_mtok
        + written_5m * rates.cache_write_5m_usd_per_mtok
        + written_1h * rates.cache_write_1h_usd_per_mtok
        + spoken * rates.completion_usd_per_mtok
        + reasoning * rates.reasoning_usd_per_mtok
    )
    return Cost(
        amount_usd=usd_mtok / MTOK + price.request_usd + (images or 0) * price.image_usd,
        source="price_book",
        price_pk=price.pk,
    )


def cache_saved_usd(usage: Usage, price: PriceTag | None) -> Decimal | None:
    """What the same prompt would have cost more without caches, by the price; less than 0 where writes cost more.

    None where that cannot be known: without a price, without a count of the prompt, or where the provider told
    nothing of caches. The provider's own figure does not matter here.
    """
    told = (usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens)
    if price is None or usage.prompt_tokens is None or told == (None, None, None):
        return None
    read, written_5m, written_1h = _cached_in(usage)
    rates = price.rates_for(usage.prompt_tokens)
    plain = rates.prompt_usd_per_mtok
    usd_mtok = (
        read * (plain - rates.cache_read_usd_per_mtok)
        + written_5m * (plain - rates.cache_write_5m_usd_per_mtok)
        + written_1h * (plain - rates.cache_write_1h_usd_per_mtok)
    )
    return usd_mtok / MTOK


def worst_pico(
    prompt_tokens: int, completion_tokens: int, images: int, price: PriceTag | None
) -> int | None:
    """The most that a request with at most so many tokens and images can cost, in picodollars; None without a price.

    Each token at the dearest rate of its kind, be it read from a cache, written to one, or thought; by the dearest
    of the tiers that a prompt up to this length can fall into.
    """
    if price is None:
        return None
    pico_mtok = _dearest(price, prompt_tokens, completion_tokens)
    for tier in price.tiers:
        if prompt_tokens > tier.prompt_tokens_above:
            pico_mtok = max(pico_mtok, _dearest(tier, prompt_tokens, completion_tokens))
    worst = -(-pico_mtok // MTOK)
    if price.request_usd or images:
        worst += to_pico(price.request_usd + images * price.image_usd)
    return worst


def _dearest(rates: Rates, prompt_tokens: int, completion_tokens: int) -> int:
    return (
        prompt_tokens * rates.dearest_prompt_pico_per_mtok
        + completion_tokens * rates.dearest_completion_pico_per_mtok
    )

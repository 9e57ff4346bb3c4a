"""What usage costs: pure arithmetic on decimals. An unknown price is "unpriced", never zero."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from conversion.usage import Usage

CostSource = Literal["provider", "price_book", "unpriced"]
MTOK = 1_000_000


@dataclass(frozen=True, slots=True)
class PriceTag:
    """The prices of one model from a moment on; what the price book leaves empty is filled in already."""

    pk: int
    valid_from_at: datetime
    prompt_usd_per_mtok: Decimal
    completion_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal
    cache_write_5m_usd_per_mtok: Decimal
    cache_write_1h_usd_per_mtok: Decimal
    reasoning_usd_per_mtok: Decimal
    request_usd: Decimal


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount and who says so; ``price_pk`` is the price book's row where it was that."""

    amount_usd: Decimal | None
    source: CostSource
    price_pk: int | None = None


UNPRICED = Cost(amount_usd=None, source="unpriced")


def cost_of(usage: Usage, price: PriceTag | None) -> Cost:
    """Cost in USD: the provider's own figure where it gave one, else from the price.

    Unpriced when there is neither, or when the tokens are not known.
    """
    if usage.cost_usd is not None:
        return Cost(amount_usd=usage.cost_usd, source="provider")
    if price is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return UNPRICED
    cache_read = usage.cache_read_tokens or 0
    cache_write_1h = usage.cache_write_1h_tokens or 0
    cache_write_5m = max(0, (usage.cache_write_tokens or 0) - cache_write_1h)
    reasoning = usage.reasoning_tokens or 0
    uncached = max(0, usage.prompt_tokens - cache_read - cache_write_5m - cache_write_1h)
    spoken = max(0, usage.completion_tokens - reasoning)
    usd_mtok = (
        uncached * price.prompt_usd_per_mtok
        + cache_read * price.cache_read_usd_per_mtok
        + cache_write_5m * price.cache_write_5m_usd_per_mtok
        + cache_write_1h * price.cache_write_1h_usd_per_mtok
        + spoken * price.completion_usd_per_mtok
        + reasoning * price.reasoning_usd_per_mtok
    )
    return Cost(
        amount_usd=usd_mtok / MTOK + price.request_usd,
        source="price_book",
        price_pk=price.pk,
    )

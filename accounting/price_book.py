"""The price book's rows as tags to reckon with: what a price leaves empty is filled in, and its tiers are beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from operator import attrgetter

from accounting.models import Price, PriceTier
from accounting.pricing import PriceTag, Rates, TierRates

RATES = tuple(entry.name for entry in fields(Rates) if entry.init)
_amounts = attrgetter(*RATES)

Tags = Mapping[tuple[str, str], tuple[PriceTag, ...]]
"""By provider and upstream model; those of a model newest first."""


def read_tags() -> Tags:
    """All prices. Two queries, however many there are."""
    tiers: dict[int, list[TierRates]] = {}
    for tier in PriceTier.objects.order_by("-prompt_tokens_above"):
        tiers.setdefault(tier.price_id, []).append(_tier(tier))
    tags: dict[tuple[str, str], list[PriceTag]] = {}
    for price in Price.objects.order_by("-valid_from_at"):
        tag = _tag(price, tiers.get(price.pk, ()))
        tags.setdefault((price.provider, price.upstream_model), []).append(tag)
    return {model: tuple(of_model) for model, of_model in tags.items()}


def tag_of(price: Price) -> PriceTag:
    """The tag of one price. One query."""
    return _tag(price, [_tier(tier) for tier in price.tiers.order_by("-prompt_tokens_above")])


def _tag(price: Price, tiers: Sequence[TierRates]) -> PriceTag:
    return PriceTag(
        pk=price.pk,
        valid_from_at=price.valid_from_at,
        request_usd=price.request_usd,
        image_usd=price.image_usd,
        tiers=tuple(tiers),
        **_rates(price),
    )


def _tier(tier: PriceTier) -> TierRates:
    return TierRates(prompt_tokens_above=tier.prompt_tokens_above, **_rates(tier))


def price_at(tags: Tags, provider: str, upstream_model: str, moment: datetime) -> PriceTag | None:
    """The price in force at the moment, None when there is none."""
    for tag in tags.get((provider, upstream_model), ()):
        if tag.valid_from_at <= moment:
            return tag
    return None


def _rates(row: Price | PriceTier) -> dict[str, Decimal]:
    """Each rate, with what an empty one stands for: the prompt's, that for 5 minutes, or the completion's."""
    prompt, completion, read, write_5m, write_1h, reasoning = _amounts(row)
    write_5m = prompt if write_5m is None else write_5m
    return {
        "prompt_usd_per_mtok": prompt,
        "completion_usd_per_mtok": completion,
        "cache_read_usd_per_mtok": prompt if read is None else read,
        "cache_write_5m_usd_per_mtok": write_5m,
        "cache_write_1h_usd_per_mtok": write_5m if write_1h is None else write_1h,
        "reasoning_usd_per_mtok": completion if reasoning is None else reasoning,
    }

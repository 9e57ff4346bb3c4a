"""The price book's rows as tags: what is empty is filled in, and everything is read at once."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounting import price_book, snapshot
from accounting.models import Price, PriceTier
from accounting.pricing import TierRates
from tests.factories.accounting import make_price

pytestmark = pytest.mark.django_db

JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def test_tiers_are_filled_in_as_prices_are_and_the_longest_comes_first():
    price = make_price(cache_read_usd_per_mtok=Decimal("0.3"), image_usd=Decimal("0.002"))
    PriceTier.objects.create(
        price=price,
        prompt_tokens_above=200_000,
        prompt_usd_per_mtok=Decimal(6),
        completion_usd_per_mtok=Decimal("22.5"),
        cache_write_5m_usd_per_mtok=Decimal("7.5"),
    )
    PriceTier.objects.create(
        price=price,
        prompt_tokens_above=500_000,
        prompt_usd_per_mtok=Decimal(9),
        completion_usd_per_mtok=Decimal(30),
    )

    tag = price_book.price_at(price_book.read_tags(), "openrouter", "model", JUNE)

    assert tag is not None
    assert tag.image_usd == Decimal("0.002")
    assert [tier.prompt_tokens_above for tier in tag.tiers] == [500_000, 200_000]
    assert tag.rates_for(200_001) == TierRates(
        prompt_tokens_above=200_000,
        prompt_usd_per_mtok=Decimal(6),
        completion_usd_per_mtok=Decimal("22.5"),
        cache_read_usd_per_mtok=Decimal(6),  # as the tier's prompt, not as the price's cache read
        cache_write_5m_usd_per_mtok=Decimal("7.5"),
        cache_write_1h_usd_per_mtok=Decimal("7.5"),
        reasoning_usd_per_mtok=Decimal("22.5"),
    )


def test_any_number_of_prices_and_tiers_is_read_with_two_queries(django_assert_num_queries):
    for number in range(5):
        price = make_price(upstream_model=f"model-{number}")
        PriceTier.objects.create(
            price=price,
            prompt_tokens_above=200_000,
            prompt_usd_per_mtok=Decimal(6),
            completion_usd_per_mtok=Decimal(30),
        )

    with django_assert_num_queries(2):
        tags = price_book.read_tags()

    assert [len(tag.tiers) for of_model in tags.values() for tag in of_model] == [1] * 5


def test_a_tier_that_is_saved_or_deleted_counts_the_version_up():
    price = make_price()
    before = snapshot.version()
    tier = PriceTier.objects.create(
        price=price,
        prompt_tokens_above=1,
        prompt_usd_per_mtok=Decimal(6),
        completion_usd_per_mtok=Decimal(30),
    )
    tier.delete()

    assert snapshot.version() == before + 2
    assert Price.objects.count() == 1


def test_the_tag_of_one_price_is_the_books():
    price = make_price(cache_write_5m_usd_per_mtok=Decimal("3.75"))
    for above in (200_000, 500_000):
        PriceTier.objects.create(
            price=price,
            prompt_tokens_above=above,
            prompt_usd_per_mtok=Decimal(6),
            completion_usd_per_mtok=Decimal(30),
        )

    assert (price_book.tag_of(price),) == price_book.read_tags()["openrouter", "model"]

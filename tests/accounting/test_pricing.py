"""What usage costs, down to the last digit."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounting.pricing import UNPRICED, PriceTag, cost_of
from conversion.usage import Usage

PRICE = PriceTag(
    pk=7,
    valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
    prompt_usd_per_mtok=Decimal(3),
    completion_usd_per_mtok=Decimal(15),
    cache_read_usd_per_mtok=Decimal("0.3"),
    cache_write_5m_usd_per_mtok=Decimal("3.75"),
    cache_write_1h_usd_per_mtok=Decimal(6),
    reasoning_usd_per_mtok=Decimal(20),
    request_usd=Decimal("0.01"),
)


def test_the_price_book_prices_prompt_and_completion():
    cost = cost_of(Usage(prompt_tokens=100, completion_tokens=10), PRICE)

    # (100 * 3 + 10 * 15) / 1 000 000 + 0.01 for the request
    assert cost.amount_usd == Decimal("0.01045")
    assert cost.source == "price_book"
    assert cost.price_pk == 7


def test_every_sort_of_token_has_its_own_price():
    usage = Usage(
        prompt_tokens=1000,  # 600 uncached + 200 read + 150 written for 5 minutes + 50 for 1 hour
        completion_tokens=100,  # 60 spoken + 40 thought
        cache_read_tokens=200,
        cache_write_tokens=200,  # 150 + 50
        cache_write_1h_tokens=50,
        reasoning_tokens=40,
    )

    # 600*3 + 200*0.3 + 150*3.75 + 50*6 + 60*15 + 40*20 = 4422.5
    assert cost_of(usage, PRICE).amount_usd == Decimal("0.0044225") + Decimal("0.01")


def test_the_providers_own_figure_rules():
    usage = Usage(prompt_tokens=100, completion_tokens=10, cost_usd=Decimal("0.000123456789"))

    cost = cost_of(usage, PRICE)

    assert cost.amount_usd == Decimal("0.000123456789")
    assert cost.source == "provider"
    assert cost.price_pk is None


def test_a_cost_of_zero_told_by_the_provider_is_a_cost():
    cost = cost_of(Usage(cost_usd=Decimal(0)), None)

    assert cost.amount_usd == 0
    assert cost.source == "provider"


@pytest.mark.parametrize(
    ("usage", "price"),
    [
        (Usage(prompt_tokens=100, completion_tokens=10), None),
        (Usage(prompt_tokens=None, completion_tokens=10), PRICE),
        (Usage(prompt_tokens=100, completion_tokens=None), PRICE),
        (Usage(), PRICE),
    ],
)
def test_what_is_not_known_is_unpriced_and_not_zero(usage, price):
    cost = cost_of(usage, price)

    assert cost is UNPRICED
    assert cost.amount_usd is None


def test_parts_larger_than_their_whole_are_not_subtracted_below_zero():
    usage = Usage(prompt_tokens=10, completion_tokens=5, cache_read_tokens=20, reasoning_tokens=8)

    # 20 read * 0.3 + 8 thought * 20 = 166, nothing for the rest
    assert cost_of(usage, PRICE).amount_usd == Decimal("0.000166") + Decimal("0.01")


def test_a_write_told_only_for_the_hour_is_not_subtracted_from_the_five_minutes():
    usage = Usage(prompt_tokens=100, completion_tokens=0, cache_write_1h_tokens=40)

    # 60 uncached * 3 + 40 written for 1 hour * 6 = 420
    assert cost_of(usage, PRICE).amount_usd == Decimal("0.00042") + Decimal("0.01")

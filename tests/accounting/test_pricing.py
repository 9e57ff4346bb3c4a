"""What usage costs, down to the last digit."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.models.money import to_pico
from accounting.pricing import (
    UNPRICED,
    PriceTag,
    Rates,
    TierRates,
    cache_saved_usd,
    cost_of,
    worst_pico,
)
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
LONG = TierRates(
    prompt_tokens_above=200_000,
    prompt_usd_per_mtok=Decimal(6),
    completion_usd_per_mtok=Decimal("22.5"),
    cache_read_usd_per_mtok=Decimal("0.6"),
    cache_write_5m_usd_per_mtok=Decimal("7.5"),
    cache_write_1h_usd_per_mtok=Decimal(12),
    reasoning_usd_per_mtok=Decimal("22.5"),
)
LONGEST = replace(LONG, prompt_tokens_above=500_000, prompt_usd_per_mtok=Decimal(9))
TIERED = replace(PRICE, request_usd=Decimal(0), tiers=(LONGEST, LONG))


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


@pytest.mark.parametrize(
    ("prompt_tokens", "usd"),
    [
        (200_000, "0.60015"),  # 200 000 * 3 + 10 * 15: not longer than the tier's limit
        (200_001, "1.200231"),  # 200 001 * 6 + 10 * 22.5
        (500_000, "3.000225"),
        (500_001, "4.500234"),  # 500 001 * 9 + 10 * 22.5
    ],
)
def test_all_tokens_of_a_long_prompts_request_cost_what_its_tier_says(prompt_tokens, usd):
    cost = cost_of(Usage(prompt_tokens=prompt_tokens, completion_tokens=10), TIERED)

    assert cost.amount_usd == Decimal(usd)
    assert cost.price_pk == 7


def test_cache_reads_and_writes_count_for_the_length_of_a_prompt():
    usage = Usage(
        prompt_tokens=200_001,  # 1 uncached + 150 000 read + 40 000 for 5 minutes + 10 000 for 1 hour
        completion_tokens=100,  # 60 spoken + 40 thought
        cache_read_tokens=150_000,
        cache_write_tokens=50_000,
        cache_write_1h_tokens=10_000,
        reasoning_tokens=40,
    )

    # 1*6 + 150 000*0.6 + 40 000*7.5 + 10 000*12 + 100*22.5 = 512 256
    assert cost_of(usage, TIERED).amount_usd == Decimal("0.512256")


def test_images_cost_beside_the_tokens():
    price = replace(PRICE, image_usd=Decimal("0.002"))
    usage = Usage(prompt_tokens=100, completion_tokens=10)

    # 0.01045 as without images, and 3 * 0.002
    assert cost_of(usage, price, images=3).amount_usd == Decimal("0.01645")
    assert cost_of(usage, price).amount_usd == Decimal("0.01045")


def test_images_that_nobody_counted_leave_a_request_unpriced_where_they_cost_something():
    usage = Usage(prompt_tokens=100, completion_tokens=10)

    assert cost_of(usage, replace(PRICE, image_usd=Decimal("0.002")), images=None) is UNPRICED
    assert cost_of(usage, PRICE, images=None).amount_usd == Decimal("0.01045")


def test_caches_save_what_the_prompt_would_have_cost_more_without_them():
    usage = Usage(
        prompt_tokens=1000,
        completion_tokens=100,
        cache_read_tokens=200,
        cache_write_tokens=200,  # 150 + 50
        cache_write_1h_tokens=50,
        cost_usd=Decimal("0.5"),  # the provider's own figure does not matter
    )
    plain = Usage(prompt_tokens=1000, completion_tokens=100, cache_read_tokens=0)

    # 200*(3-0.3) + 150*(3-3.75) + 50*(3-6) = 540 - 112.5 - 150
    assert cache_saved_usd(usage, PRICE) == Decimal("0.0002775")
    assert cache_saved_usd(plain, PRICE) == 0


def test_writes_that_nothing_was_read_from_have_saved_less_than_nothing():
    usage = Usage(prompt_tokens=1000, completion_tokens=1, cache_write_tokens=1000)

    assert cache_saved_usd(usage, PRICE) == Decimal("-0.00075")  # 1000 * (3 - 3.75)


def test_what_caches_save_is_told_by_the_tier_of_the_prompt():
    usage = Usage(prompt_tokens=300_000, completion_tokens=1, cache_read_tokens=200_000)

    assert cache_saved_usd(usage, TIERED) == Decimal("1.08")  # 200 000 * (6 - 0.6)


@pytest.mark.parametrize(
    ("usage", "price"),
    [
        (Usage(prompt_tokens=100, cache_read_tokens=10), None),
        (Usage(cache_read_tokens=10), PRICE),
        (Usage(prompt_tokens=100, completion_tokens=10), PRICE),
    ],
    ids=["no price", "no prompt", "nothing told of caches"],
)
def test_what_caches_saved_may_be_unknown(usage, price):
    assert cache_saved_usd(usage, price) is None


def test_the_worst_cost_takes_the_dearest_way_for_every_token():
    # 1000 * 6 for writes of 1 hour, 100 * 20 for thoughts, 0.01 for the request
    assert worst_pico(1000, 100, 0, PRICE) == to_pico(Decimal("0.008") + Decimal("0.01"))


def test_the_worst_cost_of_a_long_prompt_is_that_of_the_dearest_tier_in_reach():
    # 300 000 * 12 + 100 * 22.5
    assert worst_pico(300_000, 100, 0, TIERED) == to_pico(Decimal("3.60225"))
    # 200 000 * 6 + 100 * 20: the tier is out of reach
    assert worst_pico(200_000, 100, 0, TIERED) == to_pico(Decimal("1.202"))


def test_the_worst_cost_sees_that_a_shorter_prompt_may_be_dearer():
    cheap = replace(
        LONG,
        prompt_usd_per_mtok=Decimal(1),
        cache_write_5m_usd_per_mtok=Decimal(1),
        cache_write_1h_usd_per_mtok=Decimal(1),
    )

    # 300 000 * 6 + 0 by the price itself
    assert worst_pico(300_000, 0, 0, replace(TIERED, tiers=(cheap,))) == to_pico(Decimal("1.8"))


def test_the_worst_cost_counts_images_and_is_unknown_without_a_price():
    price = replace(PRICE, image_usd=Decimal("0.002"))

    assert worst_pico(0, 0, 3, price) == to_pico(Decimal("0.016"))
    assert worst_pico(1000, 100, 3, None) is None


counts = st.integers(0, 700_000)
rates = st.decimals(0, 100, places=4)


@st.composite
def tags(draw) -> PriceTag:
    names = [entry.name for entry in fields(Rates) if entry.init]
    tiers = tuple(
        TierRates(prompt_tokens_above=above, **{name: draw(rates) for name in names})
        for above in sorted(draw(st.sets(counts, max_size=3)), reverse=True)
    )
    amounts = {name: draw(rates) for name in (*names, "request_usd", "image_usd")}
    return replace(PRICE, tiers=tiers, **amounts)


@given(
    price=tags(),
    prompt=st.tuples(counts, counts, counts, counts),
    spoken=counts,
    thought=counts,
    images=st.integers(0, 20),
    spare=st.integers(0, 1000),
)
def test_nothing_within_its_bounds_costs_more_than_the_worst_cost(
    price, prompt, spoken, thought, images, spare
):
    _uncached, read, written_5m, written_1h = prompt
    usage = Usage(
        prompt_tokens=sum(prompt),
        completion_tokens=spoken + thought,
        cache_read_tokens=read,
        cache_write_tokens=written_5m + written_1h,
        cache_write_1h_tokens=written_1h,
        reasoning_tokens=thought,
    )
    bare = Usage(
        prompt_tokens=sum(prompt), completion_tokens=spoken + thought, reasoning_tokens=thought
    )

    cost = cost_of(usage, price, images=images).amount_usd
    worst = worst_pico(sum(prompt) + spare, spoken + thought + spare, images, price)

    assert cost is not None
    assert worst is not None
    assert to_pico(cost) <= worst
    # What caches saved is the difference to the same request without any, to the last digit.
    assert cache_saved_usd(usage, price) == cost_of(bare, price, images=images).amount_usd - cost

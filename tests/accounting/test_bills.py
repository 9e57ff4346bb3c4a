"""The arithmetic of a cost agrees with the pricing that booked it, to the last digit."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounting import price_book
from accounting.bills import bill_of, tokens_in_parts
from accounting.models import Price, PriceTier, UsageRecord
from accounting.models.money import from_pico, to_pico
from accounting.pricing import cost_of
from conversion.usage import Usage
from tests.factories.accounting import make_price

JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def record(**fields) -> UsageRecord:
    return UsageRecord(**{"id": "a-1", "prompt_tokens": 0, "completion_tokens": 0, **fields})


@pytest.mark.django_db
def test_a_bill_can_be_followed_line_by_line():
    price = make_price(
        prompt_usd_per_mtok=Decimal(3),
        completion_usd_per_mtok=Decimal(15),
        cache_read_usd_per_mtok=Decimal("0.3"),
        cache_write_1h_usd_per_mtok=Decimal(6),
        request_usd=Decimal("0.001"),
        image_usd=Decimal("0.002"),
    )
    row = record(
        prompt_tokens=1000,
        cache_read_tokens=700,
        cache_write_tokens=200,
        cache_write_1h_tokens=50,
        completion_tokens=90,
        reasoning_tokens=40,
        prompt_images=2,
        cost_usd=Decimal("0.00731"),
    )
    bill = bill_of(row, price, price_book.tag_of(price))

    lines = [
        (line.count, line.rate_usd, f"{line.amount_usd:f}", line.remark) for line in bill.lines
    ]
    assert lines == [
        (100, Decimal(3), "0.0003", ""),  # 1000 - 700 read - 200 written
        (700, Decimal("0.3"), "0.00021", ""),
        (150, Decimal(3), "0.00045", "as prompt"),  # 200 written - 50 for an hour
        (50, Decimal(6), "0.0003", ""),
        (50, Decimal(15), "0.00075", ""),  # 90 - 40 of reasoning
        (40, Decimal(15), "0.0006", "as completion"),
        (1, Decimal("0.001"), "0.001", ""),
        (2, Decimal("0.002"), "0.004", ""),
    ]
    # 0.0003 + 0.00021 + 0.00045 + 0.0003 + 0.00075 + 0.0006 + 0.001 + 0.004
    assert bill.exact_usd == Decimal("0.00761")
    assert not bill.is_rounded
    assert not bill.agrees  # 0.00731 was booked: the price has changed since


@pytest.mark.django_db
def test_a_long_prompt_is_billed_by_its_tier():
    price = make_price(prompt_usd_per_mtok=Decimal(3), completion_usd_per_mtok=Decimal(15))
    PriceTier.objects.create(
        price=price,
        prompt_tokens_above=200_000,
        prompt_usd_per_mtok=Decimal(6),
        completion_usd_per_mtok=Decimal("22.5"),
        cache_read_usd_per_mtok=Decimal("0.6"),
    )
    tag = price_book.tag_of(price)
    fits = record(prompt_tokens=200_000, cache_read_tokens=1, cost_usd=Decimal("0.6"))
    long = record(prompt_tokens=200_001, cache_read_tokens=1, cost_usd=Decimal("1.2000006"))

    assert bill_of(fits, price, tag).above is None
    bill = bill_of(long, price, tag)
    assert bill.above == 200_000
    assert [(line.count, line.rate_usd, line.remark) for line in bill.lines] == [
        (200_000, Decimal(6), ""),
        (1, Decimal("0.6"), ""),
    ]
    assert bill.agrees


def test_what_has_more_digits_than_the_ledger_is_rounded_once_and_said_so():
    price = Price(pk=1, prompt_usd_per_mtok=Decimal("0.00000015"), valid_from_at=JUNE,
                  completion_usd_per_mtok=Decimal(0), request_usd=Decimal(0), image_usd=Decimal(0))  # fmt: skip
    tag = price_book._tag(price, ())
    bill = bill_of(record(prompt_tokens=11, cost_usd=Decimal("0.000000000002")), price, tag)

    assert f"{bill.exact_usd:f}" == "0.00000000000165"
    assert bill.rounded_usd == Decimal("0.000000000002")
    assert bill.is_rounded
    assert bill.agrees


@pytest.mark.parametrize("name", ["cost_usd", "prompt_tokens", "completion_tokens"])
def test_there_is_no_bill_without_tokens_or_a_cost(name):
    price = Price(pk=1, prompt_usd_per_mtok=Decimal(1), completion_usd_per_mtok=Decimal(1),
                  valid_from_at=JUNE, request_usd=Decimal(0), image_usd=Decimal(0))  # fmt: skip
    row = record(**{"cost_usd": Decimal(1), name: None})

    assert bill_of(row, price, price_book._tag(price, ())) is None


def test_tokens_are_listed_in_parts():
    parts = dict(
        tokens_in_parts(
            record(
                prompt_tokens=100,
                cache_read_tokens=60,
                cache_write_tokens=30,
                cache_write_1h_tokens=10,
            )
        )
    )

    assert parts["not cached"] == 10  # 100 - 60 - 30
    assert parts["cache write, 5 minutes"] == 20  # 30 - 10
    assert parts["reasoning in it"] is None
    assert dict(tokens_in_parts(record(prompt_tokens=None)))["not cached"] is None


rate = st.none() | st.decimals(0, 999, places=8)
sure_rate = st.decimals(0, 999, places=8)
count = st.none() | st.integers(0, 10**7)


@given(
    rates=st.tuples(sure_rate, sure_rate, rate, rate, rate, rate),
    request_usd=sure_rate,
    image_usd=sure_rate,
    counts=st.tuples(st.integers(0, 10**7), st.integers(0, 10**7), count, count, count, count),
    images=st.integers(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_the_lines_sum_up_to_what_pricing_says(rates, request_usd, image_usd, counts, images):
    names = ("prompt", "completion", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning")
    given_rates = {f"{name}_usd_per_mtok": rate for name, rate in zip(names, rates, strict=True)}
    price = Price(
        pk=1, valid_from_at=JUNE, request_usd=request_usd, image_usd=image_usd, **given_rates
    )
    tag = price_book._tag(price, ())
    fields = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens",
              "cache_write_1h_tokens", "reasoning_tokens")  # fmt: skip
    told = dict(zip(fields, counts, strict=True))
    cost = cost_of(Usage(**told), tag, images=images).amount_usd
    booked = from_pico(to_pico(cost))
    bill = bill_of(record(prompt_images=images, cost_usd=booked, **told), price, tag)

    assert bill.exact_usd == cost
    assert bill.agrees

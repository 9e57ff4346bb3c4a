"""Money is exact: in one column, and in every sum."""

from decimal import Decimal

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Sum, Value

from accounting.models import UsageRecord
from accounting.models.money import UsdField, from_pico, to_pico
from tests.factories.accounting import make_entry, make_usage


@pytest.mark.parametrize(
    ("amount_usd", "pico"),
    [
        ("0", 0),
        ("1", 10**12),
        ("0.000000000001", 1),
        ("-0.5", -(10**12) // 2),
        ("0.0000000000005", 0),  # half to even
        ("0.0000000000015", 2),
        ("0.0000000000025", 2),
        ("0.00000000000251", 3),
        ("9000000", 9 * 10**18),
    ],
)
def test_an_amount_becomes_whole_picodollars_half_to_even(amount_usd, pico):
    assert to_pico(Decimal(amount_usd)) == pico


def test_what_was_stored_comes_back_with_12_places():
    assert from_pico(125_000_001) == Decimal("0.000125000001")
    assert str(from_pico(10**12)) == "1.000000000000"
    assert from_pico(Decimal(3)) == Decimal("0.000000000003")


@pytest.mark.django_db
def test_a_sum_of_odd_picodollars_is_exact():
    for number in range(300):
        # 0.1 USD and an odd number of picodollars: no binary fraction holds one of them.
        make_usage(cost_usd=Decimal("0.1") + from_pico(2 * number + 1))

    total = UsageRecord.objects.aggregate(total=Sum("cost_usd"))["total"]

    # 300 * 0.1 + (1 + 3 + … + 599 = 300²) picodollars
    assert total == Decimal("30.000000090000")


@pytest.mark.django_db
def test_a_sum_of_nothing_and_of_unpriced_rows_is_none():
    make_usage()

    assert UsageRecord.objects.aggregate(total=Sum("cost_usd"))["total"] is None


@pytest.mark.django_db
def test_rows_are_found_by_their_amount():
    row = make_usage(cost_usd=Decimal("0.000000000007"))

    assert UsageRecord.objects.get(cost_usd=Decimal("0.000000000007")) == row
    assert UsageRecord.objects.filter(cost_usd__gt=Value(6)).count() == 1
    assert UsageRecord.objects.filter(cost_usd=None).count() == 0


@pytest.mark.parametrize("value", [None, Decimal("1.5")])
def test_an_amount_stays_what_it_is(value):
    assert UsdField().to_python(value) == value


def test_text_and_whole_numbers_are_read_as_amounts():
    assert UsdField().to_python("1.25") == Decimal("1.25")
    assert UsdField().to_python(2) == Decimal(2)


def test_something_else_is_no_amount():
    with pytest.raises(ValidationError, match="'much' is not an amount of money"):
        UsdField().to_python("much")


def test_a_form_takes_12_places():
    field = UsdField(null=True, blank=True).formfield()

    assert isinstance(field, forms.DecimalField)
    assert field.clean("0.000000000001") == Decimal("0.000000000001")


def test_the_limits_of_the_stored_number_are_not_those_of_the_amount():
    assert UsdField().validators == []


def test_entries_carry_their_amount_as_a_decimal():
    assert make_entry(cost_usd=Decimal("0.1")).cost_usd == Decimal("0.1")

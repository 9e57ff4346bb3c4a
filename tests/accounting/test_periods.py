"""Which days a report covers, and which it is compared with."""

from datetime import date, timedelta

import pytest

from accounting.periods import DAYS_MAX, PRESETS, Period, preset_period, read_period

TODAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("query", "from_on", "to_on"),
    [
        ({}, TODAY - timedelta(days=29), TODAY),
        ({"period": "today"}, TODAY, TODAY),
        ({"period": "7-days"}, date(2026, 11, 14), TODAY),
        ({"period": "this-month"}, date(2026, 11, 1), TODAY),
        ({"period": "last-month"}, date(2026, 10, 1), date(2026, 10, 31)),
        ({"period": "this-year"}, date(2026, 1, 1), TODAY),
        ({"period": "nonsense"}, TODAY - timedelta(days=29), TODAY),
        ({"from": "2026-11-10"}, date(2026, 11, 10), TODAY),
        ({"from": "2026-12-10"}, date(2026, 12, 10), date(2026, 12, 10)),
        ({"from": "nonsense", "to": "2026-11-10"}, date(2026, 10, 12), date(2026, 11, 10)),
        ({"from": "2027-01-01", "to": "2026-11-10"}, date(2026, 11, 10), date(2026, 11, 10)),
        ({"from": "1990-01-01"}, TODAY - timedelta(days=DAYS_MAX - 1), TODAY),
        ({"from": "0001-01-01", "to": "9999-12-31"}, TODAY - timedelta(days=29), TODAY),
    ],
)
def test_what_cannot_be_read_of_a_period_is_as_if_it_were_not_there(query, from_on, to_on):
    period = read_period(query, today=TODAY)

    assert (period.from_on, period.to_on) == (from_on, to_on)
    assert read_period(period.query, today=TODAY) == period


@pytest.mark.parametrize(
    ("period", "from_on", "to_on"),
    [
        (preset_period("7-days", today=TODAY), date(2026, 11, 7), date(2026, 11, 13)),
        (preset_period("this-month", today=TODAY), date(2026, 10, 1), date(2026, 10, 20)),
        (preset_period("last-month", today=TODAY), date(2026, 9, 1), date(2026, 9, 30)),
        (preset_period("this-year", today=TODAY), date(2025, 1, 1), date(2025, 11, 20)),
        # The last day of a month that is longer than the one before: the whole one before.
        (
            preset_period("this-month", today=date(2026, 3, 31)),
            date(2026, 2, 1),
            date(2026, 2, 28),
        ),
        (
            preset_period("this-month", today=date(2026, 3, 30)),
            date(2026, 2, 1),
            date(2026, 2, 28),
        ),
        (
            preset_period("this-year", today=date(2028, 2, 29)),
            date(2027, 1, 1),
            date(2027, 2, 28),
        ),
        (Period(date(2026, 11, 3), date(2026, 11, 3)), date(2026, 11, 2), date(2026, 11, 2)),
    ],
    ids=str,
)
def test_a_period_is_compared_with_the_one_before(period, from_on, to_on):
    before = period.before()

    assert (before.from_on, before.to_on) == (from_on, to_on)


def test_long_periods_are_told_by_month():
    year = Period(date(2026, 1, 1), date(2026, 12, 31))

    assert list(year.steps())[::11] == ["2026-01", "2026-12"]
    assert list(Period(TODAY, TODAY).steps()) == ["2026-11-20"]


def test_every_preset_can_be_read():
    for name in PRESETS:
        assert read_period({"period": name}, today=TODAY).preset == name

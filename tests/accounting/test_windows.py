"""Tests of accounting/windows.py: when windows begin and end."""

from datetime import UTC, datetime

import pytest

from accounting.windows import window_of


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


NOW = utc(2026, 11, 21, 23, 30)  # a Saturday, in Berlin Sunday half past midnight


@pytest.mark.parametrize(
    ("window", "zone", "began", "ends"),
    [
        ("day", "UTC", utc(2026, 11, 21), utc(2026, 11, 22)),
        ("day", "Europe/Berlin", utc(2026, 11, 21, 23), utc(2026, 11, 22, 23)),
        ("day", "Asia/Kathmandu", utc(2026, 11, 21, 18, 15), utc(2026, 11, 22, 18, 15)),
        ("week", "UTC", utc(2026, 11, 16), utc(2026, 11, 23)),
        ("week", "America/New_York", utc(2026, 11, 16, 5), utc(2026, 11, 23, 5)),
        ("month", "UTC", utc(2026, 11, 1), utc(2026, 12, 1)),
        ("month", "America/New_York", utc(2026, 11, 1, 4), utc(2026, 12, 1, 5)),
    ],
)
def test_windows_begin_at_local_midnight(window, zone, began, ends):
    found = window_of(window, zone, NOW)
    assert found == (began, ends)
    assert found.holds(NOW)
    assert not found.holds(ends)


def test_a_day_of_a_changed_clock_has_25_hours():
    found = window_of("day", "Europe/Berlin", utc(2026, 10, 25, 12))
    assert (found.ends_at - found.began_at).total_seconds() == 25 * 3600


def test_the_last_month_of_a_year_ends_with_it():
    assert window_of("month", "UTC", utc(2026, 12, 31, 23)).ends_at == utc(2027, 1, 1)


def test_total_holds_everything():
    assert window_of("total", "UTC", NOW).holds(utc(2050, 1, 1))

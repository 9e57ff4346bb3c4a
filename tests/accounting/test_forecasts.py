"""Where a window's spend is heading."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from accounting.forecasts import forecast, weekday_means

# A Friday.
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH = {
    "began_at": datetime(2026, 11, 1, tzinfo=UTC),
    "ends_at": datetime(2026, 12, 1, tzinfo=UTC),
}


def days(amount_on):
    """What was spent on each of the last eight weeks' days."""
    found = {}
    for number in range(1, 57):
        day = NOW.date() - timedelta(days=number)
        found[day] = Decimal(amount_on(day))
    return found


def test_the_even_forecast_goes_on_as_the_window_began():
    told = forecast(Decimal(195), now=NOW, by_day={}, **MONTH)

    assert told.even_usd == Decimal(300)  # 195 in 19.5 of 30 days
    assert told.weekday_usd is None
    assert told.best_usd == told.even_usd


def test_the_forecast_by_weekdays_knows_of_week_ends():
    by_day = days(lambda day: 0 if day.weekday() >= 5 else 10)
    told = forecast(Decimal(145), now=NOW, by_day=by_day, **MONTH)

    # 145 + half a Friday (5) + Monday 23 to Friday 27 (50) + Monday 30 (10)
    assert told.weekday_usd == told.best_usd == Decimal(210)
    assert told.even_usd == Decimal("223.08")  # 145 / 19.5 * 30


def test_two_weeks_must_be_known():
    since = {NOW.date() - timedelta(days=13): Decimal(1)}

    assert weekday_means(since, today=NOW.date()) is None
    assert weekday_means({NOW.date() - timedelta(days=14): Decimal(1)}, today=NOW.date())
    assert weekday_means({}, today=NOW.date()) is None


def test_means_count_days_without_usage():
    means = weekday_means({date(2026, 10, 30): Decimal(9)}, today=NOW.date())

    assert means is not None
    assert means[4] == Decimal(3)  # Fridays: 9 on 30 October, nothing on 6 and 13 November


def test_the_very_begin_of_a_window_tells_nothing():
    early = MONTH["began_at"] + timedelta(hours=2)

    assert forecast(Decimal(5), now=early, by_day={}, **MONTH).best_usd is None


def test_a_window_ends_inside_a_day_elsewhere():
    by_day = days(lambda _day: 24)
    ends_at = datetime(2026, 11, 21, 5, tzinfo=UTC)
    told = forecast(
        Decimal(7),
        now=NOW,
        by_day=by_day,
        began_at=datetime(2026, 11, 20, 5, tzinfo=UTC),
        ends_at=ends_at,
    )

    assert told.weekday_usd == Decimal(24)  # 7 + 12 hours of today + 5 hours of tomorrow
    assert told.even_usd == Decimal(24)  # 7 in 7 hours

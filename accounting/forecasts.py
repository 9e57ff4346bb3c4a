"""What will have been spent when a window ends: pure arithmetic on what was spent each day.

Two forecasts stand side by side. The even one goes on as the window began: spent, divided by the share of the window
that has passed. The weekday one adds, to what was spent, for the rest of today and each day to come the mean of that
weekday over the last eight weeks; days without usage count. It needs two weeks of usage, else there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

WEEKS = 8
DAYS_KNOWN_MIN = 14
DAY = timedelta(days=1)
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Forecast:
    """Amounts at the window's end; None where there is too little to go by."""

    even_usd: Decimal | None
    weekday_usd: Decimal | None

    @property
    def best_usd(self) -> Decimal | None:
        """The weekday forecast where there is one, else the even one."""
        return self.even_usd if self.weekday_usd is None else self.weekday_usd


def forecast(
    spent_usd: Decimal,
    *,
    began_at: datetime,
    ends_at: datetime,
    now: datetime,
    by_day: Mapping[date, Decimal],
) -> Forecast:
    """Both forecasts for a window that ``now`` lies in; ``by_day`` is what was spent on the days (UTC) before today."""
    passed = now - began_at
    even_usd = None
    if passed >= min(DAY, (ends_at - began_at) / 8):
        even_usd = spent_usd * _seconds(ends_at - began_at) / _seconds(passed)
    means = weekday_means(by_day, today=now.date())
    if means is None:
        return Forecast(_rounded(even_usd), None)
    weekdays = zip(means, weekdays_to_come(now, ends_at), strict=True)
    to_come = sum((mean * days for mean, days in weekdays), Decimal(0))
    return Forecast(_rounded(even_usd), _rounded(spent_usd + to_come))


def weekday_means(by_day: Mapping[date, Decimal], *, today: date) -> list[Decimal] | None:
    """What is spent on a Monday … Sunday on average; None with less than two weeks between first usage and today."""
    first = min((day for day, amount in by_day.items() if amount), default=today)
    known = min((today - first).days, WEEKS * 7)
    if known < DAYS_KNOWN_MIN:
        return None
    sums, counts = [Decimal(0)] * 7, [0] * 7
    for number in range(1, known + 1):
        day = today - number * DAY
        sums[day.weekday()] += by_day.get(day, Decimal(0))
        counts[day.weekday()] += 1
    return [amount / count for amount, count in zip(sums, counts, strict=True)]


@lru_cache(maxsize=64)
def weekdays_to_come(now: datetime, ends_at: datetime) -> tuple[Decimal, ...]:
    """How many Mondays … Sundays (UTC) are still to come; today and the last day with their parts.

    Remembered, because many budgets share few windows.
    """
    found = [Decimal(0)] * 7
    at = now
    while at < ends_at:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
        until = min(midnight, ends_at)
        found[at.weekday()] += _seconds(until - at) / _seconds(DAY)
        at = until
    return tuple(found)


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(microseconds=1)) / 1_000_000


def _rounded(amount_usd: Decimal | None) -> Decimal | None:
    return None if amount_usd is None else amount_usd.quantize(CENT)

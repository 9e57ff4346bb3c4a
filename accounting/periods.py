"""Whole days in UTC that a report covers, and those it is compared with: pure arithmetic on dates."""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

DAYS_MAX = 366
DAYS_SHOWN_MAX = 92
"""Longer periods are shown by month."""
DEFAULT = "30-days"
PRESETS = {
    "today": "Today",
    "7-days": "7 days",
    "30-days": "30 days",
    "90-days": "90 days",
    "this-month": "This month",
    "last-month": "Last month",
    "this-year": "This year",
}
"""Periods with a name, and what pages call them."""


@dataclass(frozen=True, slots=True)
class Period:
    """Both ends are included. ``preset`` is empty for days that were chosen one by one."""

    from_on: date
    to_on: date
    preset: str = ""

    @property
    def days(self) -> int:
        """How many days it covers."""
        return (self.to_on - self.from_on).days + 1

    @property
    def label(self) -> str:
        """The days as one reads them."""
        if self.from_on == self.to_on:
            return _day(self.from_on)
        return f"{_day(self.from_on)} – {_day(self.to_on)}"

    @property
    def is_by_month(self) -> bool:
        """Whether it is so long that tables over time have a row for each month."""
        return self.days > DAYS_SHOWN_MAX

    @property
    def query(self) -> dict[str, str]:
        """The parameters of an address that read back as this period."""
        if self.preset:
            return {} if self.preset == DEFAULT else {"period": self.preset}
        return {"from": str(self.from_on), "to": str(self.to_on)}

    def step_of(self, day: date) -> str:
        """The row of a table over time that the day belongs to."""
        return f"{day:%Y-%m}" if self.is_by_month else str(day)

    def steps(self) -> Iterator[str]:
        """All rows of a table over time, also those without any usage."""
        days = (self.from_on + timedelta(days=number) for number in range(self.days))
        yield from dict.fromkeys(self.step_of(day) for day in days)

    def before(self) -> "Period":
        """The period it is compared with.

        Months with the same days of the month before, a year with the same days of the year before, all else with as
        many days right before.
        """
        if self.preset == "this-year":
            return Period(_year_before(self.from_on), _year_before(self.to_on))
        if self.from_on.day == 1 and _is_one_month(self.from_on, self.to_on):
            last = self.from_on - timedelta(days=1)
            is_whole = self.to_on == last_of_month(self.to_on)
            to_on = (
                last if is_whole else min(last, last.replace(day=1) + (self.to_on - self.from_on))
            )
            return Period(last.replace(day=1), to_on)
        to_on = self.from_on - timedelta(days=1)
        return Period(to_on - timedelta(days=self.days - 1), to_on)


def read_period(query: Mapping[str, str], *, today: date) -> Period:
    """The period that an address asks for; what cannot be read is as if it were not there."""
    to_on = read_day(query.get("to"))
    from_on = read_day(query.get("from"))
    if from_on is None and to_on is None:
        name = query.get("period", DEFAULT)
        return preset_period(name if name in PRESETS else DEFAULT, today=today)
    to_on = to_on or max(today, from_on or today)
    from_on = from_on or to_on - timedelta(days=min(29, (to_on - date.min).days))
    earliest = to_on - timedelta(days=min(DAYS_MAX - 1, (to_on - date.min).days))
    return Period(min(max(from_on, earliest), to_on), to_on)


def preset_period(name: str, *, today: date) -> Period:
    """The period of that name, as of today."""
    if name == "this-month":
        return Period(today.replace(day=1), today, name)
    if name == "last-month":
        last = today.replace(day=1) - timedelta(days=1)
        return Period(last.replace(day=1), last, name)
    if name == "this-year":
        return Period(today.replace(month=1, day=1), today, name)
    days = 1 if name == "today" else int(name.partition("-")[0])
    return Period(today - timedelta(days=days - 1), today, name)


def month_period(month_on: date) -> Period:
    """The whole month that the day lies in."""
    return Period(month_on.replace(day=1), last_of_month(month_on))


def last_of_month(day: date) -> date:
    """The last day of the day's month."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def read_day(text: str | None) -> date | None:
    """A day as YYYY-MM-DD; None for anything else, and for years no calendar of ours reaches."""
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return day if 1990 <= day.year <= 9000 else None


def _is_one_month(from_on: date, to_on: date) -> bool:
    return (from_on.year, from_on.month) == (to_on.year, to_on.month) and (
        to_on == last_of_month(to_on) or to_on.day > 1
    )


def _year_before(day: date) -> date:
    last = monthrange(day.year - 1, day.month)[1]
    return day.replace(year=day.year - 1, day=min(day.day, last))


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"

"""When a budget's window began and when it ends: pure arithmetic on moments, in the budget's own time zone."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Where a window begins that never begins anew: before any usage."""


class Window(NamedTuple):
    """Moments in UTC, the end not included; a window without an end is the total one."""

    began_at: datetime
    ends_at: datetime | None

    def holds(self, moment: datetime) -> bool:
        """Whether the moment lies in it."""
        return self.began_at <= moment and (self.ends_at is None or moment < self.ends_at)


def window_of(window: str, time_zone: str, now: datetime) -> Window:
    """The window (day, week, month or total) that ``now`` lies in; weeks begin on Monday, all at local midnight.

    Days on which the clock is changed are an hour shorter or longer, as they are on the wall.
    """
    if window == "total":
        return Window(EPOCH, None)
    zone = _zone(time_zone)
    day = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window == "week":
        began = day - timedelta(days=day.weekday())
        ends = began + timedelta(days=7)
    elif window == "month":
        began = day.replace(day=1)
        ends = (began + timedelta(days=32)).replace(day=1)
    else:
        began, ends = day, day + timedelta(days=1)
    return Window(began.astimezone(UTC), ends.astimezone(UTC))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)

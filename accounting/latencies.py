"""Percentiles of TTFT and duration: from the daily counts by bucket, or from the rows where those do not tell apart.

The counts know team, provider, provider kind and model: by person and key they would be as many as the rows. What an
address narrows to beside these, and one's own usage in a team, is read from the ledger's rows, up to a bound, beyond
which the page says so instead of keeping people waiting.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Sum

from accounting.models import DailyLatency, UsageRecord
from accounting.principals import Principal
from accounting.report_query import DIMENSIONS, Ask, words_filter
from accounting.rollups import BOUNDS_MS, percentile

ROWS_MAX = 50_000
SHARES = (0.5, 0.9, 0.99)
TTFT = DailyLatency.Measure.TTFT.value
DURATION = DailyLatency.Measure.DURATION.value
Place = tuple[date, str, str, str, str]
"""Day, measure, provider kind, provider and model."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """How many attempts fell into each bucket, for each place. ``is_kept`` is false where that cannot be told."""

    counts: dict[tuple[Any, ...], Counter[int]]
    is_kept: bool = True
    is_from_rows: bool = False

    def folded(self, measure: str, *columns: int) -> dict[tuple[Any, ...], Counter[int]]:
        """The counts of one measure, by some of a place's columns (0 the day … 4 the model)."""
        found: dict[tuple[Any, ...], Counter[int]] = {}
        for place, counts in self.counts.items():
            if place[1] != measure:
                continue
            name = tuple(place[column] for column in columns)
            if name not in found:
                found[name] = Counter()
            found[name].update(counts)
        return found


def percentiles(counts: Counter[int] | None) -> tuple[int | None, ...]:
    """p50, p90 and p99 in milliseconds."""
    return tuple(percentile(counts or {}, share) for share in SHARES)


def latencies_of(ask: Ask, principal: Principal, *, attempts: int) -> Latencies:
    """The counts behind a report of so many attempts. One query."""
    told_apart = all(name == "path" or DIMENSIONS[name].is_in_latencies for name in ask.words)
    if told_apart and principal.sees_whole_teams:
        return _of_days(ask, principal)
    if attempts > ROWS_MAX:
        return Latencies({}, is_kept=False)
    return _of_rows(ask, principal)


def _of_days(ask: Ask, principal: Principal) -> Latencies:
    # In the order of the columns of the index that holds them all, so that SQLite need not sort.
    columns = ("on", "measure", "provider_kind", "provider", "upstream_model", "bucket")
    rows = DailyLatency.objects.order_by().filter(
        principal.team_filter(),
        words_filter(ask.words),
        on__gte=ask.period.from_on,
        on__lte=ask.period.to_on,
    )
    counts: dict[tuple[Any, ...], Counter[int]] = {}
    found = rows.values(*columns).annotate(sum=Sum("count")).values_list(*columns, "sum")
    for *place, bucket, count in found:
        slots = counts.get(tuple(place))
        if slots is None:
            slots = counts[tuple(place)] = Counter()
        slots[bucket] = int(count)
    return Latencies(counts)


def _of_rows(ask: Ask, principal: Principal) -> Latencies:
    counts: dict[tuple[Any, ...], Counter[int]] = {}
    for place, ms in _measured(records_of(ask, principal)):
        counts.setdefault(place, Counter())[bisect_right(BOUNDS_MS, ms) - 1] += 1
    return Latencies(counts, is_from_rows=True)


def _measured(rows: "QuerySet[UsageRecord]") -> Iterator[tuple[Place, int]]:
    columns = (
        "started_at",
        "provider_kind",
        "provider",
        "upstream_model",
        "ttft_ms",
        "duration_ms",
    )
    for at, kind, provider, model, ttft_ms, duration_ms in rows.values_list(*columns)[:ROWS_MAX]:
        for measure, ms in ((TTFT, ttft_ms), (DURATION, duration_ms)):
            if ms is not None:
                yield (at.date(), measure, kind, provider, model), ms


def records_of(ask: Ask, principal: Principal) -> QuerySet[UsageRecord]:
    """The ledger's rows that a question is about and that may be seen."""
    began_at = datetime.combine(ask.period.from_on, datetime.min.time(), UTC)
    ended_at = datetime.combine(ask.period.to_on, datetime.min.time(), UTC) + timedelta(days=1)
    return UsageRecord.objects.filter(
        principal.filter(),
        words_filter(ask.words),
        started_at__gte=began_at,
        started_at__lt=ended_at,
    ).order_by()

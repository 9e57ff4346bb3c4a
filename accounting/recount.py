"""Counts the ledger's rows anew, compares that with the daily and hourly sums, and makes these anew where they differ.

It counts by the database's own sums, not by the code that keeps them (rollups.py), so that each checks the other.
Records that were archived are read from their files. A day is looked at in one transaction: nothing is added to the
ledger or to the sums between the two looks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import ExtractHour

from accounting.archive import ArchivedRecord, Archives, next_month
from accounting.models import (
    Adjustment,
    DailyLatency,
    DailyUsage,
    HourlyTtft,
    HourlyUsage,
    UsageArchive,
    UsageRecord,
)
from accounting.models.money import to_pico
from accounting.rollups import (
    COUNTS,
    HOUR_COUNTS,
    HOUR_WORDS,
    LATENCY_WORDS,
    WORDS,
    Key,
    Sums,
    add_sums,
    add_up,
    bucket_of,
    hour_id,
    hour_key_of,
    is_unpriced,
    key_of,
    latency_id,
    usage_id,
)

IDS_MAX = 500
"""How many ids are asked for at once."""
SUMMED = (DailyUsage, DailyLatency, HourlyUsage, HourlyTtft)
"""The tables of sums, in the order in which they are written."""
HOUR = ExtractHour("started_at", tzinfo=UTC)
Progress = Callable[[int, int], None]
Status = UsageRecord.Status


@dataclass(frozen=True, slots=True)
class Difference:
    """A sum that is not what the rows say. Money is in picodollars (1e-12 USD); ``words`` tell which row of sums."""

    on: date
    table: str
    words: dict[str, Any]
    name: str
    stored: int
    counted: int


@dataclass(frozen=True, slots=True)
class DayUnknown:
    """A day that cannot be counted: some of its records are in an archive that cannot be read."""

    on: date
    reason: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at some days found. ``repaired`` are those whose sums were made anew."""

    days: int
    differences: tuple[Difference, ...]
    unknown: tuple[DayUnknown, ...]
    repaired: tuple[date, ...] = ()


def look(
    from_on: date | None = None,
    to_on: date | None = None,
    *,
    repair: bool = False,
    progress: Progress | None = None,
) -> Findings:
    """Compare the sums of some days (all without bounds) with the rows; with ``repair``, correct those that differ."""
    days = days_kept(from_on, to_on)
    archives = Archives()
    differences: list[Difference] = []
    unknown: list[DayUnknown] = []
    repaired: list[date] = []
    for number, on in enumerate(days):
        while (found := _look_at(on, archives, repair=repair)) is None:
            archives = Archives()
        if isinstance(found, str):
            unknown.append(DayUnknown(on, found))
        elif found:
            differences.extend(found)
            if repair:
                repaired.append(on)
        if progress is not None:
            progress(number + 1, len(days))
    return Findings(len(days), tuple(differences), tuple(unknown), tuple(repaired))


def days_kept(from_on: date | None = None, to_on: date | None = None) -> list[date]:
    """The days from the first record or sum to the last, within bounds."""
    first_at, last_at = _ends(UsageRecord, "started_at")
    first_sum, last_sum = _ends(DailyUsage, "on")
    first_month, last_month = _ends(UsageArchive, "month_on")
    firsts = [first_at and first_at.date(), first_sum, first_month]
    lasts = [
        last_at and last_at.date(),
        last_sum,
        last_month and next_month(last_month) - timedelta(days=1),
    ]
    if not any(firsts):
        return []
    first = max(min(filter(None, firsts)), from_on or date.min)
    last = min(max(filter(None, lasts)), to_on or date.max)
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _ends(model: type[models.Model], name: str) -> tuple[Any, Any]:
    """The least and the greatest value, asked for one by one: for both at once SQLite reads the whole index."""
    rows = model._default_manager
    return rows.aggregate(at=Min(name))["at"], rows.aggregate(at=Max(name))["at"]


def _look_at(on: date, archives: Archives, *, repair: bool) -> list[Difference] | str | None:
    """What differs on a day; a sentence where nobody can tell, and None where a further archive has been written."""
    archived = archives.records_on(on)
    if isinstance(archived, str):
        return archived
    with _alone(repair=repair):
        if not archives.are_all_of(on):  # what it holds may be gone from the ledger
            return None
        counted = count_day(on, archived)
        differences = list(_differences(on, counted))
        if differences and repair:
            for model in SUMMED:
                model._default_manager.filter(on=on).delete()
            add_sums(counted)
        return differences


@contextmanager
def _alone(*, repair: bool) -> Iterator[None]:
    """A transaction that sees rows and sums of one moment; with ``repair``, nobody adds to the sums meanwhile.

    SQLite's transactions here are the only writer from their begin. On PostgreSQL a writer that has added rows but
    not yet sums waits for the lock, with its rows unseen; one that has added both is waited for.
    """
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                if is_outermost:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                if repair:
                    # Before the first look, which is at the moment that all the others are at.
                    tables = ", ".join(f'"{model._meta.db_table}"' for model in SUMMED)
                    cursor.execute(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
        yield


def count_day(on: date, archived: Sequence[ArchivedRecord] = ()) -> Sums:
    """The sums of one day by its records, by those in archives that are no longer there, and by adjustments."""
    began_at = datetime(on.year, on.month, on.day, tzinfo=UTC)
    ended_at = began_at + timedelta(days=1)
    rows = UsageRecord.objects.filter(started_at__gte=began_at, started_at__lt=ended_at)
    gone = _not_there(archived)
    usage = dict(_usage_of(on, rows.values(*WORDS), WORDS, COUNTS))
    hours = dict(_usage_of(on, rows.annotate(hour=HOUR).values(*HOUR_WORDS), HOUR_WORDS, HOUR_COUNTS))  # fmt: skip
    counted = Sums(usage, _latency_of(on, rows), hours, _hours_ttft_of(on, rows))
    if gone:
        _add(counted, add_up(gone))
    adjustments = Adjustment.objects.filter(
        record_started_at__gte=began_at, record_started_at__lt=ended_at
    )
    _add_adjustments(counted, adjustments, {record.id: record for record in gone})
    return counted


def _add(counted: Sums, more: Sums) -> None:
    """Add sums to others, in place."""
    for sums, added in ((counted.usage, more.usage), (counted.hours, more.hours)):
        for key, counts in added.items():
            there = sums.get(key, [0] * len(counts))
            sums[key] = [a + b for a, b in zip(there, counts, strict=True)]
    for buckets, fell in ((counted.latency, more.latency), (counted.hours_ttft, more.hours_ttft)):
        for key, count in fell.items():
            buckets[key] = buckets.get(key, 0) + count


_AGGREGATES = {
    "attempts": Count("pk"),
    "requests": Count("pk", filter=Q(attempt=1)),
    "succeeded": Count("pk", filter=Q(status=Status.SUCCEEDED)),
    "failed": Count("pk", filter=Q(status=Status.FAILED)),
    "client_closed": Count("pk", filter=Q(status=Status.CLIENT_CLOSED)),
    "interrupted": Count("pk", filter=Q(status=Status.INTERRUPTED)),
    "fallbacks": Count("pk", filter=~Q(attempt=1)),
    "unpriced": Count("pk", filter=Q(cost_usd=None) & ~Q(status=Status.FAILED)),
    "prompt_tokens": Sum("prompt_tokens"),
    "completion_tokens": Sum("completion_tokens"),
    "cache_read_tokens": Sum("cache_read_tokens"),
    "cache_write_tokens": Sum("cache_write_tokens"),
    "reasoning_tokens": Sum("reasoning_tokens"),
    "cost_usd": Sum("cost_usd"),
    "cache_saved_usd": Sum("cache_saved_usd"),
    "ttft_ms_sum": Sum("ttft_ms"),
    "ttft_count": Count("ttft_ms"),
    "duration_ms_sum": Sum("duration_ms"),
    "duration_count": Count("duration_ms"),
}


def _usage_of(
    on: date, grouped: QuerySet[UsageRecord, Any], words: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[Key, Sequence[int]]]:
    """The sums ``names`` of records, by the ``words`` that they are grouped by."""
    sums = {f"of_{name}": _AGGREGATES[name] for name in names if name in _AGGREGATES}
    for row in grouped.order_by().annotate(**sums):
        yield (
            (on, *(row[word] for word in words)),
            [_whole(name, row.get(f"of_{name}")) for name in names],
        )


def _whole(name: str, value: Any) -> int:
    if value is None:
        return 0
    return to_pico(value) if name.endswith("_usd") else int(value)


def _latency_of(on: date, rows: QuerySet[UsageRecord]) -> dict[Key, int]:
    counts: dict[Key, int] = {}
    for measure in DailyLatency.Measure.values:
        name = f"{measure}_ms"
        grouped = rows.exclude(**{name: None}).order_by().values_list(*LATENCY_WORDS, name)
        for *words, ms, count in grouped.annotate(of_all=Count("pk")):
            key = (on, *words, measure, bucket_of(ms))
            counts[key] = counts.get(key, 0) + count
    return counts


def _hours_ttft_of(on: date, rows: QuerySet[UsageRecord]) -> dict[Key, int]:
    counts: dict[Key, int] = {}
    grouped = rows.exclude(ttft_ms=None).order_by().annotate(hour=HOUR).values_list("hour", "ttft_ms")  # fmt: skip
    for hour, ms, count in grouped.annotate(of_all=Count("pk")):
        key = (on, hour, bucket_of(ms))
        counts[key] = counts.get(key, 0) + count
    return counts


def _not_there(archived: Sequence[ArchivedRecord]) -> list[ArchivedRecord]:
    """Those of the archived records that are no longer in the ledger, each once."""
    by_id = {record.id: record for record in archived}
    for ids in _portions(list(by_id)):
        for found in UsageRecord.objects.filter(pk__in=ids).values_list("pk", flat=True):
            del by_id[found]
    return list(by_id.values())


def _add_adjustments(
    counted: Sums, adjustments: QuerySet[Adjustment], gone: dict[str, ArchivedRecord]
) -> None:
    amounts: dict[str, int] = {}
    for record_id, amount_usd in adjustments.order_by().values_list("record_id", "amount_usd"):
        amounts[record_id] = amounts.get(record_id, 0) + to_pico(amount_usd or Decimal(0))
    for record in _records_of(list(amounts), gone):
        of_day = [0] * len(COUNTS)
        of_day[COUNTS.index("adjusted_usd")] = amounts[record.id]
        of_day[COUNTS.index("unpriced")] = -is_unpriced(record)
        of_hour = [0] * len(HOUR_COUNTS)
        of_hour[HOUR_COUNTS.index("adjusted_usd")] = amounts[record.id]
        _add(counted, Sums({key_of(record): of_day}, {}, {hour_key_of(record): of_hour}, {}))


def _records_of(ids: Sequence[str], gone: dict[str, ArchivedRecord]) -> Iterator[Any]:
    for portion in _portions(ids):
        yield from UsageRecord.objects.filter(pk__in=portion)
    yield from (gone[record_id] for record_id in ids if record_id in gone)


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(ids), IDS_MAX):
        yield ids[begin : begin + IDS_MAX]


def _differences(on: date, counted: Sums) -> Iterator[Difference]:
    usage = {usage_id(key): (key, counts) for key, counts in counted.usage.items()}
    latency = {latency_id(key): (key, [count]) for key, count in counted.latency.items()}
    hours = {hour_id(key): (key, counts) for key, counts in counted.hours.items()}
    hours_ttft = {hour_id(key): (key, [count]) for key, count in counted.hours_ttft.items()}
    slots = (*LATENCY_WORDS, "measure", "bucket")
    for table, model, words, names, sums in (
        ("daily usage", DailyUsage, WORDS, COUNTS, usage),
        ("daily latency", DailyLatency, slots, ("count",), latency),
        ("hourly usage", HourlyUsage, HOUR_WORDS, HOUR_COUNTS, hours),
        ("hourly TTFT", HourlyTtft, ("hour", "bucket"), ("count",), hours_ttft),
    ):
        stored = model._default_manager.filter(on=on)
        yield from _compare(on, table, stored, words, names, sums)


def _compare(
    on: date,
    table: str,
    stored: QuerySet[Any],
    words: Sequence[str],
    names: Sequence[str],
    counted: Mapping[str, tuple[Key, Iterable[int]]],
) -> Iterator[Difference]:
    left = dict(counted)
    for row_id, *values in stored.order_by("pk").values_list("pk", *words, *names):
        named = dict(zip(words, values, strict=False))
        kept = [_whole(name, value) for name, value in zip(names, values[len(words) :], strict=True)]  # fmt: skip
        _key, right = left.pop(row_id, ((), [0] * len(names)))
        yield from _unequal(on, table, named, names, kept, right)
    for key, right in left.values():
        named = dict(zip(words, key[1:], strict=True))
        yield from _unequal(on, table, named, names, [0] * len(names), right)


def _unequal(
    on: date,
    table: str,
    words: dict[str, Any],
    names: Sequence[str],
    stored: Iterable[int],
    counted: Iterable[int],
) -> Iterator[Difference]:
    for name, kept, right in zip(names, stored, counted, strict=True):
        if kept != right:
            yield Difference(on, table, words, name, kept, right)

"""Counts the ledger's rows anew, compares that with the daily sums, and makes the sums anew where they differ.

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

from django.db import connection, transaction
from django.db.models import Count, Max, Min, Q, QuerySet, Sum

from accounting.archive import ArchivedRecord, Archives, next_month
from accounting.models import Adjustment, DailyLatency, DailyUsage, UsageArchive, UsageRecord
from accounting.models.money import to_pico
from accounting.rollups import (
    COUNTS,
    LATENCY_WORDS,
    WORDS,
    Key,
    Sums,
    add_sums,
    add_up,
    bucket_of,
    is_unpriced,
    key_of,
    latency_id,
    usage_id,
)

IDS_MAX = 500
"""How many ids are asked for at once."""
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
        archived = archives.records_on(on)
        if isinstance(archived, str):
            unknown.append(DayUnknown(on, archived))
        elif found := _look_at(on, archived, repair=repair):
            differences.extend(found)
            if repair:
                repaired.append(on)
        if progress is not None:
            progress(number + 1, len(days))
    return Findings(len(days), tuple(differences), tuple(unknown), tuple(repaired))


def fill_missing() -> int:
    """Make the sums of records from before there were any; how many days that were.

    From the newest day to the oldest: as long as the oldest has no sums, the work is not done.
    """
    oldest_at = UsageRecord.objects.aggregate(at=Min("started_at"))["at"]
    if oldest_at is None or DailyUsage.objects.filter(on=oldest_at.date()).exists():
        return 0
    days = [on for on in reversed(days_kept()) if on >= oldest_at.date()]
    for on in days:
        look(on, on, repair=True)
    return len(days)


def days_kept(from_on: date | None = None, to_on: date | None = None) -> list[date]:
    """The days from the first record or sum to the last, within bounds."""
    rows = UsageRecord.objects.aggregate(first=Min("started_at"), last=Max("started_at"))
    sums = DailyUsage.objects.aggregate(first=Min("on"), last=Max("on"))
    months = UsageArchive.objects.aggregate(first=Min("month_on"), last=Max("month_on"))
    firsts = [rows["first"] and rows["first"].date(), sums["first"], months["first"]]
    lasts = [
        rows["last"] and rows["last"].date(),
        sums["last"],
        months["last"] and next_month(months["last"]) - timedelta(days=1),
    ]
    if not any(firsts):
        return []
    first = max(min(filter(None, firsts)), from_on or date.min)
    last = min(max(filter(None, lasts)), to_on or date.max)
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _look_at(on: date, archived: Sequence[ArchivedRecord], *, repair: bool) -> list[Difference]:
    with _alone(repair=repair):
        counted = count_day(on, archived)
        differences = list(_differences(on, counted))
        if differences and repair:
            DailyUsage.objects.filter(on=on).delete()
            DailyLatency.objects.filter(on=on).delete()
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
                if repair:
                    cursor.execute(
                        f'LOCK TABLE "{DailyUsage._meta.db_table}", "{DailyLatency._meta.db_table}" '
                        "IN SHARE ROW EXCLUSIVE MODE"
                    )
                elif is_outermost:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def count_day(on: date, archived: Sequence[ArchivedRecord] = ()) -> Sums:
    """The sums of one day by its records, by those in archives that are no longer there, and by adjustments."""
    began_at = datetime(on.year, on.month, on.day, tzinfo=UTC)
    ended_at = began_at + timedelta(days=1)
    rows = UsageRecord.objects.filter(started_at__gte=began_at, started_at__lt=ended_at)
    gone = _not_there(archived)
    usage = {(on, *key): counts for key, counts in _usage_of(rows)}
    latency = _latency_of(on, rows)
    if gone:
        of_archives = add_up(gone)
        for key, counts in of_archives.usage.items():
            usage[key] = [a + b for a, b in zip(usage.get(key, _nothing()), counts, strict=True)]
        for key, count in of_archives.latency.items():
            latency[key] = latency.get(key, 0) + count
    adjustments = Adjustment.objects.filter(
        record_started_at__gte=began_at, record_started_at__lt=ended_at
    )
    _add_adjustments(usage, adjustments, {record.id: record for record in gone})
    return Sums(dict(usage), latency)


def _nothing() -> list[int]:
    return [0] * len(COUNTS)


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


def _usage_of(rows: QuerySet[UsageRecord]) -> Iterator[tuple[Key, list[int]]]:
    sums = rows.order_by().values(*WORDS)
    for row in sums.annotate(**{f"of_{name}": sum_ for name, sum_ in _AGGREGATES.items()}):
        yield (
            tuple(row[name] for name in WORDS),
            [_whole(name, row.get(f"of_{name}")) for name in COUNTS],
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


def _not_there(archived: Sequence[ArchivedRecord]) -> list[ArchivedRecord]:
    """Those of the archived records that are no longer in the ledger, each once."""
    by_id = {record.id: record for record in archived}
    for ids in _portions(list(by_id)):
        for found in UsageRecord.objects.filter(pk__in=ids).values_list("pk", flat=True):
            del by_id[found]
    return list(by_id.values())


def _add_adjustments(
    usage: dict[Key, Any], adjustments: QuerySet[Adjustment], gone: dict[str, ArchivedRecord]
) -> None:
    amounts: dict[str, int] = {}
    for record_id, amount_usd in adjustments.order_by().values_list("record_id", "amount_usd"):
        amounts[record_id] = amounts.get(record_id, 0) + to_pico(amount_usd or Decimal(0))
    for record in _records_of(list(amounts), gone):
        key = key_of(record)
        counts = usage[key] = list(usage.get(key, _nothing()))
        counts[COUNTS.index("adjusted_usd")] += amounts[record.id]
        counts[COUNTS.index("unpriced")] -= is_unpriced(record)


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
    slots = (*LATENCY_WORDS, "measure", "bucket")
    yield from _compare(on, "daily usage", DailyUsage.objects.filter(on=on), WORDS, COUNTS, usage)
    yield from _compare(
        on, "daily latency", DailyLatency.objects.filter(on=on), slots, ("count",), latency
    )


def _compare(
    on: date,
    table: str,
    stored: "QuerySet[DailyUsage] | QuerySet[DailyLatency]",
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

"""Daily and hourly sums beside the ledger's rows: kept in the transaction that adds the rows, so that all agree.

Theory of operation. ``DailyUsage`` has one row for each UTC day and each combination of words that occurs on it,
``DailyLatency`` one for each day, fewer words and bucket of milliseconds; ``HourlyUsage`` one for each hour, provider
and error, ``HourlyTtft`` one for each hour and bucket. Their ids begin with the day and go on with a digest of the day or hour and the words, so
that adding is one statement which needs no look first, and all of a day lies together in the table's index, however many
days there are. Tables are touched in this order, rows in the order of their ids: two
processes that write at once wait for each other, but never both ways round. The hourly rows, which all processes
share, come last, so that they are waited for no longer than another's commit takes.

Percentiles are read from the buckets. Up to 20 ms each bucket is one millisecond, above that a twentieth wider than
the one before: whatever a percentile says, the attempt behind it was in the same bucket, so that it is at most 5 %
off. ``recount.py`` compares the sums with the rows and makes them anew.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from django.db import connection, models

from accounting.models import (
    Adjustment,
    DailyLatency,
    DailyUsage,
    HourlyTtft,
    HourlyUsage,
    UsageRecord,
)
from accounting.models.money import to_pico

WORDS = (
    "team",
    "project",
    "key_id",
    "key_name",
    "member",
    "end_user",
    "session",
    "agent",
    "tags",
    "alias",
    "provider",
    "provider_kind",
    "upstream_model",
)
"""What the records of one row of DailyUsage have in common, beside the day."""
COUNTS = (
    "attempts",
    "requests",
    "succeeded",
    "failed",
    "client_closed",
    "interrupted",
    "fallbacks",
    "unpriced",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "adjusted_usd",
    "cache_saved_usd",
    "ttft_ms_sum",
    "ttft_count",
    "duration_ms_sum",
    "duration_count",
)
"""What is summed; money in picodollars, as the columns hold it."""
LATENCY_WORDS = (
    "team",
    "provider",
    "provider_kind",
    "upstream_model",
)
"""What the records of one row of DailyLatency have in common, beside the day, the measure and the bucket."""
HOUR_WORDS = ("hour", "provider", "error")
"""What the records of one row of HourlyUsage have in common, beside the day."""
HOUR_COUNTS = (
    "attempts",
    "requests",
    "failed",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "adjusted_usd",
)
"""What is summed by the hour; money in picodollars, too."""

LINEAR_MS = 20
GROWTH = 1.05
MS_MAX = 2**31 - 1


class Summed(Protocol):
    """What is read of a record: an entry on its way into the ledger, a row of it, or a line of an archive."""

    started_at: datetime
    attempt: int
    status: str
    provider: str
    error: str
    duration_ms: int | None
    ttft_ms: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: Decimal | None
    cache_saved_usd: Decimal | None


Key = tuple[Any, ...]
"""The day and the words, of which the hour is one; for latencies also the measure and the bucket."""


class Sums(NamedTuple):
    """Sums over some records: counts in the order of ``COUNTS``, and how many fell into each bucket.

    ``hours`` and ``hours_ttft`` are the same by the hour, with counts in the order of ``HOUR_COUNTS``.
    """

    usage: dict[Key, Sequence[int]]
    latency: dict[Key, int]
    hours: dict[Key, Sequence[int]]
    hours_ttft: dict[Key, int]


def _bounds() -> tuple[int, ...]:
    bounds = list(range(LINEAR_MS))
    bound = float(LINEAR_MS)
    while bound <= MS_MAX:
        bounds.append(int(bound))
        bound = max(bound * GROWTH, int(bound) + 1.0)
    return tuple(bounds)


BOUNDS_MS = _bounds()
"""The least number of milliseconds in each bucket; a bucket ends where the next begins."""


def bucket_of(ms: int) -> int:
    """The number of the bucket that a duration falls into."""
    return bisect_right(BOUNDS_MS, ms) - 1


def percentile(counts: Mapping[int, int], share: float) -> int | None:
    """Milliseconds below which ``share`` (0.5 for the median) of the attempts lie, from a count for each bucket.

    Inside a bucket its attempts are taken as evenly spread. At most 5 % off; None without any attempt.
    """
    left = share * sum(counts.values())
    last: int | None = None
    for bucket in sorted(counts):
        count = counts[bucket]
        if count <= 0:
            continue
        low, high = _ends_ms(bucket)
        if left <= count:
            return round(low + (high - low) * left / count)
        left -= count
        last = high
    return last


def _ends_ms(bucket: int) -> tuple[int, int]:
    """The least and the largest number of milliseconds in a bucket."""
    last = BOUNDS_MS[bucket + 1] - 1 if bucket + 1 < len(BOUNDS_MS) else MS_MAX
    return BOUNDS_MS[bucket], last


def add_up(records: Iterable[Summed]) -> Sums:
    """The sums over records, without adjustments."""
    usage: dict[Key, list[int]] = {}
    hours: dict[Key, list[int]] = {}
    latency: dict[Key, int] = {}
    hours_ttft: dict[Key, int] = {}
    for record in records:
        started_at, cost_usd = record.started_at, record.cost_usd
        cost = None if cost_usd is None else to_pico(cost_usd)
        on, hour = started_at.date(), started_at.hour
        key = (on, *_words(record))
        sums = usage.get(key)
        if sums is None:
            sums = usage[key] = [0] * len(COUNTS)
        _add(sums, record, cost)
        key = (on, hour, record.provider, record.error)
        sums = hours.get(key)
        if sums is None:
            sums = hours[key] = [0] * len(HOUR_COUNTS)
        _add_to_hour(sums, record, cost or 0)
        ttft_ms, duration_ms = record.ttft_ms, record.duration_ms
        if ttft_ms is not None or duration_ms is not None:
            words = _latency_words(record)
            if ttft_ms is not None:
                bucket = bisect_right(BOUNDS_MS, ttft_ms) - 1
                slot: Key = (on, *words, _TTFT, bucket)
                latency[slot] = latency.get(slot, 0) + 1
                slot = (on, hour, bucket)
                hours_ttft[slot] = hours_ttft.get(slot, 0) + 1
            if duration_ms is not None:
                slot = (on, *words, _DURATION, bisect_right(BOUNDS_MS, duration_ms) - 1)
                latency[slot] = latency.get(slot, 0) + 1
    return Sums(dict(usage), latency, dict(hours), hours_ttft)


def _add(sums: list[int], record: Summed, cost: int | None) -> None:
    """Add one record, of a cost in picodollars, to sums in the order of ``COUNTS``.

    In place, because this is done for every attempt.
    """
    sums[_ATTEMPTS] += 1
    sums[_REQUESTS if record.attempt == 1 else _FALLBACKS] += 1
    sums[_OF_STATUS[record.status]] += 1
    sums[_PROMPT] += record.prompt_tokens or 0
    sums[_COMPLETION] += record.completion_tokens or 0
    sums[_CACHE_READ] += record.cache_read_tokens or 0
    sums[_CACHE_WRITE] += record.cache_write_tokens or 0
    sums[_REASONING] += record.reasoning_tokens or 0
    if cost is not None:
        sums[_COST] += cost
    elif record.status != _FAILED:
        sums[_UNPRICED] += 1
    if record.cache_saved_usd is not None:
        sums[_SAVED] += to_pico(record.cache_saved_usd)
    if record.ttft_ms is not None:
        sums[_TTFT_SUM] += record.ttft_ms
        sums[_TTFT_COUNT] += 1
    if record.duration_ms is not None:
        sums[_DURATION_SUM] += record.duration_ms
        sums[_DURATION_COUNT] += 1


def _add_to_hour(sums: list[int], record: Summed, cost: int) -> None:
    """Add one record to sums in the order of ``HOUR_COUNTS``, in place."""
    sums[0] += 1
    if record.attempt == 1:
        sums[1] += 1
    if record.status == _FAILED:
        sums[2] += 1
    sums[3] += record.prompt_tokens or 0
    sums[4] += record.completion_tokens or 0
    sums[5] += cost


def add_records(records: Iterable[Summed]) -> None:
    """Add records that were new to the ledger; in the transaction that added them."""
    add_sums(add_up(records))


def add_sums(sums: Sums) -> None:
    """Add sums to those that are there."""
    tables = (
        (_add_usage, usage_id, sums.usage),
        (_add_latency, latency_id, {key: (count,) for key, count in sums.latency.items()}),
        (_add_hours, hour_id, sums.hours),
        (_add_hours_ttft, hour_id, {key: (count,) for key, count in sums.hours_ttft.items()}),
    )
    with connection.cursor() as cursor:
        for statement, id_of, summed in tables:
            rows = sorted(
                (id_of(key), str(key[0]), *key[1:], *counts) for key, counts in summed.items()
            )
            if rows:
                cursor.executemany(statement, rows)


def usage_id(key: Key) -> str:
    """The id of the row of DailyUsage for a day and its words."""
    # No stored text has a zero byte, so that no two keys are written alike.
    text = f"{key[0]}\0{key[1]}\0{key[2]}\0{key[3]}\0" + "\0".join(key[4:])
    return _id(key[0], text)


def latency_id(key: Key) -> str:
    """The id of the row of DailyLatency for a day, its words, the measure and the bucket."""
    return _id(key[0], "\0".join(map(str, key)))


def hour_id(key: Key) -> str:
    """The id of the row of HourlyUsage or HourlyTtft for a day, an hour of it, and the words or the bucket."""
    return latency_id(key)


def _id(on: date, text: str) -> str:
    """The day, then 104 bits of a digest."""
    return _day(on) + blake2b(text.encode(), digest_size=16).hexdigest()[:26]


@lru_cache(maxsize=64)
def _day(on: date) -> str:
    return on.strftime("%y%m%d")


def key_of(record: Any) -> Key:
    """The day and the words under which a record is summed in DailyUsage."""
    return (record.started_at.date(), *_words(record))


def hour_key_of(record: Any) -> Key:
    """The day, the hour and the words under which a record is summed in HourlyUsage."""
    started_at = record.started_at
    return (started_at.date(), started_at.hour, record.provider, record.error)


def apply_adjustments(adjustments: Iterable[Adjustment], records: Iterable[UsageRecord]) -> None:
    """Add corrections to the sums of the days on which their records began.

    Called in the transaction that adds the adjustments, before or after they are added; ``records`` are those that
    the adjustments are about. A record without a cost is no longer unpriced from its first adjustment on.
    """
    by_id = {record.pk: record for record in records}
    added = list(adjustments)
    take_turns()
    priced_before = _already_adjusted(added, by_id)
    days: dict[Key, list[int]] = {}
    hours: dict[Key, list[int]] = {}
    for adjustment in added:
        record = by_id[adjustment.record_id]
        amount = to_pico(Decimal(adjustment.amount_usd or 0))
        counts = days.setdefault(key_of(record), [0] * len(COUNTS))
        counts[_ADJUSTED] += amount
        hours.setdefault(hour_key_of(record), [0] * len(HOUR_COUNTS))[_HOUR_ADJUSTED] += amount
        if is_unpriced(record) and record.pk not in priced_before:
            counts[_UNPRICED] -= 1
            priced_before.add(record.pk)
    add_sums(Sums(dict(days), {}, dict(hours), {}))


def is_unpriced(record: Any) -> bool:
    """Whether a record counts as unpriced as long as it has no adjustment."""
    return record.cost_usd is None and record.status != _FAILED


def _already_adjusted(
    adjustments: Sequence[Adjustment], by_id: Mapping[str, UsageRecord]
) -> set[str]:
    """Those of the unpriced records that have an adjustment of an earlier run."""
    unpriced = [record.pk for record in by_id.values() if is_unpriced(record)]
    if not unpriced:
        return set()
    earlier = Adjustment.objects.filter(record_id__in=unpriced).exclude(
        run__in={adjustment.run for adjustment in adjustments}
    )
    return set(earlier.values_list("record_id", flat=True))


def take_turns() -> None:
    """Let only one process at a time look at adjustments and add some, until its transaction ends.

    SQLite has one writer anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADJUSTING_LOCK])


def _adding_statement(model: type[models.Model], sums: Sequence[str]) -> str:
    """One prepared statement past the ORM, as the ledger's own; all names in it come from the model."""
    names = [f'"{field.attname}"' for field in model._meta.concrete_fields]
    table = f'"{model._meta.db_table}"'
    additions = ", ".join(f'"{name}" = {table}."{name}" + excluded."{name}"' for name in sums)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) "  # noqa: S608
        f"ON CONFLICT (id) DO UPDATE SET {additions}"
    )


_words = attrgetter(*WORDS)
_latency_words = attrgetter(*LATENCY_WORDS)
_add_usage = _adding_statement(DailyUsage, COUNTS)
_add_latency = _adding_statement(DailyLatency, ("count",))
_add_hours = _adding_statement(HourlyUsage, HOUR_COUNTS)
_add_hours_ttft = _adding_statement(HourlyTtft, ("count",))
_FAILED = UsageRecord.Status.FAILED.value
_OF_STATUS = {status: COUNTS.index(status) for status in UsageRecord.Status.values}
_TTFT = DailyLatency.Measure.TTFT.value
_DURATION = DailyLatency.Measure.DURATION.value
(
    _ATTEMPTS,
    _REQUESTS,
    _FALLBACKS,
    _UNPRICED,
    _PROMPT,
    _COMPLETION,
    _CACHE_READ,
    _CACHE_WRITE,
    _REASONING,
    _COST,
    _ADJUSTED,
    _SAVED,
    _TTFT_SUM,
    _TTFT_COUNT,
    _DURATION_SUM,
    _DURATION_COUNT,
) = map(
    COUNTS.index,
    (
        "attempts",
        "requests",
        "fallbacks",
        "unpriced",
        "prompt_tokens",
        "completion_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cost_usd",
        "adjusted_usd",
        "cache_saved_usd",
        "ttft_ms_sum",
        "ttft_count",
        "duration_ms_sum",
        "duration_count",
    ),
)
_HOUR_ADJUSTED = HOUR_COUNTS.index("adjusted_usd")
_ADJUSTING_LOCK = 0x11A6_AD10
"""The number of the advisory lock on PostgreSQL; it need only differ from other locks in the same database."""

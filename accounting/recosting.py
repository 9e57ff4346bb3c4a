"""Works out anew what records cost, by the prices that the book now says were in force, and books the differences.

Theory of operation. Records are read in the order of their time, a batch at a time, so that any number of them takes
the same memory. What a record costs by the book is compared with what is booked: its own cost and all adjustments so
far. A difference becomes one more adjustment; a record is never touched. Each batch is one transaction together with
the daily sums, and in it the adjustments are read again while no other process books any: two runs at once book a
difference once. A second run finds no difference and books nothing; one that was broken off is simply run again.

A record without a cost gets an adjustment also where the cost is 0: from then on it is not unpriced. What has no price
in the book, or no tokens, stays as it is. The providers' own figures are left alone unless that is asked for.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q

from accounting import rollups
from accounting.models import Adjustment, UsageRecord
from accounting.models.money import from_pico, is_cost, to_pico
from accounting.price_book import Tags, price_at
from accounting.pricing import cost_of
from conversion.usage import Usage

BATCH = 2000
REASON = "re-costed by the price book"
BOOK_SOURCES = (UsageRecord.CostSource.PRICE_BOOK, UsageRecord.CostSource.UNPRICED)


@dataclass(frozen=True, slots=True)
class Wish:
    """Which records: of whole days in UTC, both ends included. ``narrowed_to`` holds columns and their values."""

    from_on: date
    to_on: date
    narrowed_to: Mapping[str, str] = field(default_factory=dict)
    include_provider: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One re-costing: what its adjustments have in common."""

    id: str
    by: str
    at: datetime
    reason: str = REASON


def new_run(by: str, *, now: datetime, reason: str = REASON) -> Run:
    """A run with an id of its own, by its time."""
    return Run(f"recost-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}", by, now, reason)


@dataclass(slots=True)
class Line:
    """Records of one day and model, in picodollars before and after; unpriced ones are counted and add nothing."""

    records: int = 0
    adjusted: int = 0
    before: int = 0
    after: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0


@dataclass(slots=True)
class Outcome:
    """What a re-costing found, by day, provider and model; ``total`` is the sum. The rest says what could not be costed."""

    lines: dict[tuple[date, str, str], Line] = field(default_factory=dict)
    total: Line = field(default_factory=Line)
    without_price: int = 0
    without_tokens: int = 0

    @property
    def changed(self) -> list[tuple[tuple[date, str, str], Line]]:
        """The lines with an adjustment, in order."""
        return sorted((key, line) for key, line in self.lines.items() if line.adjusted)


class _Record(NamedTuple):
    """What is read of a record; the names are those of its columns."""

    pk: str
    started_at: datetime
    status: str
    provider: str
    upstream_model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    reasoning_tokens: int | None
    prompt_images: int | None
    cost_usd: Any


class _Booked(NamedTuple):
    """What is booked for a record, in picodollars; None: it is unpriced."""

    pico: int | None

    def plus(self, pico: int) -> "_Booked":
        return _Booked((self.pico or 0) + pico)


class _Difference(NamedTuple):
    """A record that costs something else than is booked."""

    pk: str
    cost: int
    price_pk: int


Progress = Callable[[int, int], None]


def recost(
    wish: Wish,
    tags: Tags,
    run: Run | None,
    *,
    progress: Progress = lambda _done, _total: None,
) -> Outcome:
    """Compare the records with the book, and book what differs under ``run``; nothing is booked without one."""
    records = _records_of(wish)
    total = records.count()
    outcome, done = Outcome(), 0
    for batch in _batches(records):
        differences = _compare(batch, tags, outcome)
        if run is not None and differences:
            _book(differences, run)
        done += len(batch)
        progress(done, max(done, total))
    return outcome


def _records_of(wish: Wish) -> Any:
    began_at = datetime.combine(wish.from_on, time(), UTC)
    ended_at = datetime.combine(wish.to_on + timedelta(days=1), time(), UTC)
    records = UsageRecord.objects.filter(
        started_at__gte=began_at, started_at__lt=ended_at, **wish.narrowed_to
    )
    return records if wish.include_provider else records.filter(cost_source__in=BOOK_SOURCES)


def _batches(records: Any) -> Iterator[list[_Record]]:
    """The records in the order of their time; each batch is asked for by where the one before it ended."""
    rows = records.order_by("started_at", "pk").values_list(*_Record._fields)
    page = rows
    while batch := [_Record(*row) for row in page[:BATCH]]:
        yield batch
        last = batch[-1]
        page = rows.filter(
            Q(started_at__gt=last.started_at) | Q(pk__gt=last.pk),
            started_at__gte=last.started_at,
        )


def _compare(batch: Sequence[_Record], tags: Tags, outcome: Outcome) -> list[_Difference]:
    booked = _with_adjustments(
        {record.pk: _booked(record.cost_usd) for record in batch},
        Q(
            record_started_at__gte=batch[0].started_at,
            record_started_at__lte=batch[-1].started_at,
        ),
    )
    differences = []
    for record in batch:
        before = booked[record.pk].pico
        difference = _cost(record, tags, outcome)
        after = before if difference is None else difference.cost
        is_adjusted = before != after
        has_failed = record.status == UsageRecord.Status.FAILED
        if difference is not None and is_adjusted:
            differences.append(difference)
        key = (record.started_at.date(), record.provider, record.upstream_model)
        for line in (outcome.lines.setdefault(key, Line()), outcome.total):
            line.records += 1
            line.adjusted += is_adjusted
            line.before += before or 0
            line.after += after or 0
            line.unpriced_before += before is None and not has_failed
            line.unpriced_after += after is None and not has_failed
    return differences


def _booked(cost_usd: Any) -> _Booked:
    return _Booked(None if cost_usd is None else to_pico(cost_usd))


def _with_adjustments(booked: dict[str, _Booked], which: Q) -> dict[str, _Booked]:
    """What is booked with the adjustments so far."""
    rows = Adjustment.objects.filter(which).order_by().values_list("record_id", "amount_usd")
    for record_id, amount_usd in rows:
        if record_id in booked:
            booked[record_id] = booked[record_id].plus(to_pico(amount_usd or Decimal(0)))
    return booked


def _cost(record: _Record, tags: Tags, outcome: Outcome) -> _Difference | None:
    """What the record costs by the book; None where that cannot be said."""
    if record.prompt_tokens is None and record.status == UsageRecord.Status.FAILED:
        return None
    price = price_at(tags, record.provider, record.upstream_model, record.started_at)
    if price is None:
        outcome.without_price += 1
        return None
    usage = Usage(
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        cache_read_tokens=record.cache_read_tokens,
        cache_write_tokens=record.cache_write_tokens,
        cache_write_1h_tokens=record.cache_write_1h_tokens,
        reasoning_tokens=record.reasoning_tokens,
    )
    cost_usd = cost_of(usage, price, images=record.prompt_images).amount_usd
    if cost_usd is None or not is_cost(cost_usd):
        outcome.without_tokens += 1
        return None
    return _Difference(record.pk, to_pico(cost_usd), price.pk)


def _book(differences: Sequence[_Difference], run: Run) -> None:
    """Write the adjustments of a batch, with the daily sums, in one transaction."""
    by_id = {difference.pk: difference for difference in differences}
    with transaction.atomic():
        rollups.take_turns()
        records = list(UsageRecord.objects.filter(pk__in=by_id).defer("notes", "error_message"))
        booked = _with_adjustments(
            {record.pk: _booked(record.cost_usd) for record in records}, Q(record_id__in=by_id)
        )
        adjustments = [
            _adjustment(record, by_id[record.pk], booked[record.pk], run)
            for record in records
            if booked[record.pk].pico != by_id[record.pk].cost
        ]
        Adjustment.objects.bulk_create(adjustments)
        rollups.apply_adjustments(adjustments, records)


def _adjustment(
    record: UsageRecord, difference: _Difference, booked: _Booked, run: Run
) -> Adjustment:
    return Adjustment(
        record_id=record.pk,
        record_started_at=record.started_at,
        team=record.team,
        project=record.project,
        key_id=record.key_id,
        amount_usd=from_pico(difference.cost - (booked.pico or 0)),
        price_id=difference.price_pk,
        reason=run.reason,
        run=run.id,
        by=run.by,
        at=run.at,
    )

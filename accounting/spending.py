"""What a team, a project or a key has spent in a window, by the ledger: costs and adjustments, unpriced left out."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, Sum

from accounting.models import Adjustment, Budget, DailyUsage, UsageRecord, VirtualKey
from accounting.windows import Window

Holder = tuple[str, str, int]
"""Team, project and key: whose spend an amount is."""


def spent_usd(budget: Budget, window: Window) -> Decimal:
    """What counts against the budget in the window."""
    return spent_by(holder_of(budget), window)


def spent_by(holder: Q, window: Window) -> Decimal:
    """What the records that ``holder`` chooses (by team, project, key_id) have cost in the window.

    Whole days (UTC) are read from the daily sums, which also know of records that were archived; what a window of
    another time zone has beside them, from the rows.
    """
    days, edges = _cut(window)
    spent = _of_days(holder, *days) if days else Decimal(0)
    return sum((_of_rows(holder, edge) for edge in edges), spent)


def spent_of_each(window: Window, holders: Q | None = None) -> dict[Holder, Decimal]:
    """What was spent in the window by each team, project and key that spent anything; as ``spent_by``, all at once.

    Only of those that ``holders`` chooses (by team, project, key_id), where that is given.
    """
    chosen = holders or Q()
    days, edges = _cut(window)
    found: dict[Holder, Decimal] = {}
    if days:
        _add_up(found, _days(*days).filter(chosen), "cost_usd", "adjusted_usd")
    for edge in edges:
        _add_up(found, UsageRecord.objects.filter(chosen, *_within("started_at", edge)), "cost_usd")
        late = Adjustment.objects.filter(chosen, *_within("record_started_at", edge))
        _add_up(found, late, "amount_usd")
    return found


def _add_up(found: dict[Holder, Decimal], rows: "QuerySet[Any]", *names: str) -> None:
    sums = {f"sum_{name}": Sum(name) for name in names}
    for team, project, key, *amounts in (
        rows.order_by().values_list("team", "project", "key_id").annotate(**sums)
    ):
        holder = (team, project, key)
        found[holder] = sum(filter(None, amounts), found.get(holder, Decimal(0)))


def _cut(window: Window) -> tuple[tuple[date, date | None] | None, list[Window]]:
    """The whole days (UTC) of a window, the last one not meant with, and what it has beside them."""
    first_day = _midnight(window.began_at + timedelta(days=1) - timedelta(microseconds=1))
    last_day = _midnight(window.ends_at) if window.ends_at else None
    if last_day is not None and first_day >= last_day:
        return None, [window]
    edges = []
    if window.began_at < first_day:
        edges.append(Window(window.began_at, first_day))
    if last_day is not None and window.ends_at is not None and last_day < window.ends_at:
        edges.append(Window(last_day, window.ends_at))
    return (first_day.date(), last_day.date() if last_day else None), edges


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _of_days(holder: Q, from_on: date, before_on: date | None) -> Decimal:
    sums = (
        _days(from_on, before_on)
        .filter(holder)
        .aggregate(cost=Sum("cost_usd"), adjusted=Sum("adjusted_usd"))
    )
    return (sums["cost"] or Decimal(0)) + (sums["adjusted"] or Decimal(0))


def _days(from_on: date, before_on: date | None) -> "QuerySet[DailyUsage]":
    days = DailyUsage.objects.filter(on__gte=from_on)
    return days if before_on is None else days.filter(on__lt=before_on)


def _of_rows(holder: Q, window: Window) -> Decimal:
    records = UsageRecord.objects.filter(holder, *_within("started_at", window))
    adjustments = Adjustment.objects.filter(holder, *_within("record_started_at", window))
    return _sum(records, "cost_usd") + _sum(adjustments, "amount_usd")


def holder_of(budget: Budget) -> Q:
    """Chooses the rows of the ledger that a budget is about. A key's are those of all keys it was rotated from or to."""
    if budget.team is not None:
        return Q(team=budget.team.slug)
    if budget.project is not None:
        return Q(team=budget.project.team.slug, project=budget.project.slug)
    if budget.key is None:  # the database lets none in
        raise ValueError("a budget without a holder")
    pairs = VirtualKey.objects.filter(team=budget.key.team_id).values_list("pk", "rotated_from_id")
    firsts = first_of_each(pairs)
    first = firsts[budget.key.pk]
    return Q(key_id__in=sorted(pk for pk, of in firsts.items() if of == first))


def first_of_each(pairs: Iterable[tuple[int, int | None]]) -> dict[int, int]:
    """For each key the first of those it was rotated from, from pairs of a key and what it was rotated from."""
    before = dict(pairs)
    firsts: dict[int, int] = {}
    for pk in before:
        line = [pk]
        while (older := before.get(line[-1])) is not None and older in before and older not in line:
            line.append(older)
        firsts[pk] = line[-1]
    return firsts


def _within(name: str, window: Window) -> list[Q]:
    limits = [Q(**{f"{name}__gte": window.began_at})]
    if window.ends_at is not None:
        limits.append(Q(**{f"{name}__lt": window.ends_at}))
    return limits


def _sum(rows: "QuerySet[UsageRecord] | QuerySet[Adjustment]", name: str) -> Decimal:
    return rows.aggregate(sum=Sum(name))["sum"] or Decimal(0)

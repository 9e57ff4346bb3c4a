"""What the holders of budgets have spent, read for many budgets at once.

Whole days are read from the daily sums; what a window in another time zone has beside them, from the rows, once for
each such window, however many budgets share it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, Sum

from accounting.forecasts import WEEKS
from accounting.models import Adjustment, Budget, DailyUsage, UsageRecord, VirtualKey
from accounting.principals import Principal
from accounting.spending import Holder, first_of_each
from accounting.sums import ZERO_USD
from accounting.windows import Window, window_of

Place = tuple[Any, ...]
"""Where amounts are added up: a team, a project of it, or a line of keys that were rotated one from the other."""
Amounts = defaultdict[Place, Decimal]


def _no_amounts() -> Amounts:
    return defaultdict(Decimal)


@dataclass(slots=True)
class Spending:
    """What was spent by each place: on each day, in each window's edge, and ever; ``firsts`` names the lines of keys."""

    firsts: Mapping[int, int]
    days: defaultdict[Place, dict[date, Decimal]] = field(default_factory=lambda: defaultdict(dict))
    edges: dict[Window, Amounts] = field(default_factory=dict)
    ever: Amounts = field(default_factory=_no_amounts)

    def of(self, budget: Budget, *, now: datetime) -> Decimal:
        """What counts against the budget in the window that is now."""
        place, window = self.place_of(budget), window_now(budget, now)
        if window.ends_at is None:
            return self.ever[place]
        first = _midnight_after(window.began_at).date()
        days = self.days[place].items()
        spent = sum((amount for day, amount in days if day >= first), ZERO_USD)
        edge = _edge_of(window, now)
        return spent + (self.edges[edge][place] if edge else ZERO_USD)

    def before_today(self, budget: Budget, *, now: datetime) -> dict[date, Decimal]:
        """What was spent on each day (UTC) before today."""
        days = self.days[self.place_of(budget)].items()
        return {day: amount for day, amount in days if day < now.date()}

    def place_of(self, budget: Budget) -> Place:
        """Where what counts against the budget is added up."""
        if budget.key is not None:
            return ("line", self.firsts[budget.key.pk])
        if budget.project is not None:
            return (budget.project.team.slug, budget.project.slug)
        return (budget.team.slug if budget.team else "",)

    def places_of(self, holder: Holder) -> Iterator[Place]:
        """All places that an amount is added to."""
        team, project, key = holder
        yield (team,)
        yield (team, project)
        if key in self.firsts:
            yield ("line", self.firsts[key])


def read_spending(budgets: Sequence[Budget], principal: Principal, *, now: datetime) -> Spending:
    """What was spent of some budgets. Two or three queries, and two more for each window of another zone."""
    spending = Spending(_firsts(budgets))
    visible = _visible(budgets, spending, principal)
    rows = DailyUsage.objects.filter(visible, on__gte=earliest(now.date())).order_by()
    for on, holder, amount_usd in _summed(rows, budgets, "on"):
        for place in spending.places_of(holder):
            days = spending.days[place]
            days[on] = days.get(on, ZERO_USD) + amount_usd
    if any(budget.window == Budget.Window.TOTAL for budget in budgets):
        ever = DailyUsage.objects.filter(visible).order_by()
        for holder, amount_usd in _summed(ever, budgets):
            for place in spending.places_of(holder):
                spending.ever[place] += amount_usd
    for edge in {_edge_of(window_now(budget, now), now) for budget in budgets}:
        if edge is not None:
            spending.edges[edge] = amounts = _no_amounts()
            for holder, amount_usd in _read_edge(edge, visible):
                for place in spending.places_of(holder):
                    amounts[place] += amount_usd
    return spending


def earliest(today: date) -> date:
    """The first day that any window but the total one, or a forecast, can reach back to."""
    return min(today.replace(day=1), today - timedelta(days=WEEKS * 7)) - timedelta(days=2)


def window_now(budget: Budget, now: datetime) -> Window:
    """The budget's window that is now."""
    return window_of(budget.window, budget.time_zone, now)


def _firsts(budgets: Iterable[Budget]) -> dict[int, int]:
    """The first of the line of each key of the teams whose keys have budgets. One query where there are any."""
    teams = {budget.key.team_id for budget in budgets if budget.key is not None}
    if not teams:
        return {}
    pairs = VirtualKey.objects.filter(team__in=teams).values_list("pk", "rotated_from_id")
    return first_of_each(pairs)


def _visible(budgets: Iterable[Budget], spending: Spending, principal: Principal) -> Q:
    """All that a key has spent counts against its budget, also what it spent while it was somebody else's."""
    if principal.is_staff:
        return principal.filter()
    firsts = spending.firsts
    lines = {firsts[budget.key_id] for budget in budgets if budget.key_id}
    keys = sorted(key for key, first in firsts.items() if first in lines)
    return principal.filter() | Q(key_id__in=keys)


def _summed(
    rows: "QuerySet[DailyUsage]", budgets: Iterable[Budget], *columns: str
) -> Iterator[tuple[Any, ...]]:
    """The columns' values, team, project, key, and spend; what no budget tells apart is not told apart."""
    found = list(budgets)
    has_project = any(budget.project_id for budget in found)
    has_key = any(budget.key_id for budget in found)
    names = (*columns, "team", *(["project"] * has_project), *(["key_id"] * has_key))
    sums = rows.values(*names).annotate(cost=Sum("cost_usd"), adjusted=Sum("adjusted_usd"))
    for row in sums:
        holder = (row["team"], row.get("project", ""), row.get("key_id", 0))
        yield (*(row[name] for name in columns), holder, row["cost"] + row["adjusted"])


def _midnight_after(moment: datetime) -> datetime:
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == moment else midnight + timedelta(days=1)


def _edge_of(window: Window, now: datetime) -> Window | None:
    """The part of a window before its first whole day (UTC); None where it begins with one."""
    until = _midnight_after(window.began_at)
    return Window(window.began_at, min(until, now)) if until != window.began_at else None


def _read_edge(edge: Window, visible: Q) -> Iterator[tuple[Holder, Decimal]]:
    """What the rows of a few hours have cost, with their adjustments."""
    names = ("team", "project", "key_id")
    within = {"gte": edge.began_at, "lt": edge.ends_at}
    records = UsageRecord.objects.filter(
        visible, **{f"started_at__{end}": moment for end, moment in within.items()}
    ).order_by()
    adjustments = Adjustment.objects.filter(
        record_id__in=records.values("pk"),
        **{f"record_started_at__{end}": moment for end, moment in within.items()},
    ).order_by()
    costs = records.values(*names).annotate(sum=Sum("cost_usd")).values_list(*names, "sum")
    corrected = (
        adjustments.values(*names).annotate(sum=Sum("amount_usd")).values_list(*names, "sum")
    )
    for team, project, key, amount in (*costs, *corrected):
        yield (team, project, key), amount or ZERO_USD

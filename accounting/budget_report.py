"""Budgets with what is spent of them and where they are heading, and each team's month to its end.

Whole days are read from the daily sums; what a window in another time zone has beside them, from the rows, once for
each such window, however many budgets share it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.urls import reverse

from accounting.forecasts import WEEKS, Forecast, forecast
from accounting.models import Adjustment, Budget, DailyUsage, UsageRecord, VirtualKey
from accounting.periods import month_period
from accounting.principals import Principal
from accounting.reports import Page, share
from accounting.spending import first_of_each
from accounting.sums import ZERO_USD, sums_by
from accounting.tables import Column, Figure, Row, Table
from accounting.windows import Window, window_of

Holder = tuple[str, str, int]
"""Team, project and key: whose spend an amount is."""
HOW = (
    "The even forecast goes on as the window began: what is spent, divided by the share of the window that has passed. The"
    f" forecast by weekdays adds to what is spent the mean of the last {WEEKS} weeks' Mondays, Tuesdays and so on for the rest"
    " of today and each day to come (UTC); it needs two weeks of usage. Neither knows of holidays or new projects. Unpriced"
    " attempts are in neither."
)


@dataclass(slots=True)
class Spending:
    """What was spent, by day and holder."""

    amounts: dict[date, dict[Holder, Decimal]] = field(default_factory=dict)
    edges: dict[Window, dict[Holder, Decimal]] = field(default_factory=dict)
    ever: dict[Holder, Decimal] = field(default_factory=dict)

    def by_day(self, wanted: "Wanted") -> dict[date, Decimal]:
        """What was spent on each day by those wanted."""
        found = {}
        for day, amounts in self.amounts.items():
            parts = [amount for holder, amount in amounts.items() if wanted.holds(holder)]
            if parts:
                found[day] = sum(parts, ZERO_USD)
        return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose spend is summed: a team's, a project's, or that of all keys of one line."""

    team: str
    project: str | None = None
    keys: frozenset[int] | None = None

    def holds(self, holder: Holder) -> bool:
        """Whether an amount counts."""
        team, project, key = holder
        if self.keys is not None:
            return key in self.keys
        return team == self.team and (self.project is None or project == self.project)


def budgets_of(principal: Principal) -> list[Budget]:
    """The budgets that may be seen: all of a whole team's, and those of one's own keys."""
    budgets = Budget.objects.select_related("team", "project__team", "key__team", "key__owner")
    if not principal.is_staff:
        teams = sorted(principal.whole_teams)
        budgets = budgets.filter(
            Q(team__slug__in=teams)
            | Q(project__team__slug__in=teams)
            | Q(key__team__slug__in=teams)
            | Q(
                key__owner__username=principal.username,
                key__team__slug__in=sorted(principal.joined),
            )
        )
    return list(budgets.order_by("pk"))


def budget_page(principal: Principal, *, now: datetime) -> Page:
    """GET /usage/budgets/: every budget and every team's month. Four queries, two more for each window of another zone."""
    budgets = [budget for budget in budgets_of(principal) if budget.enabled]
    lines = _key_lines(budgets)
    spending = _read_spending(budgets, lines, principal, now=now)
    budget_rows = [_budget_row(budget, spending, lines, now=now) for budget in budgets]
    teams = _team_table(budgets, principal, now=now)
    return Page(
        "budgets",
        "Budgets & forecast",
        figures=_figures(teams, budget_rows),
        tables=(_budget_table(budget_rows), teams),
        notes=(HOW,),
    )


def _key_lines(budgets: Iterable[Budget]) -> dict[int, frozenset[int]]:
    """For each key all that it was rotated from or to. One query where a key has a budget."""
    teams = {budget.key.team_id for budget in budgets if budget.key is not None}
    if not teams:
        return {}
    pairs = VirtualKey.objects.filter(team__in=teams).values_list("pk", "rotated_from_id")
    firsts = first_of_each(pairs)
    lines: dict[int, set[int]] = {}
    for pk, first in firsts.items():
        lines.setdefault(first, set()).add(pk)
    return {pk: frozenset(lines[first]) for pk, first in firsts.items()}


def _earliest(today: date) -> date:
    """The first day that any window but the total one, or a forecast, can reach back to."""
    return min(today.replace(day=1), today - timedelta(days=WEEKS * 7)) - timedelta(days=2)


def _read_spending(
    budgets: list[Budget],
    lines: Mapping[int, frozenset[int]],
    principal: Principal,
    *,
    now: datetime,
) -> Spending:
    # All that a key has spent counts against its budget, also what it spent while it was somebody else's.
    keys = {key for budget in budgets if budget.key_id for key in lines[budget.key_id]}
    visible = (
        principal.filter()
        if principal.is_staff
        else principal.filter() | Q(key_id__in=sorted(keys))
    )
    rows = DailyUsage.objects.filter(visible, on__gte=_earliest(now.date())).order_by()
    spending = Spending()
    for on, holder, amount_usd in _summed(rows, budgets, "on"):
        spending.amounts.setdefault(on, {})[holder] = amount_usd
    if any(budget.window == Budget.Window.TOTAL for budget in budgets):
        ever = DailyUsage.objects.filter(visible).order_by()
        for holder, amount_usd in _summed(ever, budgets):
            spending.ever[holder] = amount_usd
    for window in {_edge_of(_window(budget, now), now) for budget in budgets} - {None}:
        if window is not None:
            spending.edges[window] = _read_edge(window, visible)
    return spending


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


def _window(budget: Budget, now: datetime) -> Window:
    return window_of(budget.window, budget.time_zone, now)


def _midnight_after(moment: datetime) -> datetime:
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == moment else midnight + timedelta(days=1)


def _edge_of(window: Window, now: datetime) -> Window | None:
    """The part of a window before its first whole day (UTC); None where it begins with one."""
    until = _midnight_after(window.began_at)
    return Window(window.began_at, min(until, now)) if until != window.began_at else None


def _read_edge(edge: Window, visible: Q) -> dict[Holder, Decimal]:
    """What the rows of a few hours have cost, with their adjustments."""
    found: dict[Holder, Decimal] = {}
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
        holder = (team, project, key)
        found[holder] = found.get(holder, ZERO_USD) + (amount or ZERO_USD)
    return found


def _wanted(budget: Budget, lines: Mapping[int, frozenset[int]]) -> Wanted:
    if budget.key is not None:
        return Wanted(budget.key.team.slug, keys=lines[budget.key.pk])
    if budget.project is not None:
        return Wanted(budget.project.team.slug, budget.project.slug)
    return Wanted(budget.team.slug if budget.team else "")


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One budget with its window's spend and forecast."""

    budget: Budget
    window: Window
    spent_usd: Decimal
    forecast: Forecast

    @property
    def verdict(self) -> str:
        """Where it is heading, in words."""
        amount = self.budget.amount_usd or ZERO_USD
        if self.spent_usd >= amount:
            return "used up"
        expected = self.forecast.best_usd
        if expected is None:
            return "too early to tell" if self.window.ends_at else "has no end"
        if expected > amount:
            return "will be exceeded"
        return "close" if expected > amount * 9 / 10 else "on track"


def _budget_row(
    budget: Budget, spending: Spending, lines: Mapping[int, frozenset[int]], *, now: datetime
) -> BudgetRow:
    window = _window(budget, now)
    wanted = _wanted(budget, lines)
    if window.ends_at is None:
        spent = sum(
            (amount for holder, amount in spending.ever.items() if wanted.holds(holder)), ZERO_USD
        )
        return BudgetRow(budget, window, spent, Forecast(None, None))
    by_day = spending.by_day(wanted)
    first = _midnight_after(window.began_at).date()
    spent = sum((amount for day, amount in by_day.items() if day >= first), ZERO_USD)
    if edge := _edge_of(window, now):
        amounts = spending.edges[edge].items()
        spent += sum((amount for holder, amount in amounts if wanted.holds(holder)), ZERO_USD)
    expected = forecast(
        spent,
        began_at=window.began_at,
        ends_at=window.ends_at,
        now=now,
        by_day={day: amount for day, amount in by_day.items() if day < now.date()},
    )
    return BudgetRow(budget, window, spent, expected)


def _budget_table(rows: list[BudgetRow]) -> Table:
    return Table(
        "budgets",
        "Budgets",
        (
            Column("budget", "Budget of"),
            Column("verdict", "Heading", "verdict"),
            Column("spent_share", "Used", "used"),
            Column("spent_usd", "Spent (USD)", "usd"),
            Column("amount_usd", "Budget (USD)", "usd"),
            Column("forecast_usd", "Forecast by weekdays (USD)", "usd_known"),
            Column("even_usd", "Even forecast (USD)", "usd_known"),
            Column("window", "Window"),
            Column("kind", "Kind"),
            Column("ends_at", "Window ends (UTC)", "moment"),
        ),
        tuple(
            Row(
                (
                    f"{_holder_kind(row.budget)} {row.budget.holder_name}",
                    row.verdict,
                    share(row.spent_usd, row.budget.amount_usd or ZERO_USD),
                    row.spent_usd,
                    row.budget.amount_usd,
                    row.forecast.weekday_usd,
                    row.forecast.even_usd,
                    _window_words(row.budget),
                    "hard" if row.budget.hard else "soft",
                    row.window.ends_at,
                )
            )
            for row in sorted(rows, key=_by_use)
        ),
        empty="No budgets that are yours to see. A team's lead or an administrator makes them at Admin → Budgets.",
    )


def _by_use(row: BudgetRow) -> tuple[Decimal, int]:
    return -row.spent_usd / (row.budget.amount_usd or Decimal(1)), row.budget.pk


def _holder_kind(budget: Budget) -> str:
    return "team" if budget.team_id else "project" if budget.project_id else "key"


def _window_words(budget: Budget) -> str:
    if budget.window == Budget.Window.TOTAL:
        return "in total"
    return f"a {budget.window}" + ("" if budget.time_zone == "UTC" else f", {budget.time_zone}")


def _team_table(budgets: list[Budget], principal: Principal, *, now: datetime) -> Table:
    """Each team's month (UTC), and its monthly budget where it has one. One query."""
    month = month_period(now.date())
    began_at = datetime.combine(month.from_on, datetime.min.time(), UTC)
    ends_at = datetime.combine(month.to_on + timedelta(days=1), datetime.min.time(), UTC)
    monthly = {
        budget.team.slug: budget.amount_usd
        for budget in budgets
        if budget.team is not None and budget.window == Budget.Window.MONTH
    }
    by_team: dict[str, dict[date, Decimal]] = {}
    rows = DailyUsage.objects.filter(principal.filter(), on__gte=_earliest(now.date())).order_by()
    for (day, team), sums in sums_by(rows, "on", "team"):
        by_team.setdefault(team, {})[day] = sums.spend_usd

    def values(days: Mapping[date, Decimal], amount_usd: Decimal | None) -> tuple[Any, ...]:
        spent = sum((amount for day, amount in days.items() if day >= month.from_on), ZERO_USD)
        expected = forecast(
            spent,
            began_at=began_at,
            ends_at=ends_at,
            now=now,
            by_day={day: amount for day, amount in days.items() if day < now.date()},
        )
        used = (
            share(expected.best_usd, amount_usd)
            if expected.best_usd is not None and amount_usd
            else None
        )
        return spent, expected.weekday_usd, expected.even_usd, amount_usd, used

    all_days: dict[date, Decimal] = {}
    for days in by_team.values():
        for day, amount in days.items():
            all_days[day] = all_days.get(day, ZERO_USD) + amount
    own = (
        ""
        if principal.is_staff or not principal.joined - principal.whole_teams
        else " (of teams you are a member of, your own usage)"
    )
    return Table(
        "teams",
        f"{now:%B %Y} by team{own}",
        (
            Column("team", "Team"),
            Column("spent_usd", "So far (USD)", "usd"),
            Column("forecast_usd", "Forecast by weekdays (USD)", "usd_known"),
            Column("even_usd", "Even forecast (USD)", "usd_known"),
            Column("budget_usd", "Month's budget (USD)", "usd_known"),
            Column("forecast_share", "Forecast of budget", "used"),
        ),
        tuple(
            Row(
                (team, *values(days, monthly.get(team))),
                f"{reverse('accounting:usage')}?period=this-month&team={team}",
            )
            for team, days in sorted(by_team.items())
        ),
        Row(("Total", *values(all_days, None))) if by_team else None,
        empty="Nothing was used in the last weeks.",
    )


def _figures(teams: Table, rows: list[BudgetRow]) -> tuple[Figure, ...]:
    total = teams.total.values if teams.total else (None, ZERO_USD, None, None)
    late = sum(row.verdict in {"used up", "will be exceeded"} for row in rows)
    return (
        Figure("month_usd", "This month so far", total[1], "usd"),
        Figure("month_forecast_usd", "Forecast for the month, by weekdays", total[2], "usd_known"),
        Figure("month_even_usd", "Forecast for the month, even", total[3], "usd_known"),
        Figure("budgets_over", "Budgets used up or heading over", late, "count"),
    )

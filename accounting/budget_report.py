"""Budgets with what is spent of them and where they are heading, and each team's month to its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.urls import reverse

from accounting.budget_spending import Spending, earliest, read_spending, window_now
from accounting.forecasts import WEEKS, Forecast, forecast
from accounting.models import Budget, DailyUsage
from accounting.periods import month_period
from accounting.principals import Principal
from accounting.reports import ROWS_MAX, Page, share
from accounting.sums import ZERO_USD, sums_by
from accounting.tables import Column, Figure, Row, Table
from accounting.windows import Window

HOW = (
    "The even forecast goes on as the window began: what is spent, divided by the share of the window that has passed. The"
    f" forecast by weekdays adds to what is spent the mean of the last {WEEKS} weeks' Mondays, Tuesdays and so on for the rest"
    " of today and each day to come (UTC); it needs two weeks of usage. Neither knows of holidays or new projects. Unpriced"
    " attempts are in neither."
)


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


def budget_page(principal: Principal, *, now: datetime, part: int | None = None) -> Page:
    """GET /usage/budgets/: every budget and every team's month; of long tables a part, counted from 1, or all.

    Four queries, two more for each window of another zone.
    """
    budgets = [budget for budget in budgets_of(principal) if budget.enabled]
    spending = read_spending(budgets, principal, now=now)
    budget_rows = [_budget_row(budget, spending, now=now) for budget in budgets]
    teams = _team_table(budgets, principal, now=now)
    tables = (_budget_table(budget_rows), teams)
    return Page(
        "budgets",
        "Budgets & forecast",
        figures=_figures(teams, budget_rows),
        tables=tables if part is None else tuple(table.part(part, ROWS_MAX) for table in tables),
        notes=(HOW,),
    )


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


def _budget_row(budget: Budget, spending: Spending, *, now: datetime) -> BudgetRow:
    window = window_now(budget, now)
    spent = spending.of(budget, now=now)
    if window.ends_at is None:
        return BudgetRow(budget, window, spent, Forecast(None, None))
    expected = forecast(
        spent,
        began_at=window.began_at,
        ends_at=window.ends_at,
        now=now,
        by_day=spending.before_today(budget, now=now),
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


def _team_table(budgets: Sequence[Budget], principal: Principal, *, now: datetime) -> Table:
    """Each team's month (UTC), and its monthly budget where it has one. One query."""
    monthly = {
        budget.team.slug: budget.amount_usd
        for budget in budgets
        if budget.team is not None and budget.window == Budget.Window.MONTH
    }
    by_team: dict[str, dict[date, Decimal]] = {}
    all_days: dict[date, Decimal] = {}
    rows = DailyUsage.objects.filter(principal.filter(), on__gte=earliest(now.date())).order_by()
    for (day, team), sums in sums_by(rows, "on", "team"):
        by_team.setdefault(team, {})[day] = sums.spend_usd
        all_days[day] = all_days.get(day, ZERO_USD) + sums.spend_usd
    return Table(
        "teams",
        f"{now:%B %Y} by team{_whose(principal)}",
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
                (team, *_month_of(days, monthly.get(team), now=now)),
                f"{reverse('accounting:usage')}?period=this-month&team={team}",
            )
            for team, days in sorted(by_team.items())
        ),
        Row(("Total", *_month_of(all_days, None, now=now))) if by_team else None,
        empty="Nothing was used in the last weeks.",
    )


def _whose(principal: Principal) -> str:
    """What the table of teams adds to its title for people who do not see all of each team."""
    if principal.is_staff or not principal.joined - principal.whole_teams:
        return ""
    return " (of teams you are a member of, your own usage)"


def _month_of(
    days: Mapping[date, Decimal], amount_usd: Decimal | None, *, now: datetime
) -> tuple[Any, ...]:
    """The month's spend so far, both forecasts, the budget, and the forecast's share of it."""
    month = month_period(now.date())
    spent = sum((amount for day, amount in days.items() if day >= month.from_on), ZERO_USD)
    expected = forecast(
        spent,
        began_at=datetime.combine(month.from_on, datetime.min.time(), UTC),
        ends_at=datetime.combine(month.to_on + timedelta(days=1), datetime.min.time(), UTC),
        now=now,
        by_day={day: amount for day, amount in days.items() if day < now.date()},
    )
    best_usd = expected.best_usd
    used = share(best_usd, amount_usd) if best_usd is not None and amount_usd else None
    return spent, expected.weekday_usd, expected.even_usd, amount_usd, used


def _figures(teams: Table, rows: list[BudgetRow]) -> tuple[Figure, ...]:
    total = teams.total.values if teams.total else (None, ZERO_USD, None, None)
    late = sum(row.verdict in {"used up", "will be exceeded"} for row in rows)
    return (
        Figure("month_usd", "This month so far", total[1], "usd"),
        Figure("month_forecast_usd", "Forecast for the month, by weekdays", total[2], "usd_known"),
        Figure("month_even_usd", "Forecast for the month, even", total[3], "usd_known"),
        Figure("budgets_over", "Budgets used up or heading over", late, "count"),
    )

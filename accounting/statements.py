"""What a team is charged for a month: by project, key and model, with subtotals, and the adjustments in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, Sum
from django.urls import reverse

from accounting.models import Adjustment, DailyUsage, Team
from accounting.periods import Period, month_period
from accounting.principals import Principal
from accounting.report_query import NONE
from accounting.sums import Sums, added, key_names, sums_by
from accounting.tables import Column, Row, Table

MONTHS_MAX = 24
Line = tuple[str, Sums]


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One key of a project: its models, dearest first, and their sum."""

    name: str
    models: tuple[Line, ...]
    sums: Sums


@dataclass(frozen=True, slots=True)
class ProjectPart:
    """One project: its keys, and their sum."""

    name: str
    keys: tuple[KeyPart, ...]
    sums: Sums


@dataclass(frozen=True, slots=True)
class Statement:
    """A team's month. ``is_provisional`` as long as the month is not over."""

    team: str
    team_name: str
    period: Period
    projects: tuple[ProjectPart, ...]
    adjustments: tuple[dict[str, Any], ...]
    is_provisional: bool

    @property
    def total(self) -> Sums:
        """All of it."""
        return added(part.sums for part in self.projects)

    @property
    def month(self) -> str:
        """The month as it stands in addresses."""
        return f"{self.period.from_on:%Y-%m}"

    @property
    def tables(self) -> tuple[Table, ...]:
        """The statement's lines without subtotals, so that a sheet can sum them, and the adjustments."""
        return _lines_table(self), _adjustments_table(self)


def read_month(text: str) -> date | None:
    """The first day of a month written as YYYY-MM; None for anything else."""
    year, dash, month = text.partition("-")
    is_written = bool(dash) and len(year) == 4 and len(month) == 2 and (year + month).isascii()
    if not is_written or not (year + month).isdigit() or not 1 <= int(month) <= 12:
        return None
    return date(int(year), int(month), 1) if 1990 <= int(year) <= 9000 else None


def statement_of(
    team: str, month_on: date, principal: Principal, *, today: date
) -> Statement | None:
    """The statement; None where the team is not there, or not the principal's to see all of. Four queries."""
    if not principal.may_see_team(team):
        return None
    period = month_period(month_on)
    rows = DailyUsage.objects.filter(
        team=team, on__gte=period.from_on, on__lte=period.to_on
    ).order_by()
    found = dict(sums_by(rows, "project", "key_id", "upstream_model"))
    row = Team.objects.filter(slug=team).first()
    if row is None and not found:
        return None
    return Statement(
        team=team,
        team_name=str(row or team),
        period=period,
        projects=_projects(found, key_names(rows)),
        adjustments=_adjustments(team, period),
        is_provisional=today <= period.to_on,
    )


def _projects(
    found: Mapping[tuple[Any, ...], Sums], names: Mapping[int, str]
) -> tuple[ProjectPart, ...]:
    tree: dict[str, dict[int, dict[str, Sums]]] = {}
    for (project, key, model), sums in found.items():
        tree.setdefault(project, {}).setdefault(key, {})[model] = sums
    parts = []
    for project, keys in tree.items():
        key_parts = [
            KeyPart(
                names.get(key, str(key)),
                tuple(sorted(models.items(), key=_line_order)),
                added(models.values()),
            )
            for key, models in keys.items()
        ]
        key_parts.sort(key=lambda part: (-part.sums.spend_usd, part.name))
        parts.append(
            ProjectPart(project or NONE, tuple(key_parts), added(part.sums for part in key_parts))
        )
    return tuple(sorted(parts, key=lambda part: (-part.sums.spend_usd, part.name)))


def _line_order(line: Line) -> tuple[Decimal, int, str]:
    return -line[1].spend_usd, -line[1].attempts, line[0]


def _adjustments(team: str, period: Period) -> tuple[dict[str, Any], ...]:
    """One for each re-costing and project: when it was booked, by whom, why, how many records and how much."""
    began_at = datetime.combine(period.from_on, datetime.min.time(), UTC)
    ended_at = datetime.combine(period.to_on + timedelta(days=1), datetime.min.time(), UTC)
    found = (
        Adjustment.objects.filter(
            team=team, record_started_at__gte=began_at, record_started_at__lt=ended_at
        )
        .order_by()
        .values("run", "reason", "by", "project")
        .annotate(booked_at=Max("at"), records=Count("pk"), amount_usd_sum=Sum("amount_usd"))
    )
    lines: list[dict[str, Any]] = [dict(line) for line in found]
    return tuple(sorted(lines, key=lambda line: (line["booked_at"], line["run"], line["project"])))


def _lines_table(statement: Statement) -> Table:
    return Table(
        "lines",
        f"Statement {statement.team} {statement.month}",
        (
            Column("project", "Project"),
            Column("key", "API key"),
            Column("model", "Model"),
            Column("requests", "Requests", "count"),
            Column("prompt_tokens", "Prompt (tokens)", "count"),
            Column("completion_tokens", "Completion (tokens)", "count"),
            Column("unpriced", "Unpriced (attempts)", "count"),
            Column("cost_usd", "Cost (USD)", "usd"),
            Column("adjusted_usd", "Adjustments (USD)", "usd"),
            Column("spend_usd", "Spend (USD)", "usd"),
        ),
        tuple(
            Row((project.name, key.name, model, *_amounts(sums)))
            for project in statement.projects
            for key in project.keys
            for model, sums in key.models
        ),
        Row(("Total", "", "", *_amounts(statement.total))),
    )


def _amounts(sums: Sums) -> tuple[Any, ...]:
    return (
        sums.requests,
        sums.prompt_tokens,
        sums.completion_tokens,
        sums.unpriced,
        sums.cost_usd,
        sums.adjusted_usd,
        sums.priced_spend_usd,
    )


def _adjustments_table(statement: Statement) -> Table:
    return Table(
        "adjustments",
        "Adjustments",
        (
            Column("booked_at", "Booked (UTC)", "moment"),
            Column("project", "Project"),
            Column("reason", "Reason"),
            Column("by", "By"),
            Column("records", "Records", "count"),
            Column("amount_usd", "Amount (USD)", "usd"),
            Column("run", "Run"),
        ),
        tuple(
            Row(
                (
                    line["booked_at"],
                    line["project"] or NONE,
                    line["reason"],
                    line["by"],
                    line["records"],
                    line["amount_usd_sum"],
                    line["run"],
                )
            )
            for line in statement.adjustments
        ),
        Row(
            (
                "Total",
                "",
                "",
                "",
                sum(line["records"] for line in statement.adjustments),
                sum((line["amount_usd_sum"] for line in statement.adjustments), Decimal(0)),
                "",
            )
        )
        if statement.adjustments
        else None,
        empty="None in this month.",
    )


def statements_table(principal: Principal, *, today: date) -> Table:
    """The months and teams that there are statements for, newest first. One query."""
    earliest = today.replace(day=1) - timedelta(days=31 * MONTHS_MAX)
    rows = DailyUsage.objects.filter(on__gte=earliest.replace(day=1)).order_by()
    if not principal.is_staff:
        rows = rows.filter(team__in=sorted(principal.whole_teams))
    months: dict[tuple[str, str], Sums] = {}
    for (on, team), sums in sums_by(rows, "on", "team"):
        month = f"{on:%Y-%m}"
        months[month, team] = months.get((month, team), Sums()) + sums
    newest = sorted(months.items(), key=lambda pair: pair[0][1])
    newest.sort(key=lambda pair: pair[0][0], reverse=True)
    return Table(
        "statements",
        "Statements",
        (
            Column("team", "Team"),
            Column("month", "Month (UTC)"),
            Column("spend_usd", "Spend (USD)", "usd"),
            Column("adjusted_usd", "Of spend: adjustments (USD)", "usd"),
            Column("requests", "Requests", "count"),
            Column("unpriced", "Unpriced (attempts)", "count"),
            Column("state", "State"),
        ),
        tuple(
            Row(
                (
                    team,
                    month,
                    sums.priced_spend_usd,
                    sums.adjusted_usd,
                    sums.requests,
                    sums.unpriced,
                    "provisional" if month == f"{today:%Y-%m}" else "month is over",
                ),
                reverse("accounting:statement", args=[team, month]),
            )
            for (month, team), sums in newest
        ),
        empty="No team whose whole usage is yours to see has used anything yet. Statements are for leads, auditors and staff.",
    )

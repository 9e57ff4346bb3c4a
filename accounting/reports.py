"""Typed rows for the usage page, its CSV and its JSON: sums over the ledger, exact to the last digit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounting.models import UsageRecord

DAYS_DEFAULT = 30
DAYS_MAX = 366
FILTERS = ("team", "alias", "provider")


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in UTC, both ends included, and what the rows are narrowed to."""

    from_on: date
    to_on: date
    narrowed_to: Mapping[str, str]

    @property
    def days(self) -> int:
        """How many days it covers."""
        return (self.to_on - self.from_on).days + 1


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over some records. ``spend_usd`` is what is priced; ``unpriced`` counts answered records that are not."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    spend_usd: Decimal = Decimal(0)
    unpriced: int = 0
    failed: int = 0
    ttft_ms: int | None = None

    @property
    def cache_share(self) -> float | None:
        """Share of prompt tokens that was read from a cache; None without a prompt."""
        return self.cache_read_tokens / self.prompt_tokens if self.prompt_tokens else None


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table: a day, a team or a model, with its sums."""

    name: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class UsageReport:
    """All that the page shows. Days without a record are there too, so that a chart has no holes."""

    period: Period
    totals: Totals
    days: tuple[Line, ...]
    teams: tuple[Line, ...]
    models: tuple[Line, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return self.totals.requests == 0


def read_period(query: Mapping[str, str], *, today: date) -> Period:
    """The period that an address asks for; what cannot be read is as if it were not there."""
    to_on = _read_day(query.get("to")) or today
    from_on = _read_day(query.get("from")) or to_on - timedelta(days=DAYS_DEFAULT - 1)
    from_on = min(max(from_on, to_on - timedelta(days=DAYS_MAX - 1)), to_on)
    narrowed_to = {name: query[name] for name in FILTERS if query.get(name)}
    return Period(from_on, to_on, narrowed_to)


def _read_day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def records_of(period: Period) -> QuerySet[UsageRecord]:
    """The ledger rows behind a report."""
    began_at = datetime.combine(period.from_on, datetime.min.time(), UTC)
    ended_at = datetime.combine(period.to_on + timedelta(days=1), datetime.min.time(), UTC)
    return UsageRecord.objects.filter(
        started_at__gte=began_at, started_at__lt=ended_at, **period.narrowed_to
    )


def usage_report(period: Period) -> UsageReport:
    """Spend and tokens of a period: four queries over the index of times."""
    rows = records_of(period)
    by_day = {
        line.name: line for line in _lines(rows.annotate(name=TruncDate("started_at", tzinfo=UTC)))
    }
    every_day = (period.from_on + timedelta(days=number) for number in range(period.days))
    return UsageReport(
        period=period,
        totals=_totals(rows.aggregate(**_sums())),
        days=tuple(by_day.get(str(day), Line(str(day), Totals())) for day in every_day),
        teams=tuple(sorted(_lines(rows.values("team"), "team"), key=_by_spend)),
        models=tuple(
            sorted(_lines(rows.values("upstream_model"), "upstream_model"), key=_by_spend)
        ),
    )


def _sums() -> dict[str, Any]:
    status = UsageRecord.Status
    return {
        "requests": Count("pk"),
        "prompt_tokens_sum": Sum("prompt_tokens"),
        "completion_tokens_sum": Sum("completion_tokens"),
        "cache_read_tokens_sum": Sum("cache_read_tokens"),
        "spend_usd": Sum("cost_usd"),
        "unpriced": Count("pk", filter=Q(cost_usd=None) & ~Q(status=status.FAILED)),
        "failed": Count("pk", filter=Q(status=status.FAILED)),
        "ttft_ms_avg": Avg("ttft_ms"),
    }


def _lines(rows: QuerySet[Any], name: str = "name") -> Iterator[Line]:
    for row in rows.values(name).annotate(**_sums()).order_by():
        yield Line(str(row[name]), _totals(row))


def _totals(row: Mapping[str, Any]) -> Totals:
    ttft_ms = row["ttft_ms_avg"]
    return Totals(
        requests=row["requests"],
        prompt_tokens=row["prompt_tokens_sum"] or 0,
        completion_tokens=row["completion_tokens_sum"] or 0,
        cache_read_tokens=row["cache_read_tokens_sum"] or 0,
        spend_usd=row["spend_usd"] or Decimal(0),
        unpriced=row["unpriced"],
        failed=row["failed"],
        ttft_ms=None if ttft_ms is None else round(ttft_ms),
    )


def _by_spend(line: Line) -> tuple[Decimal, int, str]:
    return (-line.totals.spend_usd, -line.totals.requests, line.name)


COLUMNS = tuple(field.name for field in fields(Totals))


def table_rows(report: UsageReport) -> Iterator[list[str]]:
    """The report as rows of text, headings first: what the page shows, one table under the other."""
    yield ["by", "name", *COLUMNS]
    for by, lines in (("day", report.days), ("team", report.teams), ("model", report.models)):
        for line in lines:
            yield [by, line.name, *(plain(getattr(line.totals, name)) for name in COLUMNS)]
    yield ["total", "", *(plain(getattr(report.totals, name)) for name in COLUMNS)]


def plain(value: Any) -> str:
    """A value for a file: decimals with all their digits, nothing for what is not known."""
    if value is None:
        return ""
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def as_tree(report: UsageReport) -> dict[str, Any]:
    """The report for JSON; amounts are strings, so that no digit is lost."""
    return {
        "from": str(report.period.from_on),
        "to": str(report.period.to_on),
        **report.period.narrowed_to,
        "totals": _tree_of(report.totals),
        "days": [{"name": line.name, **_tree_of(line.totals)} for line in report.days],
        "teams": [{"name": line.name, **_tree_of(line.totals)} for line in report.teams],
        "models": [{"name": line.name, **_tree_of(line.totals)} for line in report.models],
    }


def _tree_of(totals: Totals) -> dict[str, Any]:
    return {
        name: plain(value) if isinstance(value := getattr(totals, name), Decimal) else value
        for name in COLUMNS
    }

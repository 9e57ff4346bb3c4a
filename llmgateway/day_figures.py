"""The dashboard's figures: the last minutes from the ledger's newest rows, days from the daily sums.

What is read is bounded: the newest rows of some minutes, and the sums of two weeks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from accounting.models import DailyLatency, DailyUsage, UsageRecord
from accounting.rollups import percentile
from accounting.templatetags.amounts import MANY, percent, tokens, usd

NOW_MINUTES = 5
NOW_ROWS_MAX = 5000
DAYS = 14
MEDIAN = 0.5
SUMMED = {"requests", "spend_usd", "tokens"}
SPARK_WIDTH, SPARK_HEIGHT = 100, 24
FAILED = UsageRecord.Status.FAILED.value
NONE = "–"


@dataclass(frozen=True, slots=True)
class Span:
    """What happened in a span of time. ``ttft_ms`` is the median; ``is_cut`` where only the newest rows were read."""

    requests: int = 0
    attempts: int = 0
    failed: int = 0
    tokens: int = 0
    spend_usd: Decimal = Decimal(0)
    ttft_ms: int | None = None
    is_cut: bool = False

    @property
    def error_share(self) -> float | None:
        """Share of attempts that failed."""
        return self.failed / self.attempts if self.attempts else None


@dataclass(frozen=True, slots=True)
class Spark:
    """A line without axes: where it goes through, and in words what it shows."""

    points: str
    words: str


@dataclass(frozen=True, slots=True)
class FigureCard:
    """One figure now, today and yesterday, ready to be shown."""

    label: str
    now: str
    today: str
    yesterday: str
    spark: Spark | None


def last_minutes(now: datetime) -> Span:
    """The last minutes, from the ledger: at most so many of the newest rows. One query."""
    since = now - timedelta(minutes=NOW_MINUTES)
    newest = UsageRecord.objects.filter(started_at__gte=since).order_by("-started_at")
    columns = (
        "attempt",
        "status",
        "cost_usd",
        "prompt_tokens",
        "completion_tokens",
        "ttft_ms",
    )
    rows = list(newest.values_list(*columns)[:NOW_ROWS_MAX])
    ttfts = sorted(row[-1] for row in rows if row[-1] is not None)
    return Span(
        requests=sum(attempt == 1 for attempt, *_rest in rows),
        attempts=len(rows),
        failed=sum(row[1] == FAILED for row in rows),
        tokens=sum((row[3] or 0) + (row[4] or 0) for row in rows),
        spend_usd=sum((row[2] for row in rows if row[2] is not None), Decimal(0)),
        ttft_ms=ttfts[len(ttfts) // 2] if ttfts else None,
        is_cut=len(rows) == NOW_ROWS_MAX,
    )


def days_until(last_on: date) -> list[Span]:
    """The last days (UTC), the oldest first, also those on which nothing happened. Two queries."""
    first_on = last_on - timedelta(days=DAYS - 1)
    names = ("requests", "attempts", "failed", "prompt_tokens", "completion_tokens")
    amounts = ("cost_usd", "adjusted_usd")
    sums = {f"sum_{name}": Sum(name) for name in (*names, *amounts)}
    found = DailyUsage.objects.filter(on__gte=first_on, on__lte=last_on).order_by()
    by_day: dict[date, Mapping[str, Any]] = {
        row["on"]: row for row in found.values("on").annotate(**sums)
    }
    medians = _medians(first_on, last_on)
    days = (first_on + timedelta(days=number) for number in range(DAYS))
    return [_day(by_day.get(on, {}), medians.get(on)) for on in days]


def _day(row: Mapping[str, Any], ttft_ms: int | None) -> Span:
    # PostgreSQL sums whole numbers of eight bytes as decimals.
    def count(name: str) -> int:
        return int(row.get(f"sum_{name}") or 0)

    spend = (row.get("sum_cost_usd") or Decimal(0)) + (row.get("sum_adjusted_usd") or Decimal(0))
    both = count("prompt_tokens") + count("completion_tokens")
    return Span(count("requests"), count("attempts"), count("failed"), both, spend, ttft_ms=ttft_ms)


def _medians(first_on: date, last_on: date) -> dict[date, int | None]:
    """The median TTFT of each day, from the counts by bucket."""
    counts: dict[date, Counter[int]] = {}
    rows = DailyLatency.objects.order_by().filter(
        on__gte=first_on, on__lte=last_on, measure=DailyLatency.Measure.TTFT
    )
    for on, bucket, count in (
        rows.values("on", "bucket").annotate(sum=Sum("count")).values_list("on", "bucket", "sum")
    ):
        counts.setdefault(on, Counter())[bucket] = int(count)
    return {on: percentile(of_day, MEDIAN) for on, of_day in counts.items()}


def figure_cards(now: datetime) -> list[FigureCard]:
    """The figures of the dashboard. Three queries."""
    recent, days = last_minutes(now), days_until(now.date())
    more = "+" if recent.is_cut else ""
    wanted = (
        ("Requests", "requests", tokens),
        ("Spend", "spend_usd", usd),
        ("Tokens", "tokens", _many),
        ("Errors", "error_share", percent),
        ("TTFT, median", "ttft_ms", _ms),
    )
    return [
        FigureCard(
            label,
            show(getattr(recent, name)) + (more if name in SUMMED else ""),
            show(getattr(days[-1], name)),
            show(getattr(days[-2], name)),
            spark([getattr(day, name) for day in days], show),
        )
        for label, name, show in wanted
    ]


def _many(count: int) -> str:
    """A count; large ones in millions and billions, as the reports show them."""
    if count < MANY:
        return tokens(count)
    size, name = (10**9, "billion") if count >= 10**9 else (10**6, "million")
    return f"{count / size:,.1f} {name}"


def _ms(value: int | None) -> str:
    return NONE if value is None else f"{value:,} ms"


def spark(values: Sequence[Any], show: Any) -> Spark | None:
    """A line through the values, from 0 to the highest; None where it would be flat on the ground.

    Days without a value are passed over.
    """
    highest = max((value for value in values if value is not None), default=0)
    if not highest:
        return None
    step = SPARK_WIDTH / max(1, len(values) - 1)
    room = SPARK_HEIGHT - 2  # half of the line's own width at either side
    points = " ".join(
        f"{number * step:.1f},{1 + room - room * float(value / highest):.1f}"
        for number, value in enumerate(values)
        if value is not None
    )
    return Spark(points, f"The last {len(values)} days; {show(highest)} on the highest.")

"""The dashboard's figures: the last minutes from the ledger's newest rows, the last day from the hourly sums.

What is read is bounded, however long the ledger is: the newest rows of some minutes, and the sums of three days. A day
is 24 columns of an hour each (UTC), of which the last is the running one; it is told beside the 24 before.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db.models import Q, Sum
from django.urls import reverse

from accounting.models import HourlyTtft, HourlyUsage, UsageRecord
from accounting.rollups import percentile
from accounting.templatetags.amounts import MANY, percent, tokens, usd

NOW_MINUTES = 5
NOW_ROWS_MAX = 5000
HOURS = 24
HOUR = timedelta(hours=1)
MEDIAN, SLOW = 0.5, 0.95
SUMMED = {"requests", "spend_usd", "tokens"}
SPARK_WIDTH, SPARK_HEIGHT = 100, 24
ERRORS_MAX = 6
FAILED = UsageRecord.Status.FAILED.value
NONE = "–"
_COUNTS = ("requests", "attempts", "failed", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Span:
    """What happened in a span of time. ``is_cut`` where only the newest rows were read."""

    requests: int = 0
    attempts: int = 0
    failed: int = 0
    tokens: int = 0
    spend_usd: Decimal = Decimal(0)
    ttft_ms: int | None = None
    slow_ttft_ms: int | None = None
    is_cut: bool = False

    @property
    def error_share(self) -> float | None:
        """Share of attempts that failed."""
        return self.failed / self.attempts if self.attempts else None


@dataclass(frozen=True, slots=True)
class Spark:
    """Lines without axes: where that of the last day goes through, that of the day before, and in words what they show."""

    points: str
    before: str
    words: str


@dataclass(frozen=True, slots=True)
class FigureCard:
    """One figure now, over the last day, the day before, today and yesterday, ready to be shown."""

    label: str
    now: str
    day: str
    day_before: str
    today: str
    yesterday: str
    spark: Spark | None


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """Attempts at a provider that failed alike: how many, their share of the provider's, and where they are listed."""

    provider: str
    error: str
    failed: int
    share: float
    link: str


@dataclass(slots=True)
class _Hour:
    """Sums of one hour; ``ttfts`` counts attempts by bucket."""

    requests: int = 0
    attempts: int = 0
    failed: int = 0
    tokens: int = 0
    spend_usd: Decimal = Decimal(0)
    ttfts: Counter[int] = field(default_factory=Counter)


class Hours:
    """The sums of each hour since the begin of a day, as they stand when this is made. Two queries."""

    def __init__(self, since_on: date) -> None:
        self._by_begin: dict[datetime, _Hour] = {}
        sums = (*map(Sum, _COUNTS), Sum("cost_usd"), Sum("adjusted_usd"))
        found = HourlyUsage.objects.filter(on__gte=since_on).order_by().values_list("on", "hour")
        for on, hour, *counts, cost_usd, adjusted_usd in found.annotate(*sums):
            # PostgreSQL sums whole numbers of eight bytes as decimals.
            requests, attempts, failed, prompt, completion = map(int, counts)
            spend_usd = cost_usd + adjusted_usd
            self._by_begin[_begin_of(on, hour)] = _Hour(
                requests, attempts, failed, prompt + completion, spend_usd
            )
        counted = HourlyTtft.objects.filter(on__gte=since_on).order_by()
        for on, hour, bucket, count in counted.values_list("on", "hour", "bucket", "count"):
            self._by_begin.setdefault(_begin_of(on, hour), _Hour()).ttfts[bucket] += count

    def between(self, began_at: datetime, ended_at: datetime) -> Span:
        """What happened in the hours that began from one moment to before another."""
        found = [hour for at, hour in self._by_begin.items() if began_at <= at < ended_at]
        ttfts: Counter[int] = Counter()
        for hour in found:
            ttfts.update(hour.ttfts)
        return Span(
            requests=sum(hour.requests for hour in found),
            attempts=sum(hour.attempts for hour in found),
            failed=sum(hour.failed for hour in found),
            tokens=sum(hour.tokens for hour in found),
            spend_usd=sum((hour.spend_usd for hour in found), Decimal(0)),
            ttft_ms=percentile(ttfts, MEDIAN),
            slow_ttft_ms=percentile(ttfts, SLOW),
        )

    def each_between(self, began_at: datetime, ended_at: datetime) -> list[Span]:
        """The same for each of the hours, also those in which nothing happened."""
        begins = (began_at + n * HOUR for n in range((ended_at - began_at) // HOUR))
        return [self.between(begin, begin + HOUR) for begin in begins]


def _begin_of(on: date, hour: int) -> datetime:
    return datetime.combine(on, time(hour), UTC)


def day_began_at(now: datetime) -> datetime:
    """When the last day began: 24 columns of an hour, of which the running one is the last."""
    running = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return running - (HOURS - 1) * HOUR


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
        ttft_ms=ttfts[int(len(ttfts) * MEDIAN)] if ttfts else None,
        slow_ttft_ms=ttfts[int(len(ttfts) * SLOW)] if ttfts else None,
        is_cut=len(rows) == NOW_ROWS_MAX,
    )


def figure_cards(now: datetime) -> list[FigureCard]:
    """The figures of the dashboard. Three queries."""
    day, begin = HOURS * HOUR, day_began_at(now)
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    hours = Hours((begin - day).date())
    recent = last_minutes(now)
    spans = (
        hours.between(begin, begin + day),
        hours.between(begin - day, begin),
        hours.between(midnight, midnight + day),
        hours.between(midnight - day, midnight),
    )
    lines = (hours.each_between(begin, begin + day), hours.each_between(begin - day, begin))
    return [_card(figure, recent, spans, lines) for figure in _figures()]


class _Figure(NamedTuple):
    """A figure of the dashboard: its label, the name of its attribute of ``Span``, and how it is written."""

    label: str
    name: str
    show: Callable[[Any], str]


def _figures() -> tuple[_Figure, ...]:
    return (
        _Figure("Requests", "requests", tokens),
        _Figure("Spend", "spend_usd", usd),
        _Figure("Tokens", "tokens", _many),
        _Figure("Errors", "error_share", percent),
        _Figure("TTFT, median", "ttft_ms", _ms),
        _Figure("TTFT, 95 % below", "slow_ttft_ms", _ms),
    )


def _card(
    figure: _Figure, recent: Span, spans: Sequence[Span], lines: Sequence[Sequence[Span]]
) -> FigureCard:
    label, name, show = figure
    day, day_before, today, yesterday = (show(getattr(span, name)) for span in spans)
    columns, before = ([getattr(hour, name) for hour in line] for line in lines)
    now = show(getattr(recent, name)) + ("+" if recent.is_cut and name in SUMMED else "")
    line = spark(columns, before, show)
    return FigureCard(label, now, day, day_before, today, yesterday, line)


def errors_of_last_day(now: datetime) -> list[ErrorLine]:
    """What failed over the last day, by provider and error, the most frequent first. One query."""
    begin = day_began_at(now)
    of_day = Q(on=begin.date(), hour__gte=begin.hour) | Q(on__gt=begin.date())
    rows = HourlyUsage.objects.filter(of_day).order_by().values_list("provider", "error")
    attempts: Counter[str] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for provider, error, of_all, of_failed in rows.annotate(
        of_all=Sum("attempts"), of_failed=Sum("failed")
    ):
        attempts[provider] += int(of_all)
        failed[provider, error] += int(of_failed)
    return [
        ErrorLine(
            provider, error, count, count / attempts[provider], _listed(provider, error, begin)
        )
        for (provider, error), count in failed.most_common(ERRORS_MAX)
        if count > 0
    ]


def _listed(provider: str, error: str, since: datetime) -> str:
    words = {"provider": provider, "error": error, "from": f"{since:%Y-%m-%dT%H:%M}"}
    return f"{reverse('accounting:requests')}?{urlencode(words)}"


def _many(count: int) -> str:
    """A count; large ones in millions and billions, as the reports show them."""
    if count < MANY:
        return tokens(count)
    size, name = (10**9, "billion") if count >= 10**9 else (10**6, "million")
    return f"{count / size:,.1f} {name}"


def _ms(value: int | None) -> str:
    return NONE if value is None else f"{value:,} ms"


def spark(values: Sequence[Any], before: Sequence[Any], show: Callable[[Any], str]) -> Spark | None:
    """Lines through the values of each hour and of the same hours before, from 0 to the highest of all.

    None where the first would be flat on the ground. Hours without a value are passed over.
    """
    highest = max((value for value in values if value is not None), default=0)
    if not highest:
        return None
    ceiling = max([highest, *(value for value in before if value is not None)])
    words = f"By the hour, the last {len(values)}; {show(highest)} in the highest."
    return Spark(_line(values, ceiling), _line(before, ceiling), words)


def _line(values: Iterable[Any], ceiling: Any) -> str:
    step = SPARK_WIDTH / (HOURS - 1)
    room = SPARK_HEIGHT - 2  # half of the line's own width at either side
    points = [
        f"{number * step:.1f},{1 + room - room * float(value / ceiling):.1f}"
        for number, value in enumerate(values)
        if value is not None
    ]
    return " ".join(points * 2 if len(points) == 1 else points)  # a line to itself shows as a dot

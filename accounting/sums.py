"""Sums over daily usage as values that add up exactly, and the queries that make them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.db.models import F, Max, QuerySet, Sum

from accounting.models import DailyUsage
from accounting.report_query import Dimension

ZERO_USD = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over some attempts. ``unpriced`` counts those that have no cost, which no amount of money includes."""

    requests: int = 0
    attempts: int = 0
    failed: int = 0
    fallbacks: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: Decimal = ZERO_USD
    adjusted_usd: Decimal = ZERO_USD
    cache_saved_usd: Decimal = ZERO_USD
    ttft_ms_sum: int = 0
    ttft_count: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            *(ours + theirs for ours, theirs in zip(_values(self), _values(other), strict=True))
        )

    def __sub__(self, other: "Sums") -> "Sums":
        pairs = zip(_values(self), _values(other), strict=True)
        return Sums(*(ours - theirs for ours, theirs in pairs))

    @property
    def spend_usd(self) -> Decimal:
        """What it cost, with adjustments."""
        return self.cost_usd + self.adjusted_usd

    @property
    def priced_spend_usd(self) -> Decimal | None:
        """What it cost; None where not one attempt has a price, though there are some that need one."""
        return self.spend_usd if self.spend_usd or not self.unpriced else None

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cache_share(self) -> float | None:
        """Share of prompt tokens that was read from a cache; None without a prompt."""
        return self.cache_read_tokens / self.prompt_tokens if self.prompt_tokens else None

    @property
    def error_share(self) -> float | None:
        """Share of attempts that failed."""
        return self.failed / self.attempts if self.attempts else None

    @property
    def fallback_share(self) -> float | None:
        """Share of attempts that were retries or fallbacks after a failed one."""
        return self.fallbacks / self.attempts if self.attempts else None

    @property
    def ttft_ms(self) -> int | None:
        """The mean time to the first token."""
        return round(self.ttft_ms_sum / self.ttft_count) if self.ttft_count else None

    @property
    def usd_per_mtok(self) -> Decimal | None:
        """What a million tokens cost on average, prompt and completion together."""
        return self.spend_usd * 1_000_000 / self.tokens if self.tokens else None


NAMES = tuple(field.name for field in fields(Sums))
_IS_AMOUNT = tuple(name.endswith("_usd") for name in NAMES)
_values = attrgetter(*NAMES)
_SUMS = {f"sum_{name}": Sum(name) for name in NAMES}


def total_of(rows: QuerySet[DailyUsage]) -> Sums:
    """One sum over all rows. One query."""
    return _sums_of(rows.aggregate(**_SUMS).values())


def sums_by(rows: QuerySet[DailyUsage], *columns: str) -> Iterator[tuple[tuple[Any, ...], Sums]]:
    """The sums of rows that are alike in the columns. One query."""
    count = len(columns)
    for row in rows.values(*columns).annotate(**_SUMS).values_list(*columns, *_SUMS):
        yield tuple(row[:count]), _sums_of(row[count:])


def sums_of_dimension(
    rows: QuerySet[DailyUsage], dimension: Dimension
) -> dict[tuple[Any, ...], Sums]:
    """The sums for each word of a dimension. One query. Attempts with two tags count for both."""
    found = sums_by(rows, *dimension.columns)
    if dimension.name != "tag":
        return dict(found)
    folded: dict[tuple[Any, ...], Sums] = {}
    for (tags,), sums in found:
        for tag in tags.strip(",").split(","):
            folded[(tag,)] = folded.get((tag,), Sums()) + sums
    return folded


@dataclass(frozen=True, slots=True)
class TopSums:
    """The dearest words of a dimension with their sums, and how many there are beside them."""

    dimension: Dimension
    lines: tuple[tuple[tuple[Any, ...], Sums], ...]
    others: int = 0

    def narrowed(self, rows: QuerySet[DailyUsage]) -> QuerySet[DailyUsage]:
        """Rows of another period, of these words only where there are others."""
        if not self.others:
            return rows
        words = {values[-1] for values, _sums in self.lines}
        return rows.filter(**{f"{self.dimension.column}__in": words})


def top_sums(rows: QuerySet[DailyUsage], dimension: Dimension, *, count: int) -> TopSums:
    """The dearest words of a dimension. One query, two where there are more words than asked for."""
    if dimension.name == "tag":
        lines = ranked(sums_of_dimension(rows, dimension))
        return TopSums(dimension, tuple(lines))
    columns = dimension.columns
    found = rows.values(*columns).annotate(**_SUMS)
    by_spend = found.order_by(-(F("sum_cost_usd") + F("sum_adjusted_usd")), "-sum_attempts")
    dearest = by_spend.values_list(*columns, *_SUMS)[: count + 1]
    split = len(columns)
    lines = [(tuple(row[:split]), _sums_of(row[split:])) for row in dearest]
    others = 0
    if len(lines) > count:
        others = rows.values(*columns).distinct().count() - count
    return TopSums(dimension, tuple(ranked(dict(lines[:count]))), others)


def ranked(found: Mapping[tuple[Any, ...], Sums]) -> list[tuple[tuple[Any, ...], Sums]]:
    """The dearest first, then those with the most attempts."""
    return sorted(
        found.items(),
        key=lambda pair: (-pair[1].spend_usd, -pair[1].attempts, tuple(map(str, pair[0]))),
    )


def key_names(rows: QuerySet[DailyUsage]) -> dict[int, str]:
    """What keys are called, by their numbers: the last of names in the alphabet, should one have been renamed."""
    return dict(rows.values("key_id").annotate(name=Max("key_name")).values_list("key_id", "name"))


def added(all_sums: Iterable[Sums]) -> Sums:
    """One sum over several."""
    return sum(all_sums, Sums())


def _sums_of(values: Iterable[Any]) -> Sums:
    # PostgreSQL sums whole numbers of eight bytes as decimals.
    pairs = zip(values, _IS_AMOUNT, strict=True)
    numbers: list[Any] = [
        (value or ZERO_USD) if is_amount else int(value or 0) for value, is_amount in pairs
    ]
    return Sums(*numbers)

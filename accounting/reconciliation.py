"""A provider's bill beside the ledger: by day and model, what they say, what was booked, and what differs.

Days are UTC, as the daily sums are; only for a bill whose days are another zone's the rows are counted by that zone's
days. Attempts that failed are not counted as requests, because providers do not bill them. What was booked includes
adjustments.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate

from accounting.models import Adjustment, DailyUsage, UsageRecord
from accounting.provider_bills import Amounts, Bill, Key, days_of, renamed

NOTHING = Amounts()
SHIFT_SHARE = Decimal("0.01")
"""How much of a difference may be left when two days are taken together, for it to be one that moved over midnight."""


@dataclass(frozen=True, slots=True)
class Line:
    """One day and model (or a sum of several). ``theirs`` or ``ours`` is None where that side has nothing."""

    on: date | None
    model: str
    theirs: Amounts | None
    ours: Amounts | None
    moved: str = ""

    @property
    def difference(self) -> Amounts:
        """Theirs less ours, of what the bill says at all."""
        theirs, ours = self.theirs or NOTHING, self.ours or NOTHING
        return Amounts(
            _less(theirs.cost_usd, ours.cost_usd, alone=self.theirs is None),
            _less(theirs.requests, ours.requests, alone=self.theirs is None),
            _less(theirs.prompt_tokens, ours.prompt_tokens, alone=self.theirs is None),
            _less(theirs.completion_tokens, ours.completion_tokens, alone=self.theirs is None),
        )

    @property
    def side(self) -> str:
        """Which side has it: both, theirs or ours."""
        if self.theirs is None:
            return "ours"
        return "theirs" if self.ours is None else "both"

    @property
    def differs(self) -> bool:
        """Whether there is anything to look at."""
        return any(value for value in _values(self.difference))


def _less(theirs: Any, ours: Any, *, alone: bool) -> Any:
    """The difference; None where the bill does not say, unless it has nothing at all there."""
    if theirs is None and not alone:
        return None
    if theirs is None and ours is None:
        return None
    return (theirs or 0) - (ours or 0)


def _values(amounts: Amounts) -> Iterator[Decimal | int | None]:
    yield amounts.cost_usd
    yield amounts.requests
    yield amounts.prompt_tokens
    yield amounts.completion_tokens


@dataclass(frozen=True, slots=True)
class Name:
    """What became of a model's name on the bill: ``ours`` is the model it is compared with, or empty."""

    theirs: str
    ours: str
    how: str
    proposals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A bill beside the ledger."""

    from_on: date
    to_on: date
    zone: str
    provider: str
    lines: tuple[Line, ...]
    models: tuple[Line, ...]
    total: Line
    names: tuple[Name, ...]

    @property
    def differing(self) -> tuple[Line, ...]:
        """The lines on which the two sides do not agree."""
        return tuple(line for line in self.lines if line.differs)

    @property
    def unmatched(self) -> tuple[Name, ...]:
        """Names on the bill that no model here was found for."""
        return tuple(name for name in self.names if not name.ours)

    @property
    def taken_for(self) -> tuple[Name, ...]:
        """Names that are written otherwise here."""
        return tuple(name for name in self.names if name.ours and name.ours != name.theirs)


def compare(
    bill: Bill,
    *,
    provider: str = "",
    zone: ZoneInfo | None = None,
    names: Mapping[str, str] | None = None,
) -> Comparison:
    """Lay a bill beside what was booked on its days; ``names`` say which of our models some of its names are."""
    from_on, to_on = days_of(bill.sums)
    ours = (
        booked(from_on, to_on, provider=provider)
        if bill.has_moments or zone is None or zone.key == "UTC"
        else booked_in_zone(from_on, to_on, zone, provider=provider)
    )
    matched = tuple(match_names(bill, {model for _on, model in ours}, names or {}))
    theirs = renamed(bill, {name.theirs: name.ours for name in matched if name.ours}).sums
    lines = _with_moves(
        [
            Line(on, model, theirs.get((on, model)), ours.get((on, model)))
            for on, model in sorted({*theirs, *ours})
        ]
    )
    return Comparison(
        from_on=from_on,
        to_on=to_on,
        zone="UTC" if bill.has_moments or zone is None else zone.key,
        provider=provider,
        lines=lines,
        models=_by_model(lines),
        total=_total(lines, "Total"),
        names=matched,
    )


_SUMS: dict[str, Any] = {
    "cost": Sum("cost_usd"),
    "adjusted": Sum("adjusted_usd"),
    "all_attempts": Sum("attempts"),
    "all_failed": Sum("failed"),
    "prompt": Sum("prompt_tokens"),
    "completion": Sum("completion_tokens"),
}


def booked(from_on: date, to_on: date, *, provider: str = "") -> dict[Key, Amounts]:
    """What was booked on days in UTC, by day and model."""
    rows = DailyUsage.objects.filter(on__gte=from_on, on__lte=to_on).order_by()
    if provider:
        rows = rows.filter(provider=provider)
    sums: Any = rows.values("on", "upstream_model").annotate(**_SUMS)
    return {
        (row["on"], row["upstream_model"]): Amounts(
            row["cost"] + row["adjusted"],
            row["all_attempts"] - row["all_failed"],
            row["prompt"],
            row["completion"],
        )
        for row in sums
    }


def booked_in_zone(
    from_on: date, to_on: date, zone: ZoneInfo, *, provider: str = ""
) -> dict[Key, Amounts]:
    """What was booked on days of another zone, by day and model: from the ledger's rows, archived ones not among them."""
    began_at = datetime.combine(from_on, time(), zone).astimezone(UTC)
    ended_at = datetime.combine(to_on + timedelta(days=1), time(), zone).astimezone(UTC)
    rows = UsageRecord.objects.filter(started_at__gte=began_at, started_at__lt=ended_at).order_by()
    if provider:
        rows = rows.filter(provider=provider)
    failed = Q(status=UsageRecord.Status.FAILED)
    sums = rows.annotate(day=TruncDate("started_at", tzinfo=zone)).values("day", "upstream_model")
    found = {
        (row["day"], row["upstream_model"]): Amounts(
            row["cost"] or Decimal(0), row["billed"], row["prompt"] or 0, row["completion"] or 0
        )
        for row in sums.annotate(
            cost=Sum("cost_usd"),
            billed=Count("pk", filter=~failed),
            prompt=Sum("prompt_tokens"),
            completion=Sum("completion_tokens"),
        )
    }
    for key, amount_usd in _adjusted(rows, began_at, ended_at, zone):
        found[key] = found.get(key, NOTHING) + Amounts(cost_usd=amount_usd)
    return found


def _adjusted(
    rows: Any, began_at: datetime, ended_at: datetime, zone: ZoneInfo
) -> Iterator[tuple[Key, Decimal]]:
    adjustments = Adjustment.objects.filter(
        record_started_at__gte=began_at, record_started_at__lt=ended_at
    ).order_by()
    amounts = list(adjustments.values_list("record_id", "record_started_at", "amount_usd"))
    for begin in range(0, len(amounts), 500):
        portion = amounts[begin : begin + 500]
        models = dict(
            rows.filter(pk__in=[record_id for record_id, *_ in portion]).values_list(
                "pk", "upstream_model"
            )
        )
        for record_id, at, amount_usd in portion:
            if record_id in models:
                yield (at.astimezone(zone).date(), models[record_id]), amount_usd or Decimal(0)


def match_names(bill: Bill, ours: Iterable[str], chosen: Mapping[str, str]) -> Iterator[Name]:
    """For each model on the bill, in order, which of ours it is."""
    known = sorted(set(ours))
    by_words: dict[tuple[str, ...], list[str]] = {}
    for model in known:
        by_words.setdefault(words_of(model), []).append(model)
    for theirs in sorted({model for _on, model in bill.sums}):
        alike = by_words.get(words_of(theirs), [])
        if chosen.get(theirs):
            yield Name(theirs, chosen[theirs], "chosen")
        elif theirs in known:
            yield Name(theirs, theirs, "same name")
        elif len(alike) == 1:
            yield Name(theirs, alike[0], "same words")
        else:
            yield Name(theirs, "", "", tuple(alike or _close(theirs, known)))


_DATE = re.compile(r"(?<!\d)(20\d{6}|20\d\d-\d\d-\d\d)(?!\d)")
_WORD = re.compile(r"[a-z]+|\d+")


def words_of(model: str) -> tuple[str, ...]:
    """The words and numbers of a model's name in order of the alphabet, without its vendor and the date of its version.

    So ``anthropic/claude-4.5-sonnet-20250929``, ``claude-sonnet-4-5`` and ``Claude Sonnet 4.5`` are alike.
    """
    plain = _DATE.sub(" ", model.lower().rpartition("/")[2])
    return tuple(sorted(_WORD.findall(plain)))


def _close(theirs: str, known: list[str]) -> list[str]:
    plain = {" ".join(words_of(model)): model for model in known}
    found = get_close_matches(" ".join(words_of(theirs)), plain, n=3, cutoff=0.5)
    return [plain[name] for name in found]


def _by_model(lines: Iterable[Line]) -> tuple[Line, ...]:
    by_model: dict[str, list[Line]] = {}
    for line in lines:
        by_model.setdefault(line.model, []).append(line)
    models = [_total(of_model, model) for model, of_model in by_model.items()]
    return tuple(sorted(models, key=_by_size))


def _by_size(line: Line) -> tuple[Decimal, str]:
    return -abs(line.difference.cost_usd or Decimal(0)), line.model


def _total(lines: Iterable[Line], name: str) -> Line:
    theirs: Amounts | None = None
    ours: Amounts | None = None
    for line in lines:
        theirs = _plus(theirs, line.theirs)
        ours = _plus(ours, line.ours)
    return Line(None, name, theirs, ours)


def _plus(one: Amounts | None, other: Amounts | None) -> Amounts | None:
    if one is None or other is None:
        return one or other
    return one + other


def _with_moves(lines: list[Line]) -> tuple[Line, ...]:
    """The lines, with a word at those whose difference is undone by the day before or after."""
    at = {(line.on, line.model): line for line in lines}
    moved: dict[tuple[date | None, str], str] = {}
    for line in lines:
        next_on = line.on + timedelta(days=1) if line.on else None
        following = at.get((next_on, line.model))
        if following is None or (line.on, line.model) in moved:
            continue
        if _undo_each_other(line.difference, following.difference):
            moved[line.on, line.model] = f"made up for on {next_on}"
            moved[next_on, line.model] = f"made up for on {line.on}"
    return tuple(
        Line(line.on, line.model, line.theirs, line.ours, moved.get((line.on, line.model), ""))
        for line in lines
    )


def _undo_each_other(one: Amounts, other: Amounts) -> bool:
    first, second = one.cost_usd, other.cost_usd
    if first is None or second is None:
        first, second = _tokens(one), _tokens(other)
    if not first or not second or (first > 0) == (second > 0):
        return False
    return abs(first + second) <= max(abs(first), abs(second)) * SHIFT_SHARE


def _tokens(amounts: Amounts) -> Decimal:
    return Decimal((amounts.prompt_tokens or 0) + (amounts.completion_tokens or 0))


COLUMNS = (
    "day", "model", "side",
    "theirs_usd", "ours_usd", "difference_usd",
    "theirs_requests", "ours_requests", "difference_requests",
    "theirs_prompt_tokens", "ours_prompt_tokens", "difference_prompt_tokens",
    "theirs_completion_tokens", "ours_completion_tokens", "difference_completion_tokens",
    "note",
)  # fmt: skip


def table(comparison: Comparison) -> Iterator[tuple[Any, ...]]:
    """The lines and their total as rows of values in the order of ``COLUMNS``; None where a side has nothing."""
    for line in (*comparison.lines, comparison.total):
        yield (
            line.on or "total",
            line.model if line.on else "",
            line.side,
            *_cells(line),
            line.moved,
        )


def _cells(line: Line) -> Iterator[Decimal | int | None]:
    sides = (line.theirs or NOTHING, line.ours or NOTHING, line.difference)
    for amounts in zip(*map(_values, sides), strict=True):
        yield from amounts


def providers() -> list[str]:
    """The providers that the daily sums know."""
    return sorted(DailyUsage.objects.order_by().values_list("provider", flat=True).distinct())

"""Reads providers' bills and usage exports from CSV: sums by day and model, and which line is not understood.

Formats are told by their columns. Where they come from, all read in November 2026:

- OpenRouter, activity page, "Export": one line for each generation, times in UTC.
- OpenRouter, ``GET /api/v1/activity``, written as CSV: one line for each day, model and endpoint, days in UTC.
- Anthropic, console, usage export (tokens) and cost export (USD, by the models' display names), days in UTC.
- OpenAI, usage page, exports of costs (by line item) and of completions, days in UTC.

Anything else is read by column names that a person gives. Knows nothing of the ledger.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import IO, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from accounting.errors import BillUnreadable
from accounting.models.money import is_storable

FAULTS_MAX = 20
SUMS_MAX = 20_000
CELL_CHARS_MAX = 100_000
COUNT_MAX = 10**15


@dataclass(frozen=True, slots=True)
class Amounts:
    """What was used and paid; None where a bill does not say."""

    cost_usd: Decimal | None = None
    requests: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            _sum(self.cost_usd, other.cost_usd),
            _sum(self.requests, other.requests),
            _sum(self.prompt_tokens, other.prompt_tokens),
            _sum(self.completion_tokens, other.completion_tokens),
        )


Number = TypeVar("Number", int, Decimal)


def _sum(one: Number | None, other: Number | None) -> Number | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


@dataclass(frozen=True, slots=True)
class BillFormat:
    """Which columns of a file say what; columns are compared in small letters. Several columns are added up."""

    name: str
    label: str
    day: str
    model: str
    cost: tuple[str, ...] = ()
    requests: str = ""
    prompt: tuple[str, ...] = ()
    completion: tuple[str, ...] = ()
    is_line_a_request: bool = False
    currency: str = ""
    marks: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that have to be there."""
        named = (self.day, self.model, *self.cost, self.requests, *self.prompt, *self.completion)
        named = (*named, self.currency)
        return tuple(column for column in (*named, *self.marks) if column)


FORMATS = (
    BillFormat(
        "openrouter",
        "OpenRouter: activity export",
        day="created_at",
        model="model_permaslug",
        cost=("cost_total",),
        prompt=("tokens_prompt",),
        completion=("tokens_completion",),
        is_line_a_request=True,
        marks=("generation_id",),
    ),
    BillFormat(
        "openrouter_daily",
        "OpenRouter: activity by day (from the API)",
        day="date",
        model="model_permaslug",
        cost=("usage",),
        requests="requests",
        prompt=("prompt_tokens",),
        completion=("completion_tokens",),
    ),
    BillFormat(
        "anthropic_cost",
        "Anthropic: cost export",
        day="usage_date_utc",
        model="model",
        cost=("cost_usd",),
        marks=("token_type",),
    ),
    BillFormat(
        "anthropic_usage",
        "Anthropic: usage export (tokens only)",
        day="usage_date_utc",
        model="model_version",
        prompt=(
            "usage_input_tokens_no_cache",
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_read",
        ),
        completion=("usage_output_tokens",),
    ),
    BillFormat(
        "openai_usage",
        "OpenAI: completions usage export (no costs)",
        day="start_time_iso",
        model="model",
        requests="num_model_requests",
        prompt=("input_tokens",),
        completion=("output_tokens",),
    ),
    BillFormat(
        "openai_cost",
        "OpenAI: costs export",
        day="start_time_iso",
        model="line_item",
        cost=("amount_value",),
        currency="amount_currency",
    ),
    BillFormat(
        "sums",
        "Columns day, model, cost_usd, requests, prompt_tokens, completion_tokens",
        day="day",
        model="model",
        cost=("cost_usd",),
        requests="requests",
        prompt=("prompt_tokens",),
        completion=("completion_tokens",),
    ),
)
"""In the order in which they are tried."""
KNOWN = {known.name: known for known in FORMATS}
MAPPED = ("day", "model", "cost", "requests", "prompt", "completion")
"""What a person can name columns for; the first two and one more are needed."""


def mapped_format(columns: Mapping[str, str]) -> BillFormat:
    """A format of a person's own, from the names of its columns.

    Raises:
        BillUnreadable: something that is needed was not named.
    """
    named = {name: columns.get(name, "").strip().lower() for name in MAPPED}
    if not (named["day"] and named["model"]):
        raise BillUnreadable(["Name at least the columns of the day and of the model."])
    if not any(named[name] for name in MAPPED[2:]):
        raise BillUnreadable(["Name at least one column of the cost, the requests or the tokens."])
    return BillFormat(
        "mapped",
        "Columns as named",
        day=named["day"],
        model=named["model"],
        cost=_columns_of(named["cost"]),
        requests=named["requests"],
        prompt=_columns_of(named["prompt"]),
        completion=_columns_of(named["completion"]),
    )


def _columns_of(text: str) -> tuple[str, ...]:
    """Column names, several joined by a plus sign."""
    return tuple(column.strip() for column in text.split("+") if column.strip())


Key = tuple[date, str]
"""The day and the model, as the bill names it."""


class Bill(NamedTuple):
    """A bill, added up by day and model."""

    format: BillFormat
    sums: dict[Key, Amounts]
    lines: int
    has_moments: bool


def read_bill(
    file: IO[bytes], *, known: BillFormat | None = None, zone: ZoneInfo | None = None
) -> Bill:
    """A bill from a file. Moments without a zone are read in ``zone`` (UTC without one) and told as days in UTC.

    Raises:
        BillUnreadable: with all that is wrong, by line.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        return _read(text, known, zone)
    except UnicodeDecodeError as error:
        raise BillUnreadable(["The file is not text in UTF-8; export it as CSV."]) from error
    except csv.Error as error:
        raise BillUnreadable([f"The file is not CSV: {error}."]) from error
    finally:
        text.detach()


def _read(text: io.TextIOWrapper, known: BillFormat | None, zone: ZoneInfo | None) -> Bill:
    heading = text.readline(CELL_CHARS_MAX)
    delimiter = max(",;\t", key=heading.count)
    headings = [
        cell.strip().lower() for cell in next(csv.reader([heading], delimiter=delimiter), [])
    ]
    found = known or _recognised(headings)
    _check_columns(found, headings)
    lines = csv.reader(text, delimiter=delimiter)
    places = _Places(found, headings)
    sums: dict[Key, Amounts] = {}
    faults: list[str] = []
    count = 0
    has_moments = False
    for cells in lines:
        number = lines.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        try:
            on, is_moment = _read_day(places.cell(cells, found.day), zone)
            key = (on, _model_of(found, places.cell(cells, found.model)))
            amounts = _amounts_of(found, places, cells)
        except _CellUnreadable as error:
            faults.append(f"Line {number}: {error}")
            if len(faults) >= FAULTS_MAX:
                faults.append("… and perhaps more: reading stopped here.")
                break
            continue
        if not _is_empty(amounts):
            count += 1
            has_moments = has_moments or is_moment
            sums[key] = sums[key] + amounts if key in sums else amounts
    if faults:
        raise BillUnreadable(faults)
    if not sums:
        raise BillUnreadable(["The file has no line with anything used."])
    if len(sums) > SUMS_MAX:
        raise BillUnreadable([f"More than {SUMS_MAX} days and models; compare a shorter time."])
    return Bill(found, sums, count, has_moments)


def _is_empty(amounts: Amounts) -> bool:
    """Whether a line says nothing, such as those of days on which nothing was used."""
    return not any(
        (amounts.cost_usd, amounts.requests, amounts.prompt_tokens, amounts.completion_tokens)
    )


def _recognised(headings: Sequence[str]) -> BillFormat:
    there = set(headings)
    for known in FORMATS:
        if there.issuperset(known.columns):
            return known
    raise BillUnreadable(
        [
            "Line 1: these columns are no format that is known: "
            + ", ".join(headings[:30])
            + ". Name the columns of the day, the model and the amounts."
        ]
    )


def _check_columns(found: BillFormat, headings: Sequence[str]) -> None:
    missing = [column for column in found.columns if column not in headings]
    if missing:
        raise BillUnreadable(
            [
                f"Line 1: there is no column {', '.join(missing)}; there are {', '.join(headings[:30])}."
            ]
        )


class _CellUnreadable(Exception):
    """A cell that does not hold what it should."""


class _Places:
    """Where columns are."""

    def __init__(self, found: BillFormat, headings: Sequence[str]) -> None:
        self._index = {column: headings.index(column) for column in found.columns}

    def cell(self, cells: Sequence[str], column: str) -> str:
        """What the line has in the column."""
        index = self._index[column]
        if index >= len(cells):
            raise _CellUnreadable(
                f"it has {len(cells)} cells, and {column} would be the {index + 1}th"
            )
        return cells[index].strip()


def _read_day(text: str, zone: ZoneInfo | None) -> tuple[date, bool]:
    """The day, and whether it was told by a moment."""
    try:
        if len(text) <= len("2026-11-20"):
            return date.fromisoformat(text), False
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        raise _CellUnreadable(f"{text[:40]!r} is no day such as 2026-11-20") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone or UTC)
    try:
        return moment.astimezone(UTC).date(), True
    except OverflowError:
        raise _CellUnreadable(f"{text[:40]!r} is no day such as 2026-11-20") from None


def _model_of(found: BillFormat, text: str) -> str:
    if found.name == "openai_cost":
        # A line item is a model and what of it was paid for: "gpt-5-2025-08-07, input".
        text = text.partition(",")[0].strip()
    return text[:200].replace("\0", "") or "(no model)"


def _amounts_of(found: BillFormat, places: _Places, cells: Sequence[str]) -> Amounts:
    if found.currency and places.cell(cells, found.currency).lower() not in ("", "usd"):
        raise _CellUnreadable("its amount is not in USD")
    requests = 1 if found.is_line_a_request else None
    if found.requests:
        requests = _read_count(places.cell(cells, found.requests))
    return Amounts(
        cost_usd=_added(_read_usd(places.cell(cells, column)) for column in found.cost),
        requests=requests,
        prompt_tokens=_added(_read_count(places.cell(cells, column)) for column in found.prompt),
        completion_tokens=_added(
            _read_count(places.cell(cells, column)) for column in found.completion
        ),
    )


def _added(values: Iterable[Number | None]) -> Number | None:
    """The sum of those that are known; None without any."""
    total: Number | None = None
    for value in values:
        total = _sum(total, value)
    return total


_THOUSANDS = re.compile(r"^-?\$?-?\d{1,3}(,\d{3})+(\.\d+)?$")


def _read_number(text: str) -> Decimal | None:
    if not text:
        return None
    plain = text.replace(",", "") if _THOUSANDS.match(text) else text
    try:
        return Decimal(plain.replace("$", "", 1))
    except InvalidOperation:
        raise _CellUnreadable(f"{text[:40]!r} is no amount such as 12.34") from None


def _read_usd(text: str) -> Decimal | None:
    amount = _read_number(text)
    if amount is not None and not is_storable(amount):
        raise _CellUnreadable(f"{text[:40]!r} is no amount that can be paid")
    return amount


def _read_count(text: str) -> int | None:
    count = _read_number(text)
    if count is None:
        return None
    if not count.is_finite() or abs(count) > COUNT_MAX or count != count.to_integral_value():
        raise _CellUnreadable(f"{text[:40]!r} is no whole number")
    return int(count)


def as_sums_csv(sums: Mapping[Key, Amounts]) -> str:
    """A bill's sums as a small bill that can be read again, so that no file need be kept."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["day", "model", "cost_usd", "requests", "prompt_tokens", "completion_tokens"])
    for (on, model), amounts in sorted(sums.items()):
        writer.writerow([on, model, *(_cell(value) for value in _values(amounts))])
    return out.getvalue()


def _values(amounts: Amounts) -> Iterator[Decimal | int | None]:
    yield amounts.cost_usd
    yield amounts.requests
    yield amounts.prompt_tokens
    yield amounts.completion_tokens


def _cell(value: Decimal | int | None) -> str:
    if value is None:
        return ""
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def renamed(bill: Bill, names: Mapping[str, str]) -> Bill:
    """The bill with other names for its models."""
    sums: dict[Key, Amounts] = {}
    for (on, model), amounts in bill.sums.items():
        key = (on, names.get(model, model))
        sums[key] = sums[key] + amounts if key in sums else amounts
    return bill._replace(sums=sums)


def days_of(sums: Iterable[Key]) -> tuple[date, date]:
    """The first and the last day."""
    days = [on for on, _model in sums]
    return min(days), max(days)

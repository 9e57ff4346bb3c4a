"""The price book as CSV: a line for each price, and one for each of its tiers. Amounts are exact to the last digit.

A tier's line repeats provider, model and moment of its price and says above how many prompt tokens it holds. Lines
without a moment are in force from now on.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime

from accounting.formulas import as_written, inert
from accounting.models import Price, PriceTier
from accounting.price_changes import (
    EXACT,
    FIGURE_MAX,
    RATES,
    TOKENS_MAX,
    Figures,
    Offer,
    TierFigures,
)

KEYS = ("provider", "model", "valid_from_at", "source", "prompt_tokens_above")
NEEDED = ("prompt_usd_per_mtok", "completion_usd_per_mtok")
UNITS = ("request_usd", "image_usd")
COLUMNS = (*KEYS, *RATES, *UNITS)
SOURCE = "csv"
FAULTS_MAX = 100
SLUG = re.compile(r"[-a-zA-Z0-9_]{1,64}")
MODEL_CHARS_MAX = 200
SOURCE_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line, counted from 1, the heading."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


class CsvInvalid(Exception):
    """The file cannot be taken; ``faults`` says all that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: fault.line)[:FAULTS_MAX]
        super().__init__("; ".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class ReadPrices:
    """The prices of a file. ``lines`` says where each stands, by provider, model and moment."""

    offers: tuple[Offer, ...]
    lines: Mapping[tuple[str, str, datetime | None], int]

    def line_of(self, offer: Offer) -> int:
        """The line of an offer."""
        return self.lines[offer.provider, offer.model, offer.valid_from_at]


class _Line:
    """One line, with what is wrong with it."""

    def __init__(self, number: int, cells: Mapping[str, str]) -> None:
        self.number = number
        self._cells = cells
        self.faults: list[Fault] = []

    def text(self, name: str) -> str:
        """A cell; a mark that keeps spreadsheets from taking it for a formula is left out."""
        return as_written((self._cells.get(name) or "").strip())

    def fault(self, text: str) -> None:
        """Note what is wrong."""
        self.faults.append(Fault(self.number, text))

    def amount(self, name: str) -> Decimal | None:
        """A sum of money, exact; None where the cell is empty or wrong."""
        text = self.text(name)
        if not text:
            return None
        try:
            amount = Decimal(text)
        except InvalidOperation:
            self.fault(f"{name}: {text!r} is no amount such as 3.75")
            return None
        if not amount.is_finite() or not 0 <= amount < FIGURE_MAX:
            self.fault(f"{name}: {text} is not between 0 and {FIGURE_MAX:,}")
        elif amount != amount.quantize(EXACT):
            self.fault(f"{name}: {text} has more than 8 decimal places")
        else:
            return amount.quantize(EXACT)
        return None

    def needed(self, name: str) -> Decimal:
        """An amount that must be there."""
        if not self.text(name):
            self.fault(f"{name} is missing")
        return self.amount(name) or Decimal(0)

    def length(self) -> int | None:
        """Above how many tokens a tier holds; None for a price itself."""
        text = self.text("prompt_tokens_above")
        if not text:
            return None
        if not text.isascii() or not text.isdigit() or int(text) > TOKENS_MAX:
            self.fault(f"prompt_tokens_above: {text!r} is no whole number of tokens")
            return 0
        return int(text)

    def moment(self) -> datetime | None:
        """From when it is in force; UTC where no zone is given, midnight where no time is."""
        text = self.text("valid_from_at")
        if not text:
            return None
        try:
            value: datetime | date | None = parse_datetime(text) or parse_date(text)
        except ValueError:
            value = None
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        if value is not None:
            return datetime.combine(value, time(), UTC)
        self.fault(f"valid_from_at: {text!r} is no moment such as 2026-01-31T00:00:00Z")
        return None

    def key(self) -> tuple[str, str, datetime | None]:
        """Which price it belongs to."""
        provider, model = self.text("provider"), self.text("model")
        if not SLUG.fullmatch(provider):
            self.fault(f"provider: {provider!r} is no provider's short name")
        if not model or len(model) > MODEL_CHARS_MAX or not model.isprintable():
            self.fault(f"model: a name of at most {MODEL_CHARS_MAX} characters is needed")
        return provider, model, self.moment()


def read(text: str) -> ReadPrices:
    """The prices in a file.

    Raises:
        CsvInvalid: naming every line with something wrong.
    """
    lines = list(_lines_of(text))
    offers: dict[tuple[str, str, datetime | None], Offer] = {}
    numbers: dict[tuple[str, str, datetime | None], int] = {}
    tiers: list[tuple[_Line, tuple[str, str, datetime | None], TierFigures]] = []
    for line in lines:
        key, length = line.key(), line.length()
        rates: dict[str, Any] = {
            name: line.needed(name) if name in NEEDED else line.amount(name) for name in RATES
        }
        if length is not None:
            _check_tier(line)
            tiers.append((line, key, TierFigures(prompt_tokens_above=length, **rates)))
        elif key in offers:
            line.fault(f"this price stands in line {numbers[key]} already")
        else:
            units: dict[str, Any] = {name: line.amount(name) or Decimal(0) for name in UNITS}
            source = line.text("source") or SOURCE
            if len(source) > SOURCE_CHARS_MAX:
                line.fault(f"source: at most {SOURCE_CHARS_MAX} characters")
            numbers[key] = line.number
            offers[key] = Offer(key[0], key[1], Figures(**rates, **units), source, key[2])
    for line, key, tier in tiers:
        _add_tier(line, key, tier, offers)
    faults = [fault for line in lines for fault in line.faults]
    if faults:
        raise CsvInvalid(faults)
    return ReadPrices(tuple(offers.values()), numbers)


def _check_tier(line: _Line) -> None:
    for name in (*UNITS, "source"):
        if line.text(name):
            line.fault(f"{name} belongs into the line of the price, not into that of a tier")


def _add_tier(
    line: _Line,
    key: tuple[str, str, datetime | None],
    tier: TierFigures,
    offers: dict[tuple[str, str, datetime | None], Offer],
) -> None:
    offer = offers.get(key)
    if offer is None:
        line.fault("a tier needs a line of its price: the same provider, model and moment")
        return
    if any(other.prompt_tokens_above == tier.prompt_tokens_above for other in offer.figures.tiers):
        line.fault(f"there is a tier above {tier.prompt_tokens_above} tokens already")
    tiers = sorted((*offer.figures.tiers, tier), key=lambda other: other.prompt_tokens_above)
    offers[key] = replace(offer, figures=replace(offer.figures, tiers=tuple(tiers)))


def _lines_of(text: str) -> Iterator[_Line]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        _check_heading(names)
        reader.fieldnames = names
        for row in reader:
            line = _Line(reader.line_num, {name: cell for name, cell in row.items() if name})
            if None in row:
                line.fault("has more cells than the heading")
            yield line
    except csv.Error as error:
        raise CsvInvalid([Fault(reader.reader.line_num, f"this is no CSV: {error}")]) from error


def _check_heading(names: list[str]) -> None:
    faults = [Fault(1, f"there is no column {name!r}") for name in names if name not in COLUMNS]
    needed = ("provider", "model", *NEEDED)
    faults += [Fault(1, f"the column {name} is missing") for name in needed if name not in names]
    faults += [
        Fault(1, f"the column {name} is there twice") for name in {*names} if names.count(name) > 1
    ]
    if faults:
        known = Fault(1, f"the columns are {', '.join(COLUMNS)}")
        raise CsvInvalid([*faults, known])


def rows() -> Iterator[list[str]]:
    """The whole book, headings first."""
    yield list(COLUMNS)
    tiers: dict[int, list[PriceTier]] = {}
    for tier in PriceTier.objects.order_by("prompt_tokens_above"):
        tiers.setdefault(tier.price_id, []).append(tier)
    for price in Price.objects.order_by("provider", "upstream_model", "valid_from_at"):
        moment = price.valid_from_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        key = [inert(price.provider), inert(price.upstream_model), moment]
        units = [_plain(getattr(price, name) or None) for name in UNITS]
        yield [*key, inert(price.source), "", *_rates(price), *units]
        for tier in tiers.get(price.pk, ()):
            yield [*key, "", str(tier.prompt_tokens_above), *_rates(tier), "", ""]


def write() -> Iterator[str]:
    """The whole book as the lines of a file."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    for row in rows():
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _rates(row: Price | PriceTier) -> list[str]:
    return [_plain(getattr(row, name)) for name in RATES]


def _plain(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount.normalize():f}"

"""Tables as values: the page, the CSV and the JSON show the same rows, because they are made of the same table."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
from django.http import HttpResponse

from accounting import formulas


@dataclass(frozen=True, slots=True)
class Column:
    """What a column is called in files and on pages, and how a page shows its values.

    Kinds: text, day, moment, usd, count, usd_known (unpriced cannot be), percent (a share of one), used (the
    same, as a bar), change (a share of one, against the period before), ms, verdict (a few words), any.
    """

    name: str
    label: str
    kind: str = "text"

    @property
    def is_number(self) -> bool:
        """Whether values stand at the right."""
        return self.kind not in {"text", "day", "moment", "verdict"}


@dataclass(frozen=True, slots=True)
class Row:
    """One value for each column; ``address`` is where a click on the first one leads."""

    values: tuple[Any, ...]
    address: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows of a long table are shown, counted from 1, and the numbers of the parts beside; None where none is."""

    first: int
    last: int
    rows: int
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns, the first of which names the row. ``note`` is told below, ``more`` leads to all rows.

    ``shown`` is which part of a longer table this is.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row | None = None
    note: str = ""
    more: str = ""
    empty: str = "Nothing in this period."
    shown: Part | None = None

    def part(self, number: int, rows_max: int) -> "Table":
        """One of the parts of so many rows, counted from 1, the last where there are fewer; all where one holds them."""
        count = len(self.rows)
        if count <= rows_max:
            return self
        last = -(-count // rows_max)
        number = min(max(1, number), last)
        first, end = (number - 1) * rows_max, min(number * rows_max, count)
        before, after = number - 1 or None, number + 1 if number < last else None
        shown = Part(first + 1, end, count, before, after)
        return replace(self, rows=self.rows[first:end], shown=shown)

    @property
    def lines(self) -> list[tuple[str, list[tuple[Column, Any]]]]:
        """Each row's address, and its values with their columns."""
        return [(row.address, self._paired(row)) for row in self.rows]

    @property
    def total_line(self) -> list[tuple[Column, Any]]:
        """The last line's values with their columns; empty without one."""
        return self._paired(self.total) if self.total else []

    def _paired(self, row: Row) -> list[tuple[Column, Any]]:
        return list(zip(self.columns, row.values, strict=True))

    def tree(self) -> dict[str, Any]:
        """The table for JSON; amounts are strings, so that no digit is lost."""
        tree: dict[str, Any] = {
            "title": self.title,
            "rows": [self._tree_of(row) for row in self.rows],
        }
        if self.total:
            tree["total"] = self._tree_of(self.total)
        if self.note:
            tree["note"] = self.note
        return tree

    def _tree_of(self, row: Row) -> dict[str, Any]:
        return {column.name: _json_value(value) for column, value in self._paired(row)}

    def text_rows(self) -> Iterator[list[str]]:
        """The table as rows of text, headings first, the total last."""
        yield [column.name for column in self.columns]
        for row in (*self.rows, *((self.total,) if self.total else ())):
            yield [plain(value) for value in row.values]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number at the top of a page, and what it was in the period before; ``more_is`` good, bad or neither."""

    name: str
    label: str
    value: Any
    kind: str = "count"
    before: Any = None
    more_is: str = ""

    @property
    def is_better(self) -> bool | None:
        """Whether the change is for the better; None where that is nobody's to say, or there is none."""
        if not self.more_is or not self.before or self.value is None or self.value == self.before:
            return None
        return bool((self.value > self.before) == (self.more_is == "good"))


def change(now: Any, before: Any) -> Any:
    """How much more it is than before, as a share of one; None where there was nothing before, or is no amount."""
    if now is None or not before:
        return None
    return float((now - before) / before)


def plain(value: Any) -> str:
    """A value for a file: decimals with all their digits, nothing for what is not known."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _json_value(value: Any) -> Any:
    return plain(value) if isinstance(value, Decimal | date | datetime) else value


def inert(cell: str) -> str:
    """The cell, so that no spreadsheet takes it for a formula. A number may begin with its sign."""
    return cell if _is_negative_number(cell) else formulas.inert(cell)


def _is_negative_number(cell: str) -> bool:
    return cell[:1] == "-" and cell[1:].replace(".", "", 1).isdecimal() and cell.isascii()


def csv_answer(file_name: str, tables: Sequence[Table]) -> HttpResponse:
    """Tables as a file: one alone begins with its headings, several are named and parted by empty lines."""
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{file_name}.csv"',
            "Cache-Control": "no-store",
        },
    )
    writer = csv.writer(response)
    for number, table in enumerate(tables):
        if len(tables) > 1:
            if number:
                writer.writerow([])
            writer.writerow([inert(table.title)])
        for row in table.text_rows():
            writer.writerow([inert(cell) for cell in row])
    return response


def json_answer(tree: dict[str, Any]) -> HttpResponse:
    """A tree as JSON that a person can read, too."""
    body = orjson.dumps(tree, option=orjson.OPT_INDENT_2)
    return HttpResponse(
        body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )

"""Usage records as files, some thousand at a time: CSV and JSON lines, with what was adjusted beside what was booked.

Records come in the order in which they began. Each portion is a query of its own that goes on behind the last record
of the one before, so that neither memory nor a transaction grows with the number of records.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from django.db import models
from django.db.models import Q, QuerySet, Sum

from accounting.formulas import inert
from accounting.models import Adjustment, UsageRecord
from accounting.models.money import UsdField, from_pico

PORTION = 1000
ADJUSTED = "adjusted_usd"

Row = tuple[Any, ...]
"""The values of one record in the order of ``COLUMNS``."""


class Column(NamedTuple):
    """One value of each record: its name, and what sort of value it is."""

    name: str
    kind: str
    may_be_empty: bool


def _kind_of(field: "models.Field[Any, Any]") -> str:
    kinds: list[tuple[type[Any], str]] = [
        (models.DateTimeField, "moment"),
        (UsdField, "usd"),
        (models.BooleanField, "flag"),
        (models.JSONField, "json"),
        (models.IntegerField, "count"),
    ]
    return next((kind for class_, kind in kinds if isinstance(field, class_)), "text")


COLUMNS = (
    *(
        Column(field.attname, _kind_of(field), field.null)
        for field in UsageRecord._meta.concrete_fields
    ),
    Column(ADJUSTED, "usd", may_be_empty=False),
)
"""All that a record holds, and the sum of its adjustments."""
NAMES = tuple(column.name for column in COLUMNS)
_STORED = NAMES[:-1]
_place_of = itemgetter(NAMES.index("started_at"), NAMES.index("id"))
_id_of = itemgetter(NAMES.index("id"))


def portions(records: QuerySet[UsageRecord], *, size: int = PORTION) -> Iterator[list[Row]]:
    """The records' values, ``size`` at a time, in the order in which they began; two queries for each."""
    ordered = records.order_by("started_at", "id")
    rest = ordered
    while rows := list(rest.values_list(*_STORED)[:size]):
        yield _with_adjustments(rows)
        if len(rows) < size:
            return
        at, record_id = _place_of(rows[-1])
        # The first condition is what an index can answer; the second only tells those of the same moment apart.
        rest = ordered.filter(Q(started_at__gte=at), Q(started_at__gt=at) | Q(id__gt=record_id))


def _with_adjustments(rows: Sequence[Row]) -> list[Row]:
    of_rows = Adjustment.objects.filter(record_id__in=[_id_of(row) for row in rows]).order_by()
    adjusted = dict(of_rows.values_list("record_id").annotate(Sum("amount_usd")))
    nothing = from_pico(0)  # with as many digits as any other amount
    return [(*row, adjusted.get(_id_of(row), nothing)) for row in rows]


def moment_text(moment: datetime) -> str:
    """A moment in UTC, to the microsecond."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def usd_text(amount_usd: Decimal) -> str:
    """An amount with all its digits."""
    return f"{amount_usd:f}"


def json_text(value: Any) -> str:
    """A list or an object as one line."""
    return orjson.dumps(value).decode()


_TEXTS: dict[str, Callable[[Any], str]] = {
    "moment": moment_text,
    "usd": usd_text,
    "flag": lambda value: "true" if value else "false",
    "json": json_text,
    "count": str,
    "text": str,
}


def csv_heading() -> bytes:
    """The first line of a CSV file."""
    return (",".join(NAMES) + "\r\n").encode()


def csv_lines(rows: Iterable[Row], *, for_spreadsheets: bool = True) -> bytes:
    """Records as lines of CSV. Empty: not known. For spreadsheets, no text can be taken for a formula."""
    texts: list[Callable[[Any], str]] = [_TEXTS[column.kind] for column in COLUMNS]
    if for_spreadsheets:
        texts = [
            inert if column.kind == "text" else text
            for column, text in zip(COLUMNS, texts, strict=True)
        ]
    out = io.StringIO()
    csv.writer(out).writerows(
        ["" if value is None else text(value) for text, value in zip(texts, row, strict=True)]
        for row in rows
    )
    return out.getvalue().encode()


def json_lines(rows: Iterable[Row]) -> bytes:
    """Records as lines of JSON; amounts are strings, so that no digit is lost."""
    return b"".join(
        orjson.dumps(dict(zip(NAMES, as_plain(row), strict=True)), option=orjson.OPT_APPEND_NEWLINE)
        for row in rows
    )


def as_plain(row: Row) -> list[Any]:
    """A record's values as JSON has them: moments and amounts as texts."""
    plain = list(row)
    for index, text in _NOT_PLAIN:
        if plain[index] is not None:
            plain[index] = text(plain[index])
    return plain


_NOT_PLAIN = [
    (index, _TEXTS[column.kind])
    for index, column in enumerate(COLUMNS)
    if column.kind in ("moment", "usd")
]

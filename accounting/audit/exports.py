"""Audit entries as files, a piece at a time: JSON lines, which can be verified elsewhere, and CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from accounting import downloads
from accounting.audit.trail import ROWS_AT_ONCE, content_of
from accounting.models import AuditEntry
from accounting.tables import inert

JSON_LINES, CSV = "jsonl", "csv"
CONTENT_TYPES = {
    JSON_LINES: "application/x-ndjson; charset=utf-8",
    CSV: "text/csv; charset=utf-8",
}
COLUMNS = (
    "number", "at", "actor", "actor_id", "address", "via", "action", "kind", "object_id", "name", "team",
    "before", "after", "previous_digest", "digest",
)  # fmt: skip


def line_of(entry: AuditEntry) -> dict[str, Any]:
    """All that an entry says, with both digests: enough to verify the chain without the database."""
    return {
        **content_of(entry),
        "previous_digest": entry.previous_digest,
        "digest": entry.digest,
    }


def in_pieces(entries: QuerySet[AuditEntry]) -> Iterator[list[AuditEntry]]:
    """The entries by rising number, each piece by a query that goes on behind the one before."""
    number = -1
    while rows := list(entries.filter(number__gt=number).order_by("number")[:ROWS_AT_ONCE]):
        yield rows
        number = rows[-1].number


def written(entries: QuerySet[AuditEntry], form: str) -> Iterator[bytes]:
    """The entries as a file of the form, a piece at a time."""
    if form == CSV:
        yield csv_lines([list(COLUMNS)])
    for rows in in_pieces(entries):
        lines = [line_of(entry) for entry in rows]
        yield csv_lines(_cells(line) for line in lines) if form == CSV else json_lines(lines)


def json_lines(lines: Iterable[dict[str, Any]]) -> bytes:
    """One object of JSON to a line."""
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def csv_lines(rows: Iterable[list[str]]) -> bytes:
    """Rows whose cells no spreadsheet takes for formulas."""
    out = io.StringIO()
    csv.writer(out).writerows([inert(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _cells(line: dict[str, Any]) -> list[str]:
    return [_cell(line[name]) for name in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def download(
    request: HttpRequest, entries: QuerySet[AuditEntry], form: str
) -> StreamingHttpResponse:
    """The entries as a file that is sent while it is read."""
    return downloads.download(
        request,
        written(entries, form),
        content_type=CONTENT_TYPES[form],
        headers={
            "Content-Disposition": f'attachment; filename="audit.{form}"',
            "Cache-Control": "no-store",
        },
    )

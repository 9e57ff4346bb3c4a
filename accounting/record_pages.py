"""The records behind a report as files: sent while they are read, so that any number of them takes no more memory."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta

from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from accounting.downloads import download
from accounting.exports import Row, csv_heading, csv_lines, json_lines, portions
from accounting.models import UsageRecord
from accounting.principals import Principal
from accounting.report_query import Ask, read_ask, words_filter
from accounting.views import for_people_with_usage, today

CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


@for_people_with_usage
def records(request: HttpRequest, principal: Principal, ending: str) -> HttpResponseBase:
    """GET /usage/records.csv and .jsonl: each attempt behind a report, by the parameters of the report pages."""
    if ending not in CONTENT_TYPES:
        raise Http404
    ask = read_ask(request.GET, today=today())
    rows = portions(records_of(ask, principal))
    chunks = _csv(rows) if ending == "csv" else map(json_lines, rows)
    name = f"records-{ask.period.from_on}-{ask.period.to_on}.{ending}"
    return download(
        request,
        chunks,
        content_type=CONTENT_TYPES[ending],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _csv(rows: Iterable[list[Row]]) -> Iterator[bytes]:
    yield csv_heading()
    for portion in rows:
        yield csv_lines(portion)


def records_of(ask: Ask, principal: Principal) -> QuerySet[UsageRecord]:
    """The ledger's rows behind a report, as far as they may be seen."""
    began_at = datetime.combine(ask.period.from_on, time(), UTC)
    ended_at = datetime.combine(ask.period.to_on + timedelta(days=1), time(), UTC)
    return UsageRecord.objects.filter(
        principal.filter(),
        words_filter(ask.words),
        started_at__gte=began_at,
        started_at__lt=ended_at,
    )

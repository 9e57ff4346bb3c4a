"""The usage page, as HTML and as CSV."""

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode

from accounting.charts import BarChart, bar_chart
from accounting.reports import Period, UsageReport, read_period, table_rows, usage_report
from accounting.templatetags.amounts import tokens, usd

FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")
PRESETS_DAYS = (1, 7, 30, 90)


@login_required
def usage(request: HttpRequest) -> HttpResponse:
    """GET /usage/: spend and tokens per day, team and model. For staff."""
    if not request.user.is_staff:
        return render(request, "accounting/forbidden.html", status=403)
    today = datetime.now(UTC).date()
    report = usage_report(read_period(request.GET, today=today))
    if request.GET.get("format") == "csv":
        return csv_answer(report)
    period = report.period
    context = {
        "report": report,
        "chart": chart_of(report),
        "presets": [
            (days, address(Period(today - timedelta(days=days - 1), today, period.narrowed_to)))
            for days in PRESETS_DAYS
        ],
        "csv_address": address(period) + "&format=csv",
        "json_address": "/api/usage/" + address(period),
    }
    return render(request, "accounting/usage.html", context)


def address(period: Period) -> str:
    """The query of a period's page."""
    return "?" + urlencode(
        {"from": str(period.from_on), "to": str(period.to_on), **period.narrowed_to}
    )


def chart_of(report: UsageReport) -> BarChart:
    """Spend per day; tokens where nothing has a price."""
    if report.totals.spend_usd:
        return bar_chart(
            [
                (line.totals.spend_usd, f"{line.name}: {usd(line.totals.spend_usd)}")
                for line in report.days
            ]
        )
    counted = [
        (line.totals.prompt_tokens + line.totals.completion_tokens, line.name)
        for line in report.days
    ]
    return bar_chart(
        [(Decimal(count), f"{name}: {tokens(count)} tokens") for count, name in counted]
    )


def csv_answer(report: UsageReport) -> HttpResponse:
    """What the page shows, as a file."""
    name = f"usage-{report.period.from_on}-{report.period.to_on}.csv"
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    writer = csv.writer(response)
    for row in table_rows(report):
        writer.writerow([inert(cell) for cell in row])
    return response


def inert(cell: str) -> str:
    """The cell, so that no spreadsheet takes it for a formula."""
    return "'" + cell if cell.startswith(FORMULA_MARKS) else cell

"""The dearest and the slowest attempts of a period, from the ledger's rows: one pass over the index of times."""

from decimal import Decimal
from typing import Any

from django.db.models import F, Sum
from django.urls import reverse

from accounting.latencies import records_of
from accounting.models import Adjustment
from accounting.periods import Period
from accounting.principals import Principal
from accounting.report_query import Ask, usage_of
from accounting.reports import Page
from accounting.tables import Column, Row, Table

ROWS_SHOWN = 50
DAYS_MAX = 62
ORDERS = {
    "cost": ("Dearest", "cost_usd"),
    "duration": ("Slowest", "duration_ms"),
    "ttft": ("Longest wait for the first token", "ttft_ms"),
    "tokens": ("Longest prompt", "prompt_tokens"),
}
"""What requests can be ordered by: its name in the address, what pages call it, and the column."""
COLUMNS = (
    Column("request_id", "Request"),
    Column("started_at", "Began (UTC)", "moment"),
    Column("team", "Team"),
    Column("key", "API key"),
    Column("model", "Model"),
    Column("provider", "Provider"),
    Column("status", "Status"),
    Column("spend_usd", "Spend (USD)", "usd"),
    Column("duration_ms", "Duration (ms)", "ms"),
    Column("ttft_ms", "TTFT (ms)", "ms"),
    Column("prompt_tokens", "Prompt (tokens)", "count"),
    Column("completion_tokens", "Completion (tokens)", "count"),
)
_READ = (
    "id", "request_id", "started_at", "team", "key_name", "upstream_model", "provider", "status", "cost_usd",
    "duration_ms", "ttft_ms", "prompt_tokens", "completion_tokens",
)  # fmt: skip


def top_requests(ask: Ask, principal: Principal, order: str) -> Page:
    """GET /usage/top/: one attempt in each row. Three queries; days beyond the bound are left out, and it is said."""
    title, column = ORDERS[order]
    bounded, note = _bounded(ask)
    found = list(
        records_of(bounded, principal)
        .exclude(**{column: None})
        .order_by(F(column).desc(nulls_last=True))
        .values_list(*_READ)[:ROWS_SHOWN]
    )
    adjusted = _adjusted([row[0] for row in found])
    rows = tuple(_row(row, adjusted) for row in found)
    return Page(
        "top",
        "Top requests",
        tables=(
            Table(
                order,
                title,
                COLUMNS,
                rows,
                note="One row for each attempt: a request that was tried again has several. Spend includes adjustments; the order is that of the cost as booked.",
            ),
        ),
        notes=(note,) if note else (),
        is_empty=not rows and not usage_of(ask, principal).exists(),
    )


def _bounded(ask: Ask) -> tuple[Ask, str]:
    period = ask.period
    if period.days <= DAYS_MAX:
        return ask, ""
    last = Period(period.to_on.fromordinal(period.to_on.toordinal() - DAYS_MAX + 1), period.to_on)
    return ask.in_period(last), (
        f"Rows of the ledger are looked through for at most {DAYS_MAX} days at once: here, {last.label}."
    )


def _adjusted(ids: list[str]) -> dict[str, Decimal]:
    found = Adjustment.objects.filter(record_id__in=ids).order_by()
    return dict(
        found.values("record_id").annotate(sum=Sum("amount_usd")).values_list("record_id", "sum")
    )


def _row(row: tuple[Any, ...], adjusted: dict[str, Decimal]) -> Row:
    record_id, request_id, started_at, team, key, model, provider, status, cost_usd, *numbers = row
    if record_id in adjusted:
        cost_usd = (cost_usd or Decimal(0)) + adjusted[record_id]
    return Row(
        (request_id, started_at, team, key, model, provider, status, cost_usd, *numbers),
        reverse("accounting:request", args=[request_id]),
    )

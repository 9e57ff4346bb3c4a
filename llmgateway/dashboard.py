"""The first page of the admin: how things are now, what needs attention, and the link that mends it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest

from accounting import snapshot as keys_snapshot
from accounting.models import UsageRecord
from llmgateway.attention import budgets_near_their_limit, concerns, resting
from llmgateway.day_figures import NOW_MINUTES, day_began_at, errors_of_last_day, figure_cards
from llmgateway.first_steps.pages import may_set_up
from routing.admin.page import live_state
from routing.models import Provider, ProviderCheck

LATEST_MAX = 8
PROVIDERS_MAX = 8


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """A provider and how it was found last; ``state`` is ok, problem, or not checked."""

    row: Provider
    check: ProviderCheck | None
    state: str


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Django-unfold's callback for the index page."""
    now = datetime.now(UTC)
    latest = list(UsageRecord.objects.order_by("-id")[:LATEST_MAX])
    lines = provider_lines()
    keys_number = keys_snapshot.current().number
    context.update(
        title="Dashboard",
        now_minutes=NOW_MINUTES,
        day_began_at=day_began_at(now),
        cards=figure_cards(now) if latest else [],
        errors=errors_of_last_day(now),
        leads_to_first_steps=not latest and may_set_up(request),
        concerns=concerns(),
        resting=resting(now),
        providers=lines[:PROVIDERS_MAX],
        more_providers=max(0, len(lines) - PROVIDERS_MAX),
        budgets=budgets_near_their_limit(now),
        latest=latest,
        keys_number=keys_number if keys_number >= 0 else None,
        **live_state(),
    )
    return context


def provider_lines() -> list[ProviderLine]:
    """The providers that are switched on, those with a problem first. One query."""
    rows = Provider.objects.filter(enabled=True).select_related("last_check")
    lines = [_line_of(row) for row in rows]
    order = ("problem", "not checked", "ok")
    return sorted(lines, key=lambda line: (order.index(line.state), line.row.slug))


def _line_of(row: Provider) -> ProviderLine:
    check: ProviderCheck | None = getattr(row, "last_check", None)
    if check is None:
        return ProviderLine(row, None, "not checked")
    return ProviderLine(row, check, "problem" if check.problem else "ok")

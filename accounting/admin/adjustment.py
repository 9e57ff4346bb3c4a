"""Adjustments, to look at only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from accounting.admin.big_tables import BoundedPaginator, MomentFilter
from accounting.admin.page import AccountingAdmin
from accounting.models import Adjustment, Team
from accounting.templatetags.amounts import usd


class TeamFilter(admin.SimpleListFilter):
    """Adjustments by team; the teams that there are, so that no big table is searched for them."""

    title = "team"
    parameter_name = "team"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        """All teams."""
        return [
            (slug, slug) for slug in Team.objects.order_by("slug").values_list("slug", flat=True)
        ]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Adjustment]) -> QuerySet[Adjustment]:
        """The team's adjustments."""
        return rows.filter(team=self.value()) if self.value() else rows


@admin.register(Adjustment)
class AdjustmentAdmin(AccountingAdmin):
    """What was booked after the fact, newest first."""

    empty_help = (
        "Records are never changed: what usage cost more or less than was booked is an adjustment here. "
        "manage.py recost books them after prices were added or corrected."
    )
    list_display = ("at", "record", "team", "amount", "reason", "run", "by")
    list_filter = (("at", MomentFilter), TeamFilter)
    list_filter_submit = True
    search_fields = ("=record_id", "=run", "=team")
    search_help_text = "Whole words: id of a record, of a run, or a team."
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = None
    fields = (
        ("amount", "reason"),
        ("record", "record_started_at"),
        ("team", "project", "key_id"),
        ("price_id", "run"),
        ("by", "at"),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only re-costing adds."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Adjustments do not change."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Adjustments stay."""
        del request, obj
        return False

    @display(description="Amount (USD)", ordering="amount_usd")
    def amount(self, row: Adjustment) -> str:
        """With its sign."""
        return signed_usd(row)

    @display(description="Usage record", ordering="record_id")
    def record(self, row: Adjustment) -> str:
        """The way to the record."""
        address = reverse("admin:accounting_usagerecord_change", args=[row.record_id])
        return format_html('<a class="llmgw-link" href="{}">{}</a>', address, row.record_id)


def signed_usd(row: Adjustment) -> str:
    """An adjustment's amount with its sign."""
    amount_usd = row.amount_usd
    if amount_usd is None or amount_usd == 0:
        return usd(amount_usd)
    return f"{'+' if amount_usd > 0 else '−'}{usd(abs(amount_usd))}"

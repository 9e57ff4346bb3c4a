"""Usage records, to look at only."""

from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action, display

from accounting.admin.adjustment import signed_usd
from accounting.admin.big_tables import BoundedPaginator, MomentFilter
from accounting.admin.page import AccountingAdmin
from accounting.models import Adjustment, RequestLog, UsageRecord, VirtualKey
from accounting.request_search import HAS_SESSION
from accounting.templatetags.amounts import tokens, usd
from conversion.dialects import Dialect

KEYS_MAX = 100
"""Keys of one name, each in another team, that a search looks for."""


class DialectFilter(admin.SimpleListFilter):
    """Records by their client's dialect; a million rows are not searched for which there are."""

    title = "client dialect"
    parameter_name = "client_dialect"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        """All dialects that clients can speak."""
        return [(dialect.value, dialect.value) for dialect in Dialect]

    def queryset(
        self, _request: HttpRequest, records: QuerySet[UsageRecord]
    ) -> QuerySet[UsageRecord]:
        """The records in the dialect."""
        return records.filter(client_dialect=self.value()) if self.value() else records


@admin.register(UsageRecord)
class UsageRecordAdmin(AccountingAdmin):
    """The ledger, newest first."""

    empty_help = (
        "Every attempt to call a provider leaves a record here. Send a first request to see one."
    )
    list_display = (
        "started_at", "status_shown", "team", "key_name", "alias", "provider", "prompt_shown", "completion_shown",
        "cost_shown", "ttft_ms", "duration_ms",
    )  # fmt: skip
    list_filter = (
        ("started_at", MomentFilter),
        "status",
        "streamed",
        "cost_source",
        DialectFilter,
    )
    list_filter_submit = True
    search_fields = ("id",)
    search_help_text = "A whole word: request id, team, API key or session. Reports → Requests finds models, providers, tags and more."
    ordering = ("-started_at",)
    sortable_by = ("started_at",)
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = None
    actions_detail = ("open_request", "explain_route")
    fieldsets = (
        (
            "What happened",
            {
                "fields": (
                    ("status", "finish_reason"),
                    ("error", "upstream_status"),
                    "error_message",
                )
            },
        ),
        (
            "Who asked",
            {"fields": (("team", "project"), ("key_name", "key_id"), ("agent", "session"))},
        ),
        (
            "What was called",
            {
                "fields": (
                    ("request_id", "attempt"),
                    "request_log",
                    ("alias", "provider"),
                    ("upstream_model", "answered_model"),
                    "upstream_id",
                    ("client_dialect", "upstream_dialect", "streamed"),
                )
            },
        ),
        (
            "Tokens and cost",
            {
                "fields": (
                    ("prompt_tokens", "completion_tokens", "reasoning_tokens"),
                    ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
                    "tokens_estimated",
                    ("prompt_images", "cache_saved_shown"),
                    ("cost_shown", "cost_source", "price_shown"),
                    "adjustments_shown",
                )
            },
        ),
        (
            "Time and size",
            {
                "fields": (
                    ("started_at", "ttft_ms", "duration_ms"),
                    ("request_bytes", "answer_bytes"),
                )
            },
        ),
        ("Conversion", {"fields": ("notes_shown",)}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the ledger adds."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        """Records do not change."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        """Records stay."""
        del request, obj
        return False

    @action(description="Open request", permissions=["view"], icon="manage_search")
    def open_request(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that tells the record's whole request, with all its attempts."""
        row = self.get_object(request, object_id)
        if row is None:
            return redirect("admin:accounting_usagerecord_changelist")
        return redirect("accounting:request", request_id=row.request_id)

    @action(description="Explain route", permissions=["view"], icon="account_tree")
    def explain_route(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that shows what the record's request would do now."""
        del request
        return redirect(f"{reverse('explain')}?{urlencode({'record': object_id})}")

    @display(
        description="Status",
        ordering="status",
        label={
            "succeeded": "success",
            "failed": "danger",
            "client closed": "warning",
            "interrupted": "warning",
        },
    )
    def status_shown(self, row: UsageRecord) -> str:
        """How it ended."""
        return row.get_status_display()

    @display(description="Prompt tokens", ordering="prompt_tokens")
    def prompt_shown(self, row: UsageRecord) -> str:
        """With thousands apart."""
        return tokens(row.prompt_tokens)

    @display(description="Completion tokens", ordering="completion_tokens")
    def completion_shown(self, row: UsageRecord) -> str:
        """With thousands apart."""
        return tokens(row.completion_tokens)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageRecord], search_term: str
    ) -> tuple[QuerySet[UsageRecord], bool]:
        """The records whose request, team, key or session is called so.

        Each is looked for by its own index first: all of them at once would read the whole ledger.
        """
        del request
        word = search_term.strip().replace("\0", "")
        if not word:
            return queryset, False
        named = VirtualKey.objects.filter(name=word).values_list("pk", flat=True)[:KEYS_MAX]
        found = [
            wanted
            for wanted in (
                Q(pk=word),
                Q(request_id=word),
                Q(team=word),
                Q(session=word) & HAS_SESSION,
                Q(key_id__in=list(named)),
            )
            if UsageRecord.objects.filter(wanted).exists()
        ]
        return (queryset.filter(reduce(or_, found)) if found else queryset.none()), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRecord]:
        """Records with the sum of their adjustments, which only a page's own rows are asked for."""
        of_record = Adjustment.objects.filter(record_id=OuterRef("pk")).order_by()
        sums = of_record.values("record_id").annotate(sum=Sum("amount_usd")).values("sum")
        records: QuerySet[UsageRecord] = super().get_queryset(request)
        return records.annotate(adjusted_usd=Subquery(sums))

    @display(description="Cost (USD)", ordering="cost_usd")
    def cost_shown(self, row: UsageRecord) -> str:
        """The amount with its adjustments, or that there is none."""
        adjusted_usd: Decimal | None = getattr(row, "adjusted_usd", None)
        if adjusted_usd is None:
            return usd(row.cost_usd)
        return f"{usd((row.cost_usd or 0) + adjusted_usd)} (adjusted)"

    @display(description="Saved by caches (USD)")
    def cache_saved_shown(self, row: UsageRecord) -> str:
        """The amount; a dash where it is not known."""
        saved_usd = row.cache_saved_usd
        if saved_usd is None:
            return "–"
        return f"−{usd(-saved_usd)}" if saved_usd < 0 else usd(saved_usd)

    @display(description="Price")
    def price_shown(self, row: UsageRecord) -> str:
        """The way to the price book's row, where it decided."""
        if row.price_id is None:
            return "–"
        address = reverse("admin:accounting_price_change", args=[row.price_id])
        return format_html('<a class="llmgw-link" href="{}">number {}</a>', address, row.price_id)

    @display(description="Adjustments")
    def adjustments_shown(self, row: UsageRecord) -> str:
        """What was booked first, and a line for each adjustment."""
        rows = Adjustment.objects.filter(record_id=row.pk).order_by("pk")
        lines = [
            (signed_usd(one), one.reason, one.by or "–", f"{one.at:%Y-%m-%d %H:%M}", one.run)
            for one in rows
        ]
        if not lines:
            return "None."
        first = format_html("<p>Booked at first: {}</p>", usd(row.cost_usd))
        return first + format_html_join(
            "", "<p><b>{}</b> {} (by {}, {} UTC, run <code>{}</code>)</p>", lines
        )

    @display(description="Headers and bodies")
    def request_log(self, row: UsageRecord) -> str:
        """The way to what crossed, where it was kept."""
        if not RequestLog.objects.filter(pk=row.pk).exists():
            return "Not kept (feature flags log_headers and log_bodies), or deleted by now."
        address = reverse("admin:accounting_requestlog_change", args=[row.pk])
        return format_html(
            '<a class="llmgw-link" href="{}">Show what was sent and answered</a>', address
        )

    @display(description="What conversion mapped or left out")
    def notes_shown(self, row: UsageRecord) -> str:
        """A line for each note."""
        lines = [(kind, path, why) for kind, path, why in row.notes]
        return (
            format_html_join("", "<p><b>{}</b> <code>{}</code>: {}</p>", lines)
            or "Nothing: the request crossed whole."
        )

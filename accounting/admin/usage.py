"""Usage records, to look at only."""

from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display

from accounting.admin.page import AccountingAdmin
from accounting.models import RequestLog, UsageRecord
from accounting.templatetags.amounts import tokens, usd


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
        ("started_at", RangeDateTimeFilter),
        "status",
        "streamed",
        "cost_source",
        "client_dialect",
    )
    list_filter_submit = True
    search_fields = (
        "=id",
        "=request_id",
        "=key_name",
        "=team",
        "=session",
        "=alias",
        "=provider",
        "=upstream_model",
    )
    search_help_text = "Whole words: request id, key, team, session, alias, provider or model."
    ordering = ("-id",)
    list_per_page = 50
    actions = None
    actions_detail = ("explain_route",)
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
                    ("cost_shown", "cost_source", "price_id"),
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

    @display(description="Cost (USD)", ordering="cost_usd")
    def cost_shown(self, row: UsageRecord) -> str:
        """The amount, or that there is none."""
        return usd(row.cost_usd)

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

"""Request logs, to look at only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from accounting.admin.big_tables import BoundedPaginator, MomentFilter
from accounting.admin.page import AccountingAdmin
from accounting.audit import watch
from accounting.crossed import crossed
from accounting.models import RequestLog
from accounting.models.request_log import BODIES
from accounting.templatetags.amounts import tokens


@admin.register(RequestLog)
class RequestLogAdmin(AccountingAdmin):
    """Newest first; found by request, never by what a body says."""

    empty_help = (
        "Headers and bodies of requests are kept here, masked, where the feature flags log_headers or log_bodies are on: "
        "for everybody, a team, a key or a share of the requests. Both are off at first."
    )
    change_form_after_template = "admin/accounting/requestlog/_crossed.html"
    list_display = ("at", "team", "key_name", "request_id", "asked", "answered", "kept")
    list_filter = (("at", MomentFilter), "is_cut")
    list_filter_submit = True
    search_fields = ("=id", "=request_id", "=team", "=key_name")
    search_help_text = "Whole words: request id, key or team. Bodies are not searched."
    ordering = ("-id",)
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = None
    fields = (("at", "kept"), ("team", "key_name"), "request_link", "usage_record")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RequestLog]:
        """Rows without what only their own page shows."""
        rows: QuerySet[RequestLog] = super().get_queryset(request)
        return rows.defer("headers", *BODIES)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One attempt's headers and bodies, in the order in which they came about."""
        row = RequestLog.objects.filter(pk=object_id).first()
        if row is not None and self.has_view_permission(request, row):
            watch.note_use(row, "Looked at what was kept, masked.", bodies=len(row.bodies))
        context = {"crossed": crossed(row) if row else [], **(extra_context or {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        response["Cache-Control"] = "no-store"
        return response

    @display(description="Asked (bytes)", ordering="client_request_bytes")
    def asked(self, row: RequestLog) -> str:
        """How long the client's request was."""
        return tokens(row.client_request_bytes)

    @display(description="Answered (bytes)", ordering="client_answer_bytes")
    def answered(self, row: RequestLog) -> str:
        """How long the answer to it was."""
        return tokens(row.client_answer_bytes)

    @display(description="Kept", label={"whole": "success", "cut": "warning", "headers": "info"})
    def kept(self, row: RequestLog) -> str:
        """Whether the bodies are there, and whole."""
        if row.upstream_request_bytes is None:
            return "headers"
        return "cut" if row.is_cut else "whole"

    @display(description="Request")
    def request_link(self, row: RequestLog) -> str:
        """The way to the page that tells all attempts of the request."""
        address = reverse("accounting:request", args=[row.request_id])
        return format_html('<a class="llmgw-link" href="{}">{}</a>', address, row.request_id)

    @display(description="Usage record")
    def usage_record(self, row: RequestLog) -> str:
        """The way back to what the attempt used and cost."""
        address = reverse("admin:accounting_usagerecord_change", args=[row.pk])
        return format_html('<a class="llmgw-link" href="{}">{}</a>', address, row.pk)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only serving processes add."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: RequestLog | None = None) -> bool:
        """Logs do not change."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RequestLog | None = None) -> bool:
        """The retention deletes."""
        del request, obj
        return False

"""Request logs, to look at only."""

from typing import Any

import orjson
from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from accounting.admin.page import AccountingAdmin
from accounting.models import RequestLog
from accounting.models.request_log import BODIES, LoggedBody
from accounting.templatetags.amounts import tokens

COUNTED_MAX = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than anybody turns pages: a full count would read the whole table."""

    @cached_property
    def count(self) -> int:
        """How many rows there are, ``COUNTED_MAX`` where there are more."""
        ids: Any = self.object_list
        return int(ids.order_by().values("pk")[:COUNTED_MAX].count())


@admin.register(RequestLog)
class RequestLogAdmin(AccountingAdmin):
    """Newest first; found by request, never by what a body says."""

    empty_help = (
        "Headers and bodies of requests are kept here, masked, where the feature flags log_headers or log_bodies are on: "
        "for everybody, a team, a key or a share of the requests. Both are off at first."
    )
    change_form_after_template = "admin/accounting/requestlog/_crossed.html"
    list_display = ("at", "team", "key_name", "request_id", "asked", "answered", "kept")
    list_filter = (("at", RangeDateTimeFilter), "is_cut")
    list_filter_submit = True
    search_fields = ("=id", "=request_id", "=team", "=key_name")
    search_help_text = "Whole words: request id, key or team. Bodies are not searched."
    ordering = ("-id",)
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = None
    fields = (("at", "kept"), ("team", "key_name"), "request_id", "usage_record")

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


def crossed(row: RequestLog) -> list[dict[str, Any]]:
    """What the page shows of each message: its name, headers, text and size."""
    bodies = {body.name: body for body in row.bodies}
    return [
        {
            "label": label,
            "headers": row.headers.get(name, []),
            "body": bodies.get(name),
            "text": shown(bodies[name]) if name in bodies else "",
        }
        for name, label in BODIES.items()
        if name in bodies or name in row.headers
    ]


def shown(body: LoggedBody) -> str:
    """The body as text: JSON spread over lines, everything else as it came."""
    if not body.is_cut and body.text.lstrip().startswith((b"{", b"[")):
        try:
            return orjson.dumps(orjson.loads(body.text), option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONDecodeError:
            pass
    return body.text.decode("utf-8", "replace")

"""The audit trail, to look at only."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import FieldTextFilter
from unfold.decorators import display

from accounting.admin.big_tables import BoundedPaginator, MomentFilter
from accounting.admin.page import AccountingAdmin
from accounting.audit import exports, shown, sign_ins, trail, watch
from accounting.models import AuditEntry

ACTIONS = (
    watch.CREATE, watch.CHANGE, watch.DELETE, watch.USE, sign_ins.SIGN_IN, sign_ins.SIGN_OUT, sign_ins.REFUSED,
)  # fmt: skip


class KindFilter(admin.SimpleListFilter):
    """By what sort of object."""

    title = "what"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All sorts that there are, also those of which nothing was noted."""
        del request, model_admin
        return shown.known_kinds()

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        """The entries about it."""
        del request
        return queryset.filter(kind=self.value()) if self.value() else queryset


class ActionFilter(admin.SimpleListFilter):
    """By what was done."""

    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All that can be done."""
        del request, model_admin
        return [(action, action) for action in ACTIONS]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        """The entries of it."""
        del request
        return queryset.filter(action=self.value()) if self.value() else queryset


class ObjectFilter(admin.SimpleListFilter):
    """By one object, where an object's own page has led here."""

    title = "object"
    parameter_name = "object"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The object that the address names; nobody could list them all."""
        del model_admin
        named = request.GET.get(self.parameter_name, "")
        kind, _colon, number = named.partition(":")
        return [(named, f"{shown.kind_words(kind)} #{number}")] if number else []

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        """The entries about it."""
        del request
        kind, _colon, number = (self.value() or "").partition(":")
        return queryset.filter(kind=kind, object_id=number) if number else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(AccountingAdmin):
    """Newest first; nothing here can be changed, by anybody."""

    empty_help = (
        "Every change of configuration, keys, budgets, prices, teams, members and users leaves an entry here, and so does "
        "every use of a secret and every sign-in. There has been none yet."
    )
    list_before_template = "admin/accounting/auditentry/_state.html"
    change_form_before_template = ""
    change_form_after_template = "admin/accounting/auditentry/_changes.html"
    list_display = ("at", "who", "way", "action_shown", "what", "object_shown", "told")
    list_display_links = ("at",)
    list_filter = (
        ("at", MomentFilter),
        ObjectFilter,
        KindFilter,
        ActionFilter,
        ("actor", FieldTextFilter),
    )
    list_filter_submit = True
    search_fields = ("name", "=actor", "=team", "=object_id")
    search_help_text = (
        "Part of an object's name; or a whole actor, a team's short name or an object's number."
    )
    ordering = ("-number",)
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = None
    fields = (
        ("number", "at"),
        ("who", "way"),
        ("action_shown", "what"),
        ("object_shown", "team"),
    )

    class Media:
        css = {"all": ("llmgateway/audit.css",)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """The list, with the last verification above it."""
        check = trail.last_check()
        context = {
            "audit_check": check,
            "audit_exports": [
                (
                    label,
                    f"{reverse('admin:accounting_auditentry_export', args=[form])}?{request.GET.urlencode()}",
                )
                for form, label in ((exports.CSV, "CSV"), (exports.JSON_LINES, "JSON lines"))
            ],
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """One entry, with what changed side by side."""
        row = self.get_object(request, object_id)
        context = {
            "entry": row,
            "lines": shown.lines_of(row) if row else [],
            "is_change": row is not None and row.action == watch.CHANGE,
        }
        return super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )

    def get_urls(self) -> list[URLPattern]:
        """The files beside the usual pages."""
        wrap = self.admin_site.admin_view
        own = path("export/<str:form>/", wrap(self.export), name="accounting_auditentry_export")
        return [own, *super().get_urls()]

    def export(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """What the list shows, all pages of it, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if form not in exports.CONTENT_TYPES:
            raise Http404
        rows = self.get_changelist_instance(request).get_queryset(request)
        return exports.download(request, rows, form)

    @display(description="Who", ordering="actor")
    def who(self, row: AuditEntry) -> str:
        """The name of then, and from where."""
        if not row.address:
            return row.actor
        return format_html('{} <span class="llmgw-from">{}</span>', row.actor, row.address)

    @display(description="By which way", ordering="via")
    def way(self, row: AuditEntry) -> str:
        """Admin, api, page, command or gateway."""
        return row.via

    @display(
        description="Action",
        ordering="action",
        label={
            watch.CREATE: "success",
            watch.CHANGE: "info",
            watch.DELETE: "danger",
            watch.USE: "warning",
            sign_ins.REFUSED: "danger",
        },
    )
    def action_shown(self, row: AuditEntry) -> str:
        """What was done."""
        return row.action

    @display(description="What", ordering="kind")
    def what(self, row: AuditEntry) -> str:
        """The sort of object."""
        return shown.kind_words(row.kind)

    @display(description="Object", ordering="name")
    def object_shown(self, row: AuditEntry) -> str:
        """What it was called then, with the way to its page."""
        address = shown.address_of(row)
        if not address:
            return row.name
        return format_html('<a class="llmgw-link" href="{}">{}</a>', address, row.name)

    @display(description="Fields")
    def told(self, row: AuditEntry) -> str:
        """Which fields changed."""
        return shown.summary_of(row)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the program adds."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        """Entries do not change."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        """Entries stay."""
        del request, obj
        return False

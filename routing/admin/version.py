"""Versions of the configuration: who changed what, and the way back."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from unfold.decorators import action, display

from routing import snapshot, versions
from routing.admin.page import RoutingAdmin
from routing.models import ConfigurationVersion

LINES_SHOWN_MAX = 2000
NAMES = {"+": "added", "-": "removed", "@": "place"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a diff; ``name`` is its class: added, removed, place or same."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Diff:
    """The lines that are shown, and how many more there are."""

    lines: list[Line]
    more: int


def diff_of(lines: Iterable[str]) -> Diff:
    """The lines with their classes, as far as a page has room."""
    found = [Line(NAMES.get(line[:1], "same"), line) for line in lines]
    return Diff(found[:LINES_SHOWN_MAX], max(0, len(found) - LINES_SHOWN_MAX))


@admin.register(ConfigurationVersion)
class ConfigurationVersionAdmin(RoutingAdmin):
    """Looked at, and rolled back to."""

    empty_help = (
        "Each change of the configuration of routing becomes a version: when, by whom, and what was changed. "
        "There has been none yet."
    )
    change_form_after_template = "admin/routing/configurationversion/_changes.html"
    list_display = ("number", "made_at", "author", "summary_shown", "size")
    list_filter = ("author",)
    search_fields = ("author", "summary")
    ordering = ("-number",)
    list_per_page = 50
    show_full_result_count = False
    actions = None
    actions_detail = ("roll_back",)
    fields = ("made_at", "author", "summary")

    class Media:
        css = {"all": ("llmgateway/versions.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConfigurationVersion]:
        """Rows without what no page shows."""
        rows: QuerySet[ConfigurationVersion] = super().get_queryset(request)
        return rows.defer("state", "text")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One version with what it changed."""
        row = self.get_object(request, object_id)
        context = {"diff": diff_of(row.diff.splitlines()) if row else None, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    @display(description="Summary", ordering="summary")
    def summary_shown(self, row: ConfigurationVersion) -> str:
        """Its beginning."""
        return row.summary if len(row.summary) <= 120 else f"{row.summary[:119]}…"

    @display(description="Lines changed")
    def size(self, row: ConfigurationVersion) -> str:
        """How many lines of the configuration's text came and went."""
        lines = [line[:1] for line in row.diff.splitlines()]
        return f"+{lines.count('+')} −{lines.count('-')}"

    @action(
        description="Roll back to this version",
        url_path="roll-back",
        permissions=["roll_back"],
        icon="history",
    )
    def roll_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what would change; once that is confirmed, change it."""
        row = get_object_or_404(ConfigurationVersion, pk=object_id)
        if request.method == "POST":
            return self._roll_back(request, row)
        present = versions.present()
        context = {
            **self.admin_site.each_context(request),
            "title": f"Roll back to {row}",
            "opts": self.opts,
            "row": row,
            "seen_number": snapshot.version(),
            "diff": diff_of(versions.difference_to(row, present)),
            "is_same": versions.is_present(row, present),
            "unreadable": versions.unreadable_secrets(row),
            "media": self.media,
        }
        name = "admin/routing/configurationversion/roll_back.html"
        return TemplateResponse(request, name, context)

    def _roll_back(self, request: HttpRequest, row: ConfigurationVersion) -> HttpResponse:
        seen = request.POST.get("seen_number", "")
        try:
            done = versions.roll_back(
                row,
                author=request.user.get_username(),
                seen_number=int(seen) if seen.isdecimal() else -1,
            )
        except versions.RollBackRefused as error:
            messages.error(request, f"Nothing was changed. {error}")
            return redirect("admin:routing_configurationversion_roll_back", row.pk)
        if done.version is None:
            messages.info(request, f"Nothing was changed: the configuration is that of {row}.")
            return redirect("admin:routing_configurationversion_change", row.pk)
        self.log_change(request, row, f"Rolled back to it; that is {done.version}.")
        messages.success(request, f"Rolled back to {row}; live within a second.")
        for label in done.restored.kept_secrets:
            messages.warning(request, f"Credential {label} keeps its present secret.")
        for label in done.restored.lost_secrets:
            messages.warning(request, f"Enter the secret of credential {label} again.")
        return redirect("admin:routing_configurationversion_change", done.version.pk)

    def has_roll_back_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Who may roll back."""
        del object_id
        user: Any = request.user
        return bool(user.has_perm("routing.roll_back_configurationversion"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Changes of the configuration add."""
        del request
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: ConfigurationVersion | None = None
    ) -> bool:
        """A version does not change."""
        del request, obj
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: ConfigurationVersion | None = None
    ) -> bool:
        """All are kept."""
        del request, obj
        return False

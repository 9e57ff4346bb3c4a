"""What all accounting pages share: which picture of the keys is live, a helpful empty list, switching rows on and off."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from accounting import snapshot
from accounting.admin import deletion
from accounting.admin.refusals import PlacedForm

INLINE_ROWS = 10
"""Rows that a page shows of each sort that belongs to its object, before one turns their page."""


class AccountingAdmin(ModelAdmin):
    """``empty_help`` says on an empty list (templates/admin/_empty_list.html) what its rows are for and where to begin."""

    form = PlacedForm
    list_before_template = "admin/_live.html"
    change_form_before_template = "admin/_live.html"
    empty_help = ""
    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True
    formfield_overrides = {
        models.JSONField: {
            "widget": UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"})
        },
    }

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with the number of the picture in force above it."""
        return super().changelist_view(request, {**live_state(), **(extra_context or {})})  # type: ignore[no-any-return]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form, with the number of the picture in force above it."""
        context = {**live_state(), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """The rows with what their names are made of: the fields that lead here show names only."""
        found, may_have_twins = super().get_search_results(request, queryset, search_term)
        related = self.get_list_select_related(request)
        return (
            found.select_related(*related) if isinstance(related, tuple) else found
        ), may_have_twins

    def get_deleted_objects(
        self, objs: Iterable[models.Model], request: HttpRequest
    ) -> deletion.Deletion:
        """What would go with them."""
        return deletion.deletion_of(objs, request, self.admin_site)


def live_state() -> dict[str, Any]:
    """What templates/admin/_live.html shows."""
    number = snapshot.current().number
    return {"live_what": "keys and prices", "live_number": number if number >= 0 else None}


@admin.action(description="Switch on", permissions=["change"])
def switch_on(page: ModelAdmin, request: HttpRequest, rows: models.QuerySet[Any]) -> None:
    """Enable the chosen rows."""
    _switch(page, request, rows, enabled=True)


@admin.action(description="Switch off", permissions=["change"])
def switch_off(page: ModelAdmin, request: HttpRequest, rows: models.QuerySet[Any]) -> None:
    """Disable the chosen rows."""
    _switch(page, request, rows, enabled=False)


def _switch(
    page: ModelAdmin, request: HttpRequest, rows: models.QuerySet[Any], *, enabled: bool
) -> None:
    # Row by row, because the version that the serving processes watch is counted up by save().
    changed = list(rows.filter(enabled=not enabled))
    word = "on" if enabled else "off"
    for row in changed:
        row.enabled = enabled
        row.save(update_fields=["enabled"])
        page.log_change(request, row, f"Switched {word}.")
    names = page.opts.verbose_name if len(changed) == 1 else page.opts.verbose_name_plural
    messages.success(request, f"{len(changed)} {names} switched {word}; live within a second.")

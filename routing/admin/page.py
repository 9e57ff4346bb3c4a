"""What all routing pages share: which picture is live, a helpful empty list, and switching rows on and off."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db import models
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from routing import snapshot, versions
from routing.admin import deletion


class RoutingAdmin(ModelAdmin):
    """``empty_help`` says on an empty list (templates/admin/_empty_list.html) what its rows are for and where to begin."""

    list_before_template = "admin/_live.html"
    change_form_before_template = "admin/_live.html"
    empty_help = ""
    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True
    formfield_overrides = {
        models.JSONField: {
            "widget": UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"})
        },
    }

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with the state of the configuration above it."""
        context = live_state()
        with versioned(request):
            return super().changelist_view(request, {**context, **(extra_context or {})})  # type: ignore[no-any-return]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form, with the state of the configuration above it."""
        context = {**live_state(), **(extra_context or {})}
        with versioned(request):
            return super().changeform_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The question whether to delete a row."""
        with versioned(request):
            return super().delete_view(request, object_id, extra_context)  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """The rows with what their names are made of: the fields that lead here show names only."""
        found, may_have_twins = super().get_search_results(request, queryset, search_term)
        related = self.get_list_select_related(request)
        return (
            found.select_related(*related) if isinstance(related, tuple) else found
        ), may_have_twins

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> deletion.Found:
        """What goes with the rows."""
        return deletion.look_at(objs, request, self.admin_site)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **options: Any
    ) -> HttpResponse:
        """The form; what is wrong in a form within another's is counted above, too."""
        told: list[Any] = context.get("errors", [])
        for inline in context.get("inline_admin_formsets", ()):
            for form in inline.formset.forms:
                for nested in getattr(form, "nested_formsets", ()):
                    told.extend(nested.formset.non_form_errors())
                    for errors in nested.formset.errors:
                        told.extend(errors.values())
        return super().render_change_form(request, context, **options)  # type: ignore[no-any-return]

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> LogEntry:
        """Log it, and say it in the version that is written."""
        return noted(request, super().log_addition(request, obj, message))

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> LogEntry:
        """Log it, and say it in the version that is written."""
        return noted(request, super().log_change(request, obj, message))

    def log_deletions(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        """Log them, and say it in the version that is written."""
        words = ", ".join(str(row) for row in queryset)
        _say(request, f"Deleted {self.opts.verbose_name} {words}.")
        return super().log_deletions(request, queryset)


@contextmanager
def versioned(request: HttpRequest) -> Iterator[None]:
    """What a posted form changes becomes a version of the user's, in one transaction."""
    if request.method != "POST":
        yield
        return
    with versions.changes_by(request.user.get_username()) as note:
        request.version_note = note  # type: ignore[attr-defined]
        yield


def noted(request: HttpRequest, entry: LogEntry) -> LogEntry:
    """Say in the version what the log says."""
    _say(request, f"{entry.content_type.name} {entry.object_repr}: {entry.get_change_message()}")  # type: ignore[union-attr]
    return entry


def _say(request: HttpRequest, sentence: str) -> None:
    note: versions.Note | None = getattr(request, "version_note", None)
    if note is not None:
        note.summary = f"{note.summary} {sentence}".strip()


def live_state() -> dict[str, Any]:
    """What templates/admin/_live.html shows."""
    held = snapshot.in_force()
    return {
        "live_what": "routing",
        "live_number": held.number if held else None,
        "live_version": versions.number_at(held.number) if held else None,
        "live_built_at": held.built_at if held else None,
        "live_failure": snapshot.failure(),
        "live_warnings": held.warnings if held else (),
    }


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

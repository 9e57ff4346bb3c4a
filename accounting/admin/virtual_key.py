"""API keys: made here, shown once, never again."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from accounting import keys
from accounting.admin import key_pages
from accounting.admin.fields import WordsField
from accounting.admin.page import AccountingAdmin, switch_off, switch_on
from accounting.admin.refusals import PlacedForm, refuse_past
from accounting.models import VirtualKey

LIMITS = ("Limits", {"fields": keys.LIMITS})
STATES = {
    "on": "success",
    "rotated": "info",
    "off": "danger",
    "expired": "warning",
    "revoked": "danger",
}


class StateFilter(admin.SimpleListFilter):
    """Keys by whether they are taken now."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[tuple[str, str], ...]:
        """The words of the column."""
        del request, model_admin
        return tuple((word, word) for word in STATES)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[VirtualKey]
    ) -> QuerySet[VirtualKey]:
        """The keys that the column would show so."""
        del request
        word = self.value()
        revoked = Q(revoked_at__isnull=False)
        switched_on = Q(enabled=True, team__enabled=True)
        expired = Q(expires_at__lte=datetime.now(UTC))
        if word == "revoked":
            return queryset.filter(revoked)
        if word == "off":
            return queryset.exclude(revoked).exclude(switched_on)
        if word == "expired":
            return queryset.exclude(revoked).filter(switched_on & expired)
        taken = queryset.exclude(revoked).filter(switched_on).exclude(expired)
        if word in ("on", "rotated"):
            return taken.filter(rotated_to__isnull=word == "on")
        return queryset


class KeyForm(PlacedForm):
    """A key whose owner is one of the team."""

    allowed_aliases = WordsField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="Model names this key may ask for, with commas between them; * stands for any text. Empty: all.",
    )

    class Meta:
        model = VirtualKey
        fields = "__all__"

    def clean(self) -> dict[str, Any]:
        """Keep the owner with the team, where either was chosen anew."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        team, owner = values.get("team"), values.get("owner")
        if team and {"team", "owner"} & set(self.changed_data):
            problem = keys.problem_with_owner(team, owner)
            if problem:
                self.add_error("owner", problem)
        refuse_past(self, "expires_at")
        return values


@admin.action(description="Rotate …", permissions=["change"])
def rotate_chosen(
    page: AccountingAdmin, request: HttpRequest, rows: QuerySet[VirtualKey]
) -> HttpResponse:
    """To the page that asks how."""
    del page, request
    return key_pages.to_page("rotate", list(rows.values_list("pk", flat=True)))


@admin.action(description="Revoke for good …", permissions=["change"])
def revoke_chosen(
    page: AccountingAdmin, request: HttpRequest, rows: QuerySet[VirtualKey]
) -> HttpResponse:
    """To the page that asks whether."""
    del page, request
    return key_pages.to_page("revoke", list(rows.values_list("pk", flat=True)))


@admin.register(VirtualKey)
class VirtualKeyAdmin(AccountingAdmin):
    """The answer to the making of a new key is the only page that ever shows it."""

    empty_help = (
        "An API key lets a team's clients in. Make one: it is shown once, with lines to copy. "
        "Or make many from a CSV file."
    )
    form = KeyForm
    list_display = ("name", "team", "owner", "key", "state", "allowed", "expires_at", "created_at")
    list_filter = (StateFilter, ("team", AutocompleteSelectFilter))
    list_filter_submit = True
    search_help_text = "Part of a name, of the team's short name or the owner's name; or the key's first or last characters."
    list_select_related = ("team", "owner")
    search_fields = ("name", "team__slug", "owner__username", "prefix", "last_four")
    autocomplete_fields = ("team", "default_project", "owner")
    readonly_fields = ("key", "state", "created_at", "rotated_from", "revoked_at")
    actions = (rotate_chosen, revoke_chosen, switch_on, switch_off)
    actions_list = ("make_many",)
    actions_detail = ("rotate_one", "revoke_one")

    def get_queryset(self, request: HttpRequest) -> QuerySet[VirtualKey]:
        """Rows with what their state is told by."""
        rows: QuerySet[VirtualKey] = super().get_queryset(request)
        return rows.prefetch_related("rotated_to")

    def get_fieldsets(self, request: HttpRequest, obj: VirtualKey | None = None) -> Any:
        """A new key has nothing to show yet."""
        del request
        own = (("team", "name"), ("owner", "default_project"), "allowed_aliases")
        if obj is None:
            return ((None, {"fields": (*own, "expires_at", "enabled")}), LIMITS)
        moments = ("created_at", "revoked_at") if obj.revoked_at else ("created_at",)
        shown = (("key", "state"), *own, "expires_at", "enabled", moments)
        return (
            (None, {"fields": (*shown, "rotated_from") if obj.rotated_from_id else shown}),
            LIMITS,
        )

    def get_readonly_fields(self, request: HttpRequest, obj: VirtualKey | None = None) -> Any:
        """Of a revoked key nothing can be changed; the limits of a rotated one are those of its successor."""
        names = super().get_readonly_fields(request, obj)
        if obj is None:
            return names
        if obj.revoked_at:
            return (*(field.name for field in self.opts.fields), "key", "state")
        return (*names, *keys.LIMITS) if obj.rotated_to.all() else names

    def get_urls(self) -> list[URLPattern]:
        """The pages beside the list."""
        wrap = self.admin_site.admin_view
        own = [
            path(
                f"{name}/",
                wrap(lambda request, view=view: view(self, request)),
                name=f"accounting_virtualkey_{name}",
            )
            for name, view in (
                ("rotate", key_pages.rotate_page),
                ("revoke", key_pages.revoke_page),
                ("upload", key_pages.upload_page),
            )
        ]
        return [*own, *super().get_urls()]

    @action(description="Make many from a file", permissions=["add"], icon="upload_file")
    def make_many(self, request: HttpRequest) -> HttpResponse:
        """To the page that takes a file."""
        del request
        return redirect("admin:accounting_virtualkey_upload")

    @action(description="Rotate", permissions=["change"], icon="autorenew", url_path="rotate-one")
    def rotate_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that asks how."""
        del request
        return key_pages.to_page("rotate", [object_id])

    @action(description="Revoke", permissions=["change"], icon="block", url_path="revoke-one")
    def revoke_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that asks whether."""
        del request
        return key_pages.to_page("revoke", [object_id])

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """Keep keys that were rotated as long as their successors stay: what they spent counts against these."""
        rows = list(objs)
        going = {row.pk for row in rows}
        kept = [
            f"{row} (it was rotated: what it spent counts against the budgets of {successor})"
            for row in rows
            for successor in row.rotated_to.all()
            if successor.pk not in going
        ]
        found, counts, missing, protected = super().get_deleted_objects(rows, request)
        return found, counts, missing, [*protected, *kept]

    def save_model(
        self,
        request: HttpRequest,
        obj: VirtualKey,
        form: forms.Form,
        change: bool,  # noqa: FBT001
    ) -> None:
        """Mint a new key; the secret lives as long as this request."""
        if change:
            super().save_model(request, obj, form, change)
        else:
            request.minted = keys.mint_for(obj)  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: VirtualKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key, in the answer itself."""
        del obj, post_url_continue
        made = [request.minted]  # type: ignore[attr-defined]
        return key_pages.shown_once(self, request, made, title="API key made")

    @display(description="Key")
    def key(self, row: VirtualKey) -> str:
        """Its first and last characters."""
        return row.shown

    @display(description="State", label=STATES)
    def state(self, row: VirtualKey) -> str:
        """Whether it is taken."""
        return keys.state_of(row, now=datetime.now(UTC))

    @display(description="May ask for")
    def allowed(self, row: VirtualKey) -> str:
        """Which model names it may ask for."""
        names: list[Any] = row.allowed_aliases
        return ", ".join(names) or "all models"

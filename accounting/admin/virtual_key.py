"""API keys: made here, shown once, never again."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.decorators import display

from accounting import keys
from accounting.admin.page import AccountingAdmin, switch_off, switch_on
from accounting.models import VirtualKey


class StateFilter(admin.SimpleListFilter):
    """Keys by whether they are taken now."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[tuple[str, str], ...]:
        """The words of the column."""
        del request, model_admin
        return (("on", "on"), ("off", "off"), ("expired", "expired"))

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[VirtualKey]
    ) -> QuerySet[VirtualKey]:
        """The keys that the column would show so."""
        del request
        enabled = Q(enabled=True, team__enabled=True)
        expired = Q(expires_at__lte=datetime.now(UTC))
        match self.value():
            case "on":
                return queryset.filter(enabled).exclude(expired)
            case "off":
                return queryset.exclude(enabled)
            case "expired":
                return queryset.filter(enabled & expired)
        return queryset


@admin.register(VirtualKey)
class VirtualKeyAdmin(AccountingAdmin):
    """The answer to the saving of a new key is the only page that ever shows it."""

    empty_help = (
        "An API key lets a team's clients in. Make one: it is shown once, with lines to copy."
    )
    list_display = ("name", "team", "key", "state", "allowed", "expires_at", "created_at")
    list_filter = (StateFilter, "team")
    list_select_related = ("team",)
    search_fields = ("name", "team__slug", "prefix", "last_four")
    autocomplete_fields = ("team", "default_project")
    readonly_fields = ("key", "created_at", "rotated_from")
    actions = (switch_on, switch_off)

    def get_fields(self, request: HttpRequest, obj: VirtualKey | None = None) -> tuple[str, ...]:
        """A new key has nothing to show yet."""
        del request
        own = ("team", "name", "default_project", "allowed_aliases", "expires_at", "enabled")
        return ("key", *own, "created_at") if obj else own

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
            request.minted_secret = keys.mint_for(obj).secret  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: VirtualKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key, in the answer itself: it is stored in no session, message or address."""
        del post_url_continue
        context = {
            **self.admin_site.each_context(request),
            "title": "API key made",
            "opts": self.opts,
            "row": obj,
            "secret": request.minted_secret,  # type: ignore[attr-defined]
            "url": settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/"),
        }
        response = TemplateResponse(request, "admin/accounting/virtualkey/minted.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @display(description="Key")
    def key(self, row: VirtualKey) -> str:
        """Its first and last characters."""
        return row.shown

    @display(description="State", label={"on": "success", "off": "danger", "expired": "warning"})
    def state(self, row: VirtualKey) -> str:
        """Whether it is taken."""
        if not (row.enabled and row.team.enabled):
            return "off"
        return "expired" if row.expires_at and row.expires_at <= datetime.now(UTC) else "on"

    @display(description="May ask for")
    def allowed(self, row: VirtualKey) -> str:
        """Which model names it may ask for."""
        names: list[Any] = row.allowed_aliases
        return ", ".join(names) or "all models"

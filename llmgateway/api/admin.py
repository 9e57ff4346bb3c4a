"""Tokens of the management API in the admin: made for a person, shown once, revoked for good."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounting.admin.refusals import PlacedForm, refuse_past
from llmgateway.api import tokens
from llmgateway.api.models import ApiToken

STATES = {"on": "success", "expired": "warning", "revoked": "danger", "off": "danger"}


@admin.action(description="Revoke for good", permissions=["change"])
def revoke_chosen(page: ModelAdmin, request: HttpRequest, rows: QuerySet[ApiToken]) -> None:
    """Refuse the chosen tokens from now on."""
    revoked = [row for row in rows if tokens.revoke(row, now=datetime.now(UTC))]
    for row in revoked:
        page.log_change(request, row, "Revoked.")
    count = len(revoked)
    messages.success(request, f"{count} API token{'' if count == 1 else 's'} revoked for good.")


class TokenForm(PlacedForm):
    """A token that is accepted for a while, at least."""

    def clean(self) -> dict[str, Any]:
        """Refuse an end that has passed."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        refuse_past(self, "expires_at")
        return values


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
    """The answer to the making of a token is the only page that ever shows it."""

    empty_help = (
        "A token lets a program use the management API (/api/docs/) as a person: it may do what they may, within its scope. "
        "Make one: it is shown once. manage.py create_token makes one, too."
    )
    form = TokenForm
    list_per_page = 50
    change_form_before_template = "admin/_audit_history.html"

    list_display = ("name", "user", "token", "scope", "state", "last_used_at", "expires_at")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("name", "user__username", "prefix", "last_four")
    autocomplete_fields = ("user",)
    actions = (revoke_chosen,)
    readonly_fields = ("token", "state", "created_at", "last_used_at", "revoked_at")

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        """A new token has nothing to show yet."""
        del request
        own = ("user", "name", "scope", "expires_at")
        return own if obj is None else (("token", "state"), *own, *self.readonly_fields[2:])

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        """Whose it is stays; of a revoked token nothing can be changed."""
        names = super().get_readonly_fields(request, obj)
        if obj is None:
            return names
        return (*names, "user", *(("name", "scope", "expires_at") if obj.revoked_at else ()))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """For oneself, at first."""
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A token acts as its person: only superusers make one for somebody else."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "user" and field is not None and not request.user.is_superuser:
            field.queryset = field.queryset.filter(pk=request.user.pk)
        return field

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        """One's own; superusers see all."""
        rows: QuerySet[ApiToken] = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.filter(user_id=request.user.pk)

    def save_model(
        self,
        request: HttpRequest,
        obj: ApiToken,
        form: forms.Form,
        change: bool,  # noqa: FBT001
    ) -> None:
        """Mint a new token; the secret lives as long as this request."""
        if change:
            super().save_model(request, obj, form, change)
        else:
            request.minted = tokens.mint_for(obj)  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the token, in the answer itself."""
        del post_url_continue
        context = {
            **self.admin_site.each_context(request),
            "title": "API token made",
            "opts": self.opts,
            "row": obj,
            "secret": request.minted.secret,  # type: ignore[attr-defined]
            "url": settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/"),
        }
        response = TemplateResponse(request, "admin/api/apitoken/made.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def delete_queryset(self, request: HttpRequest, queryset: Iterable[ApiToken]) -> None:
        """Row by row, as one is deleted."""
        for row in queryset:
            self.delete_model(request, row)

    @display(description="Token")
    def token(self, row: ApiToken) -> str:
        """Its first and last characters."""
        return row.shown

    @display(description="State", label=STATES)
    def state(self, row: ApiToken) -> str:
        """Whether it is taken."""
        if row.revoked_at is not None:
            return "revoked"
        if not row.user.is_active:
            return "off"
        is_over = row.expires_at is not None and row.expires_at <= datetime.now(UTC)
        return "expired" if is_over else "on"

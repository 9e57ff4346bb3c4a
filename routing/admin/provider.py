"""Providers, and the credentials on the same page: a secret goes in and never comes out."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget

from routing import checks, witnesses
from routing.admin.page import RoutingAdmin, switch_off, switch_on
from routing.admin.rule_inlines import HeaderRuleInline, TransformationInline
from routing.checks import Finding
from routing.models import Credential, Provider, ProviderCheck
from routing.models.provider import WHO_IS_SENT_SECRETS, problem_with_secret

REASON_CHARS_MAX = 120


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    """A secret that is written and never read back."""

    secret = forms.CharField(
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "new-password", "spellcheck": "false"}
        ),
        help_text="Sealed when saved, never shown again. Empty: keep the present one; a new one replaces it.",
    )

    class Meta:
        model = Credential
        fields = ("provider", "label", "secret", "weight", "enabled")

    def clean_secret(self) -> str:
        """Ask for the secret of a new credential."""
        secret = str(self.cleaned_data.get("secret") or "")
        problem = problem_with_secret(secret, is_new=not self.instance.sealed_secret)
        if problem:
            raise forms.ValidationError(problem)
        return secret

    def save(self, commit: bool = True) -> Credential:  # noqa: FBT001, FBT002  (Django's signature)
        """Seal the secret that was entered, if one was."""
        secret = self.cleaned_data.get("secret")
        if secret:
            self.instance.seal(secret)
        row: Credential = super().save(commit)
        return row


class CredentialInline(TabularInline):
    """A provider's secrets."""

    model = Credential
    form = CredentialForm
    fields = ("label", "secret", "shown", "weight", "enabled")
    readonly_fields = ("shown",)
    extra = 0

    @display(description="Stored secret")
    def shown(self, row: Credential) -> str:
        """The last four characters."""
        return shown_secret(row)


def shown_secret(row: Credential) -> str:
    """What may be shown of a stored secret."""
    if not row.sealed_secret:
        return "none yet"
    sealed = f", sealed {row.sealed_at:%Y-%m-%d}" if row.sealed_at else ""
    return f"…{row.last_four or '****'}{sealed}"


def _label(kind: str, text: str) -> SafeString:
    """A word in a coloured box."""
    return render_to_string("unfold/helpers/label.html", {"type": kind, "text": text})


def last_check(row: Provider) -> ProviderCheck | None:
    """The row of the last look; None for a provider that nobody has looked at."""
    return getattr(row, "last_check", None)


@admin.register(Provider)
class ProviderAdmin(RoutingAdmin):
    """Who the gateway calls."""

    empty_help = (
        "A provider is someone the gateway calls, such as OpenRouter. Add one with its credential, then a deployment "
        "(a model of it) and a model alias (the name clients ask for)."
    )
    list_display = (
        "slug",
        "kind",
        "state",
        "health",
        "base_url",
        "credential_count",
        "deployment_count",
    )
    list_filter = ("enabled", "kind")
    list_select_related = ("last_check",)
    ordering = ("slug",)
    search_fields = ("slug", "base_url")
    actions = (switch_on, switch_off)
    actions_detail: tuple[str, ...] = ("test_connection",)
    inlines = (CredentialInline, HeaderRuleInline, TransformationInline)
    readonly_fields = ("last_look",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("slug", "kind"),
                    "base_url",
                    ("dialect", "credential_mode"),
                    "enabled",
                    "last_look",
                )
            },
        ),
        (
            "Timeouts (seconds)",
            {
                "classes": ("tab",),
                "fields": (
                    ("connect_timeout_s", "first_byte_timeout_s"),
                    ("idle_timeout_s", "total_timeout_s"),
                ),
            },
        ),
        (
            "Retries",
            {
                "classes": ("tab",),
                "fields": (
                    ("retries_max", "retry_network_errors"),
                    ("backoff_s", "backoff_max_s"),
                    "retry_statuses",
                ),
            },
        ),
        (
            "Limits",
            {
                "classes": ("tab",),
                "fields": ("concurrent_max", ("queue_max", "queue_wait_s")),
            },
        ),
        (
            "Cooldown",
            {
                "classes": ("tab",),
                "fields": ("cooldown_after", ("cooldown_s", "cooldown_max_s")),
            },
        ),
        ("Health", {"classes": ("tab",), "fields": (("check_every_s", "check_model"),)}),
        ("TLS", {"classes": ("tab",), "fields": ("verify_tls", "ca_bundle_pem")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        """Rows with the counts that the list shows."""
        counted = {
            "credentials_n": Count("credentials", distinct=True),
            "deployments_n": Count("deployments", distinct=True),
        }
        return super().get_queryset(request).annotate(**counted)  # type: ignore[no-any-return]

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        """Who may not change credentials may not have them sent to somebody else either."""
        names = super().get_readonly_fields(request, obj)
        user: Any = request.user
        if obj is None or user.has_perm("routing.change_credential"):
            return names
        return (*names, *WHO_IS_SENT_SECRETS) if obj.credentials.exists() else names

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: Provider) -> str:
        """Whether it is called."""
        return "on" if row.enabled else "off"

    @display(description="Health")
    def health(self, row: Provider) -> SafeString:
        """What the last look found: a word, and with a problem its beginning."""
        check = last_check(row)
        if check is None:
            is_due = row.check_every_s > 0
            return _label("warning", "not checked yet") if is_due else _label("info", "not checked")
        if not check.problem:
            return _label("success", "ok")
        is_long = len(check.problem) > REASON_CHARS_MAX
        reason = check.problem[: REASON_CHARS_MAX - 1] + "…" if is_long else check.problem
        label = _label("danger", "problem")
        return format_html('{} <span class="llmgw-reason">{}</span>', label, reason)

    @display(description="Last check")
    def last_look(self, row: Provider) -> str:
        """What the last look found, and when."""
        check = last_check(row)
        if check is None:
            return "not checked yet"
        found = checks.finding_of(check)
        return f"{checks.sentence(found.state)} ({found.checked_at:%Y-%m-%d %H:%M:%S} UTC)"

    @action(description="Test connection", permissions=["change"], icon="network_check")
    def test_connection(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Look at the provider now, switched on or not, and tell what was found."""
        row = get_object_or_404(Provider, pk=object_id)
        picture = checks.picture_of(row)
        state, models_n = asyncio.run(checks.look_closely(picture, row.check_model))
        checks.store(row.pk, Finding(state, datetime.now(UTC)))
        witnesses.told().secret_used(row, "Tested the connection, with its credentials.")
        if state.problem:
            messages.error(request, f"{row}: {state.problem}")
        else:
            listed = "" if models_n is None else f", {models_n} model{'' if models_n == 1 else 's'}"
            messages.success(request, f"{row}: {checks.sentence(state)}{listed}")
        return redirect("admin:routing_provider_change", object_id)

    @display(description="Credentials", ordering="credentials_n")
    def credential_count(self, row: Any) -> int:
        """How many secrets it has."""
        return int(row.credentials_n)

    @display(description="Deployments", ordering="deployments_n")
    def deployment_count(self, row: Any) -> int:
        """How many models of it can be called."""
        return int(row.deployments_n)


@admin.register(Credential)
class CredentialAdmin(RoutingAdmin):
    """Secrets of all providers."""

    empty_help = "A credential is a provider's secret, held by the gateway. Most are entered on their provider's page."
    form = CredentialForm
    list_display = ("label", "provider", "shown", "weight", "enabled", "sealed_at")
    list_filter = ("enabled", ("provider", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("provider",)
    search_fields = ("label", "provider__slug")
    autocomplete_fields = ("provider",)
    readonly_fields = ("shown", "sealed_at", "created_at")
    actions = (switch_on, switch_off)
    fields = (
        "provider",
        "label",
        "secret",
        "shown",
        "weight",
        "enabled",
        "sealed_at",
        "created_at",
    )

    @display(description="Stored secret")
    def shown(self, row: Credential) -> str:
        """The last four characters."""
        return shown_secret(row)

"""Providers, and the credentials on the same page: a secret goes in and never comes out."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from routing.admin.page import RoutingAdmin, switch_off, switch_on
from routing.models import Credential, Provider


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
        if not secret and not self.instance.sealed_secret:
            raise forms.ValidationError("A new credential needs its secret.")
        if any(ord(char) <= 32 or ord(char) > 126 for char in secret):
            raise forms.ValidationError(
                "A secret is one word of visible ASCII characters; it goes into a header."
            )
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


@admin.register(Provider)
class ProviderAdmin(RoutingAdmin):
    """Who the gateway calls."""

    empty_help = (
        "A provider is someone the gateway calls, such as OpenRouter. Add one with its credential, then a deployment "
        "(a model of it) and a model alias (the name clients ask for)."
    )
    list_display = ("slug", "kind", "state", "base_url", "credential_count", "deployment_count")
    list_filter = ("enabled", "kind")
    search_fields = ("slug", "base_url")
    actions = (switch_on, switch_off)
    inlines = (CredentialInline,)
    fieldsets = (
        (None, {"fields": ("slug", "kind", "base_url", "dialect", "enabled")}),
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
        ("TLS", {"classes": ("tab",), "fields": ("verify_tls", "ca_bundle_pem")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        """Rows with the counts that the list shows."""
        counted = {
            "credentials_n": Count("credentials", distinct=True),
            "deployments_n": Count("deployments", distinct=True),
        }
        return super().get_queryset(request).annotate(**counted)  # type: ignore[no-any-return]

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: Provider) -> str:
        """Whether it is called."""
        return "on" if row.enabled else "off"

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
    list_filter = ("enabled", "provider")
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

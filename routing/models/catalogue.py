"""What can be called: one model at one provider."""

from dataclasses import fields
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from conversion.traits import ChatTraits, MessagesTraits
from routing.models.provider import Credential, Provider

FIXED_TRAITS = {"model", "max_output_tokens", "parameters"}
TRAIT_NAMES = sorted(
    {field.name for table in (ChatTraits, MessagesTraits) for field in fields(table)} - FIXED_TRAITS
)


def validate_object(value: object) -> None:
    """Accept a JSON object."""
    if not isinstance(value, dict):
        raise ValidationError('Enter a JSON object, such as {"temperature": 0.2}.')


def validate_traits(value: object) -> None:
    """Accept a JSON object whose names are traits."""
    validate_object(value)
    assert isinstance(value, dict)  # noqa: S101  (told to the type checker; validate_object raised otherwise)
    unknown = sorted(set(value) - set(TRAIT_NAMES))
    if unknown:
        raise ValidationError(
            f"Unknown quirk {', '.join(unknown)}. Known are: {', '.join(TRAIT_NAMES)}."
        )


def _fact(what: str) -> "models.BooleanField[bool | None, bool | None]":
    return models.BooleanField(
        null=True, blank=True, help_text=f"Whether the model takes {what}. Unknown: it is tried."
    )


class Deployment(models.Model):
    """One callable thing: a provider's model, with the credential and the overrides it is called with."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="deployments")
    upstream_model = models.CharField(
        max_length=200,
        help_text=(
            "The model's name at the provider, such as anthropic/claude-sonnet-4.5. "
            "{1} stands for what a wildcard alias matched."
        ),
    )
    credential = models.ForeignKey(
        Credential,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="deployments",
        help_text="Empty: any enabled credential of the provider, by weight.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: routes skip it.")
    context_window_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The most tokens a prompt and its answer may have together.",
    )
    max_output_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The most tokens an answer may have; requests that ask for more are cut down to it.",
    )
    takes_tools = _fact("tools")
    takes_images = _fact("images")
    can_reason = _fact("wishes to think")
    can_cache = _fact("cache marks")
    fact_sources = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text="Where each fact came from, by name, as a synchronisation noted it.",
    )
    parameters = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_object],
        help_text="Body fields that are set on every request, as a JSON object: they replace what the client sent.",
    )
    traits = models.JSONField(
        "quirks",
        default=dict,
        blank=True,
        validators=[validate_traits],
        help_text="What this model takes where it differs from its provider's kind, as a JSON object (docs/operators/quirks.md).",
    )

    class Meta:
        ordering = ["provider__slug", "upstream_model"]
        constraints = [
            # Two constraints, because SQLite knows no NULLS NOT DISTINCT.
            models.UniqueConstraint(
                fields=["provider", "upstream_model", "credential"],
                name="deployment_is_unique_per_credential",
                violation_error_message="This model is listed for that provider and credential already.",
            ),
            models.UniqueConstraint(
                fields=["provider", "upstream_model"],
                condition=models.Q(credential__isnull=True),
                name="deployment_without_credential_is_unique",
                violation_error_message="This model is listed for that provider already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider.slug}: {self.upstream_model}"

    def clean(self) -> None:
        """Keep the credential with its own provider; read emptied objects as ones, whatever was left in the field."""
        self.parameters = self.parameters or {}
        self.traits = self.traits or {}
        if (
            self.credential_id
            and self.credential
            and self.credential.provider_id != self.provider_id
        ):
            raise ValidationError({"credential": "This credential belongs to another provider."})

    def traits_given(self) -> dict[str, Any]:
        """The quirks that the row sets, as keyword arguments."""
        given = {name: value for name, value in self.traits.items() if name in TRAIT_NAMES}
        if isinstance(given.get("efforts"), list):
            given["efforts"] = tuple(given["efforts"])
        return given

"""What the last look at a provider found."""

from django.db import models

from routing.models.provider import Provider

PROBLEM_CHARS_MAX = 500
DETAIL_CHARS_MAX = 200


class ProviderCheck(models.Model):
    """One row for each provider that was ever looked at, so that every process and page knows of the last look.

    No part of the configuration: no picture is built anew when it changes.
    """

    provider = models.OneToOneField(
        Provider, on_delete=models.CASCADE, primary_key=True, related_name="last_check"
    )
    checked_at = models.DateTimeField(help_text="When the provider was looked at (UTC).")
    problem = models.CharField(
        max_length=PROBLEM_CHARS_MAX, blank=True, help_text="What is wrong; empty when all is well."
    )
    detail = models.CharField(
        max_length=DETAIL_CHARS_MAX, blank=True, help_text="What the provider told beside that."
    )
    credit_usd = models.DecimalField(
        max_digits=20,
        decimal_places=8,
        null=True,
        blank=True,
        help_text="USD that the credential may still spend. Empty: not told, or no limit.",
    )
    latency_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text="Milliseconds that the look took."
    )

    class Meta:
        ordering = ["provider__slug"]

    def __str__(self) -> str:
        return f"{self.provider}: {self.problem or 'ok'}"

"""Limits on how fast something may be used: the same three numbers for a team, a project and a key."""

from django.core.validators import MinValueValidator
from django.db import models


def _limit(label: str, help_text: str) -> "models.PositiveIntegerField[int | None, int | None]":
    return models.PositiveIntegerField(
        label, null=True, blank=True, validators=[MinValueValidator(1)], help_text=help_text
    )


class Limited(models.Model):
    """A row with limits of its own. All limits over a request hold at once: its key's, project's and team's."""

    requests_per_minute = _limit(
        "requests per minute", "Requests within any 60 seconds. Empty: no limit."
    )
    tokens_per_minute = _limit(
        "tokens per minute",
        "Prompt and completion tokens within any 60 seconds. Empty: no limit.",
    )
    concurrent_requests = _limit(
        "concurrent requests", "Requests under way at the same time. Empty: no limit."
    )

    class Meta:
        abstract = True

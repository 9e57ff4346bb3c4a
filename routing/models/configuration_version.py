"""The configuration of routing as it was after each change."""

from django.db import models


class ConfigurationVersion(models.Model):
    """One state of all routing rows, who made it, and what it changed. Written once; only ``rotate_secrets`` seals anew."""

    number = models.PositiveIntegerField(unique=True, editable=False, help_text="Counted from 1.")
    made_at = models.DateTimeField(editable=False, help_text="When it was written (UTC).")
    author = models.CharField(
        max_length=150,
        editable=False,
        help_text="A user, a command such as import_config, or unknown: changed past the admin and the commands.",
    )
    summary = models.CharField(max_length=500, editable=False, help_text="What was done.")
    routing_number = models.PositiveBigIntegerField(
        editable=False,
        help_text="The newest number of the rows that this version was still the same at.",
    )
    state = models.JSONField(
        editable=False,
        help_text="All rows by model and primary key; secrets sealed, as in their rows. Never shown.",
    )
    text = models.TextField(
        editable=False, help_text="The configuration as YAML, without its secrets."
    )
    diff = models.TextField(
        editable=False,
        blank=True,
        help_text="What changed in the text since the version before, as a unified diff.",
    )

    class Meta:
        ordering = ["-number"]
        verbose_name = "version"
        default_permissions = ("view",)
        permissions = [("roll_back_configurationversion", "Can roll back to a version")]

    def __str__(self) -> str:
        return f"version {self.number}"

"""Who pays, and the subdivisions that reports tell apart."""

from django.db import models


class Team(models.Model):
    """Who pays: holds virtual keys, and all spend is a team's."""

    slug = models.SlugField(
        max_length=64,
        unique=True,
        help_text="Short name used in usage records and commands, such as alder.",
    )
    name = models.CharField(
        max_length=100, blank=True, help_text="The name people read. Empty: the short name."
    )
    enabled = models.BooleanField(default=True, help_text="Off: all keys of the team are refused.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name or self.slug


class Project(models.Model):
    """A team's subdivision for reports."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="projects")
    slug = models.SlugField(max_length=64, help_text="Short name, unique within the team.")
    name = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["team__slug", "slug"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "slug"],
                name="project_slug_is_unique_per_team",
                violation_error_message="This team has a project with that short name already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.team.slug}/{self.slug}"

"""The state of a feature flag that code declares."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models

from routing import flags


def flag_choices() -> list[tuple[str, str]]:
    """The declared flags."""
    return [(name, name) for name in flags.DECLARED]


class FeatureFlag(models.Model):
    """Whether a flag is on: for everybody, for a team, or for one of a team's keys."""

    name = models.CharField(max_length=64, choices=flag_choices, help_text="The flag.")
    enabled = models.BooleanField(default=True, help_text="On for those that this row is about.")
    team = models.CharField(
        max_length=64,
        blank=True,
        help_text="Short name of a team, such as alder. Empty: everybody.",
    )
    key = models.CharField(
        "API key",
        max_length=64,
        blank=True,
        help_text="Name of one of the team's API keys, such as laptop. Empty: all of them.",
    )
    percentage = models.PositiveSmallIntegerField(
        default=100,
        validators=[MaxValueValidator(100)],
        help_text="Share of their requests that see the flag on, in percent.",
    )

    class Meta:
        ordering = ["name", "team", "key"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "team", "key"],
                name="flag_has_one_row_per_scope",
                violation_error_message="There is a row for this flag and scope already.",
            ),
            models.CheckConstraint(
                name="flag_percentage_is_at_most_100", condition=models.Q(percentage__lte=100)
            ),
        ]

    def __str__(self) -> str:
        scope = "/".join(filter(None, (self.team, self.key)))
        return f"{self.name} for {scope}" if scope else self.name

    def clean(self) -> None:
        """A key's name means nothing without its team."""
        if self.key and not self.team:
            raise ValidationError({"team": "Name the team that the API key belongs to."})

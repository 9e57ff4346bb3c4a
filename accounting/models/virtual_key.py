"""The secret a team's clients identify themselves with."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from accounting.models.limits import Limited
from accounting.models.team import Project, Team


def validate_patterns(value: object) -> None:
    """Accept a list of alias names or wildcard patterns."""
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise ValidationError('Enter a list of names, such as ["claude-*"]. Empty list: all.')


class VirtualKey(Limited):
    """A team's API key: only its SHA-256 is kept; the key itself is shown once, when it is made."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="keys")
    name = models.CharField(
        max_length=64, help_text="What tells this key from the team's others, such as laptop."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    enabled = models.BooleanField(default=True, help_text="Off: refused at once.")
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Refused from this moment on (UTC). Empty: never expires."
    )
    allowed_aliases = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_patterns],
        help_text="Model names this key may ask for, as a list; * stands for any text. Empty list: all.",
    )
    default_project = models.ForeignKey(
        Project,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="keys",
        help_text="The project its usage is booked under.",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="virtual_keys",
        help_text="Whose key it is: the person sees its usage, and reports name them as the member. Empty: the team's.",
    )
    rotated_from = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="rotated_to",
    )
    revoked_at = models.DateTimeField(
        null=True, editable=False, help_text="Refused for good since that moment (UTC)."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["team__slug", "name"]
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        constraints = [
            models.UniqueConstraint(
                fields=["team", "name"],
                name="key_name_is_unique_per_team",
                violation_error_message="This team has a key with that name already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.team.slug}/{self.name}"

    @property
    def shown(self) -> str:
        """What may be shown of the key: its first and last characters."""
        return f"{self.prefix}…{self.last_four}"

    def clean(self) -> None:
        """Keep the project with its own team; read an emptied list as one."""
        self.allowed_aliases = self.allowed_aliases or []
        if (
            self.default_project_id
            and self.default_project
            and self.default_project.team_id != self.team_id
        ):
            raise ValidationError({"default_project": "This project belongs to another team."})

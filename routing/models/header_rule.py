"""Rules on the headers that go to providers."""

from django.core.exceptions import ValidationError
from django.db import models

from routing import header_rules
from routing.models.header_names import validate_header_value
from routing.models.scope import Scoped


class HeaderRule(Scoped):
    """Drop, add, force, or allow: one rule on one header, or on a pattern of names."""

    class Action(models.TextChoices):
        DROP = "drop", "drop"
        ADD = "add", "add if absent"
        FORCE = "force", "force (replace)"
        ALLOW = "allow", "allow: drop all that no allow rule names"

    action = models.CharField(max_length=8, choices=Action)
    name = models.CharField(
        max_length=100,
        help_text="The header's name, such as X-Title. Drop and allow take patterns: x-stainless-*.",
    )
    value = models.CharField(
        max_length=1000,
        blank=True,
        validators=[validate_header_value],
        help_text="For add and force. ${request_id}, ${team}, ${project}, ${key}, ${model}, ${upstream_model}, "
        "${session} and ${agent} are filled in.",
    )

    class Meta(Scoped.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.action} {self.name}"

    def clean(self) -> None:
        """Refuse what could never be applied."""
        super().clean()
        problem = header_rules.problem_with(self.action, self.name, self.value)
        if problem:
            raise ValidationError({problem.field: problem.message})

"""Changes to what is said: regular expressions over message text, and JSONPath edits of bodies."""

from django.core.exceptions import ValidationError
from django.db import models

from routing import transformations
from routing.models.scope import Scoped


class Transformation(Scoped):
    """One change to requests on their way out, or to answers on their way back."""

    class Direction(models.TextChoices):
        REQUEST = "request", "request"
        RESPONSE = "response", "response"

    class Kind(models.TextChoices):
        REGEX = "regex", "regular expression over message text"
        JSON_DROP = "json_drop", "JSONPath: drop"
        JSON_ADD = "json_add", "JSONPath: add if absent"
        JSON_SET = "json_set", "JSONPath: set"

    name = models.CharField(
        max_length=100, blank=True, help_text="What it is for, for readers of this page."
    )
    direction = models.CharField(max_length=8, choices=Direction, default=Direction.REQUEST)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.REGEX)
    pattern = models.CharField(
        max_length=1000,
        help_text="For a regular expression: RE2 syntax, matched in linear time. For JSONPath: where, such as "
        "$.metadata.user_id or $.tools[*].strict.",
    )
    flags = models.CharField(
        max_length=8,
        blank=True,
        help_text="For a regular expression: i ignores case, m lets ^ and $ match at lines, s lets . match line breaks.",
    )
    replacement = models.CharField(
        max_length=2000,
        blank=True,
        help_text=r"For a regular expression: the text to put there; \1 is what the first group matched.",
    )
    value = models.JSONField(
        null=True, blank=True, help_text="For JSONPath add and set: the value, as JSON."
    )

    class Meta(Scoped.Meta):
        pass

    def __str__(self) -> str:
        return self.name or f"{self.kind} {self.pattern[:40]}"

    def clean(self) -> None:
        """Refuse what cannot be compiled, or takes too long."""
        super().clean()
        problem = transformations.problem_with(
            kind=self.kind,
            pattern=self.pattern,
            flags=self.flags,
            replacement=self.replacement,
            direction=self.direction,
            value=self.value,
        )
        if problem:
            raise ValidationError({problem.field: problem.message})

"""What else counts as a secret in request logs, beside the shapes that code knows."""

from django.core.exceptions import ValidationError
from django.db import models

from accounting import masking


class MaskPattern(models.Model):
    """A regular expression whose matches are replaced before a request log is written."""

    name = models.CharField(
        max_length=64, unique=True, help_text="What it hides, such as patient numbers."
    )
    pattern = models.CharField(
        max_length=500,
        help_text="RE2 syntax, matched in linear time over headers and bodies as they are sent (JSON, not yet decoded).",
    )
    replacement = models.CharField(
        max_length=100,
        default=masking.MARK,
        help_text="What stands in the place of a match, as it is.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: as if it were not there.")
    position = models.PositiveSmallIntegerField(
        default=0,
        help_text="Where two patterns match the same text, the lower position's replacement stands.",
    )

    class Meta:
        ordering = ["position", "name"]
        verbose_name = "mask pattern"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what cannot be compiled, takes too long, or would match what it puts in."""
        problem = masking.problem_with(self.pattern, self.replacement)
        if problem:
            raise ValidationError({problem.field: problem.message})

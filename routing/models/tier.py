"""Who asks, and how good an answer they need: agent types, and the model tiers they are given."""

from django.core.exceptions import ValidationError
from django.db import models

from routing.models.header_names import validate_header_name
from routing.models.route import ModelAlias


class ModelTier(models.Model):
    """A word for how good a model is needed, such as fast or strong; it names the alias that serves it."""

    slug = models.SlugField(max_length=64, unique=True, help_text="Short name, such as fast.")
    alias = models.ForeignKey(
        ModelAlias,
        on_delete=models.CASCADE,
        related_name="tiers",
        help_text="The model alias that requests of this tier are sent to, whatever name they ask for.",
    )
    description = models.CharField(
        max_length=200, blank=True, help_text="For readers of this page."
    )

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """A pattern is no name that could be asked for."""
        if self.alias_id and self.alias.match != ModelAlias.Match.EXACT:
            raise ValidationError(
                {"alias": "A tier names an alias with an exact name, not a pattern."}
            )


class AgentType(models.Model):
    """A sort of program that asks, told by a header of its requests."""

    slug = models.SlugField(max_length=64, unique=True, help_text="Short name, such as summarizer.")
    header = models.CharField(
        max_length=64,
        default="x-llmgateway-agent",
        validators=[validate_header_name],
        help_text="The request header that tells: x-llmgateway-agent, or one of Claude Code's such as "
        "x-claude-code-request-class or x-claude-code-agent-id.",
    )
    value = models.CharField(
        max_length=200,
        default="*",
        help_text="What the header must hold; * stands for any text. Upper and lower case are the same.",
    )
    tier = models.ForeignKey(
        ModelTier,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="agent_types",
        help_text="Requests of this type go to the tier's alias. Empty: to the alias that they ask for.",
    )
    position = models.PositiveSmallIntegerField(
        default=0,
        help_text="Agent types are looked at by rising position; the first that fits is taken.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: as if it were not there.")

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.slug

    def save(self, *args: object, **kwargs: object) -> None:
        """Header names are compared in lower case."""
        self.header = self.header.lower()
        super().save(*args, **kwargs)  # type: ignore[arg-type]

"""For which requests a rule holds: all, those to a provider, or those of a route."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from routing.models.provider import Provider
from routing.models.route import ModelAlias


class Scoped(models.Model):
    """A rule with its place in the order. ``provider`` and ``alias`` go with the scopes that name them."""

    class Scope(models.TextChoices):
        EVERYTHING = "everything", "everything"
        PROVIDER = "provider", "a provider"
        ROUTE = "route", "a model alias's routes"

    scope = models.CharField(
        max_length=12,
        choices=Scope,
        default=Scope.EVERYTHING,
        help_text="Which requests the rule is for.",
    )
    provider = models.ForeignKey(
        Provider, null=True, blank=True, on_delete=models.CASCADE, related_name="%(class)ss"
    )
    alias = models.ForeignKey(
        ModelAlias,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="%(class)ss",
        verbose_name="model alias",
    )
    position = models.PositiveSmallIntegerField(
        default=0,
        help_text="Rules are applied by rising position; at the same one those for everything come first, then those "
        "for a provider, then those for a route.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: as if it were not there.")

    class Meta:
        abstract = True
        ordering = ["position", "pk"]

    def clean(self) -> None:
        """Exactly what the scope names must be chosen."""
        super().clean()
        wanted: dict[str, Any] = {"provider": self.Scope.PROVIDER, "alias": self.Scope.ROUTE}
        for field, scope in wanted.items():
            # On the page of what it is for, that may not be saved yet.
            named = self._state.fields_cache.get(field)
            is_chosen = getattr(self, f"{field}_id") is not None or named is not None
            if is_chosen != (self.scope == scope):
                problem = (
                    "Choose one: the scope asks for it."
                    if not is_chosen
                    else "The scope does not ask for one."
                )
                raise ValidationError({field: problem})

    @property
    def scope_text(self) -> str:
        """The scope with what it names."""
        named = self.provider or self.alias
        return f"{self.scope} {named}" if named else str(self.scope)

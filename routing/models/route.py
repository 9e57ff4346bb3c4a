"""From the name a client asks for to the targets that may answer."""

from typing import Any

import re2
from django.core.exceptions import ValidationError
from django.db import models

from routing import placeholders
from routing.models.catalogue import Deployment, validate_object
from routing.models.header_names import validate_header_name


def _words(help_text: str) -> "models.CharField[str, str]":
    return models.CharField(
        max_length=500, blank=True, help_text=f"{help_text} Separated by commas."
    )


class ModelAlias(models.Model):
    """The name, or the pattern of names, that clients ask for."""

    class Match(models.TextChoices):
        EXACT = "exact", "exactly this name"
        WILDCARD = "wildcard", "wildcard: * stands for any text"
        REGEX = "regex", "regular expression (RE2), whole name"

    name = models.CharField(
        max_length=200,
        unique=True,
        help_text="What clients put into the model field, such as claude-sonnet-4-5, or a pattern such as claude-*.",
    )
    match = models.CharField(max_length=10, choices=Match, default=Match.EXACT)
    visible = models.BooleanField(
        default=True, help_text="Listed by /v1/models (patterns never are: they are no names)."
    )
    enabled = models.BooleanField(default=True, help_text="Off: as if it were not there.")
    description = models.CharField(
        max_length=200, blank=True, help_text="Shown to clients as the model's display name."
    )

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a pattern that can never be matched or compiled."""
        if self.match == self.Match.WILDCARD and "*" not in self.name:
            raise ValidationError({"name": "A wildcard alias needs a * in its name."})
        if self.match == self.Match.REGEX:
            try:
                re2.compile(self.name)
            except re2.error as error:
                reason = (
                    error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
                )
                raise ValidationError({"name": f"Not a regular expression: {reason}"}) from error
        self._refuse_lost_places()

    def _refuse_lost_places(self) -> None:
        """The models of its targets may name no group that the pattern does not have any more."""
        if self._state.adding:
            return
        models_asked = Deployment.objects.filter(
            targets__route__alias=self, upstream_model__contains="{"
        )
        for model in models_asked.values_list("upstream_model", flat=True).distinct():
            lost = placeholders.unknown_places(model, match=self.match, alias=self.name)
            if lost:
                raise ValidationError(
                    {
                        "name": f"The target {model} asks for {placeholders.words(lost)}, which this does not match. "
                        "Keep the part of the pattern that does, or take the target away first."
                    }
                )


class Route(models.Model):
    """An alias's ordered list of targets."""

    class Strategy(models.TextChoices):
        IN_ORDER = "in_order", "in order"
        WEIGHTED = "weighted", "by weight, then in order"
        LATENCY = "lowest_latency", "lowest latency first"
        COST = "lowest_cost", "lowest cost first"

    alias = models.ForeignKey(ModelAlias, on_delete=models.CASCADE, related_name="routes")
    position = models.PositiveSmallIntegerField(
        default=0,
        help_text="Routes are looked at by rising position; the first whose conditions hold is taken.",
    )
    strategy = models.CharField(
        max_length=16,
        choices=Strategy,
        default=Strategy.IN_ORDER,
        help_text="Which target is tried first.",
    )
    is_sticky = models.BooleanField(
        "sticky",
        default=True,
        help_text="Requests of one session (Claude Code's session id, or the user that a client names) keep to one first "
        "target, so that its prompt cache stays warm. For strategies other than in order.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: passed over.")
    teams = _words("Short names of teams; * stands for any text. Empty: all.")
    projects = _words("Short names of projects. Empty: all.")
    keys = _words("Names of API keys. Empty: all.")
    agent_types = _words("Agent types. Empty: all.")
    tiers = _words("Model tiers, as the agent type gives them. Empty: all.")
    request_classes = _words("What x-claude-code-request-class says. Empty: all.")
    header = models.CharField(
        max_length=200,
        blank=True,
        help_text="A header that requests must have, such as x-env: prod*. Empty: none.",
    )

    class Meta:
        ordering = ["alias__name", "position", "pk"]

    def __str__(self) -> str:
        return f"{self.alias} #{self.position}"

    @property
    def conditions_text(self) -> str:
        """Which requests it is for, in words."""
        asked = (
            ("teams", self.teams),
            ("projects", self.projects),
            ("keys", self.keys),
            ("agent types", self.agent_types),
            ("tiers", self.tiers),
            ("request classes", self.request_classes),
            ("header", self.header),
        )
        return "; ".join(f"{name} {value}" for name, value in asked if value) or "every request"

    def get_inline_title(self) -> str:
        """What the admin's form writes above it."""
        return f"{self.conditions_text}, {self.get_strategy_display()}"

    def clean(self) -> None:
        """A header condition is a name and what it holds."""
        if self.header:
            name, colon, _value = self.header.partition(":")
            if not colon:
                raise ValidationError(
                    {"header": "Write a name, a colon and a value, such as x-env: prod*."}
                )
            try:
                validate_header_name(name.strip())
            except ValidationError as error:
                raise ValidationError({"header": error.messages}) from error


class RouteTarget(models.Model):
    """One entry of a route."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="targets")
    position = models.PositiveSmallIntegerField(
        default=0, help_text="Targets are tried by rising position."
    )
    weight = models.PositiveSmallIntegerField(
        default=1, help_text="Share of first tries where the route goes by weight."
    )
    prompt_tokens_over = models.PositiveIntegerField(
        "prompt longer than (tokens)",
        null=True,
        blank=True,
        help_text="Only for longer prompts, as estimated from the text. Empty: for all.",
    )
    prompt_tokens_at_most = models.PositiveIntegerField(
        "prompt at most (tokens)",
        null=True,
        blank=True,
        help_text="Only for prompts up to this. Empty: for all.",
    )
    only_with_tools = models.BooleanField(default=False, help_text="Only for requests with tools.")
    only_with_images = models.BooleanField(
        default=False, help_text="Only for requests with images."
    )
    only_with_reasoning = models.BooleanField(
        default=False, help_text="Only for requests that ask the model to think."
    )
    parameters = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_object],
        help_text="Body fields that are set on every request to this target, over the deployment's own, as a JSON object.",
    )

    class Meta:
        ordering = ["route", "position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["route", "deployment"],
                name="target_is_unique_per_route",
                violation_error_message="This route has that target already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.route} → {self.deployment}"

    def get_inline_title(self) -> str:
        """What the admin's form writes above it."""
        return str(self.deployment)

    def clean(self) -> None:
        """A prompt must be able to fit, and what the deployment's model asks of the alias's pattern must be there."""
        over, at_most = self.prompt_tokens_over, self.prompt_tokens_at_most
        if over is not None and at_most is not None and at_most <= over:
            raise ValidationError(
                {
                    "prompt_tokens_at_most": f"No prompt is longer than {over} and has at most {at_most} tokens. "
                    "Enter a larger number, or leave one of the two empty."
                }
            )
        if self.deployment_id is None or _cached(self, "route") is None:
            return
        alias = _cached(self.route, "alias")
        model = self.deployment.upstream_model
        if alias is None or "{" not in model:
            return
        unknown = placeholders.unknown_places(model, match=alias.match, alias=alias.name)
        if unknown:
            has = {"wildcard": "has no such *", "regex": "has no such group"}.get(
                alias.match, "is an exact name"
            )
            raise ValidationError(
                {
                    "deployment": f"{model} asks for {placeholders.words(unknown)}, and the alias {alias.name} {has}. "
                    "Choose another deployment, or change the alias's pattern."
                }
            )


def _cached(row: models.Model, name: str) -> Any:
    """What the row points to, also while that is not saved yet; None where nothing is known."""
    return row._state.fields_cache.get(name) or (
        getattr(row, name) if getattr(row, f"{name}_id") is not None else None
    )

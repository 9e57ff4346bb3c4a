"""Deployments: what can be called."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import JSONField
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from routing.admin.page import RoutingAdmin, switch_off, switch_on
from routing.models import Deployment
from routing.synchronisation import FACTS, OPERATOR


class IndentedJson(json.JSONEncoder):
    """Objects as people write them, a name to a line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


@admin.register(Deployment)
class DeploymentAdmin(RoutingAdmin):
    """One model at one provider."""

    empty_help = (
        "A deployment is one callable model: a provider and the model's name there, such as "
        "anthropic/claude-sonnet-4.5. Routes end at deployments."
    )
    list_display = (
        "upstream_model",
        "provider",
        "state",
        "credential",
        "context_window_tokens",
        "max_output_tokens",
    )
    list_filter = ("enabled", ("provider", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("provider", "credential__provider")
    search_fields = ("upstream_model", "provider__slug")
    autocomplete_fields = ("provider", "credential")
    readonly_fields = ("told_by",)
    actions = (switch_on, switch_off)
    formfield_overrides = {
        JSONField: {
            "widget": UnfoldAdminTextareaWidget(attrs={"rows": 5, "spellcheck": "false"}),
            "encoder": IndentedJson,
        },
    }
    fieldsets = (
        (None, {"fields": ("provider", "upstream_model", "credential", "enabled")}),
        (
            "What the model takes",
            {
                "fields": (
                    ("context_window_tokens", "max_output_tokens"),
                    ("takes_tools", "takes_images"),
                    ("can_reason", "can_cache"),
                    "told_by",
                )
            },
        ),
        ("Overrides", {"fields": ("parameters", "traits")}),
    )

    def save_model(
        self,
        request: HttpRequest,
        obj: Deployment,
        form: Any,
        change: bool,  # noqa: FBT001
    ) -> None:
        """Note of the facts that were edited here that an operator said so: no synchronisation replaces them."""
        edited = {name: OPERATOR for name in FACTS if name in form.changed_data}
        obj.fact_sources = {**obj.fact_sources, **edited}
        super().save_model(request, obj, form, change)

    @display(description="Told by")
    def told_by(self, row: Deployment) -> str:
        """Who says so, for the facts that have a source."""
        words = [f"{name}: {source}" for name, source in sorted(row.fact_sources.items())]
        return ", ".join(words) or "nobody: what stands here was entered by hand"

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: Deployment) -> str:
        """Whether it is called."""
        return "on" if row.enabled and row.provider.enabled else "off"

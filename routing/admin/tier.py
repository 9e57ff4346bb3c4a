"""Agent types, and the model tiers they are given."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from routing.admin.page import RoutingAdmin, switch_off, switch_on
from routing.admin.reordering import OrderedAdmin, OrderedListFormSet
from routing.models import AgentType, ModelTier


@admin.register(ModelTier)
class ModelTierAdmin(RoutingAdmin):
    """A word for how good a model is needed."""

    empty_help = (
        "A model tier, such as fast or strong, names the model alias that serves it. Agent types are given tiers: "
        "so a summarizer gets a small model, whatever name it asks for."
    )
    list_display = ("slug", "alias", "description")
    list_filter = (("alias", AutocompleteSelectFilter),)
    list_filter_submit = True
    list_select_related = ("alias",)
    search_fields = ("slug", "alias__name", "description")
    autocomplete_fields = ("alias",)
    fields = ("slug", "alias", "description")


class AgentTypeFormSet(OrderedListFormSet):
    """Those with the same position are looked at by name."""

    ties = ("slug",)


@admin.register(AgentType)
class AgentTypeAdmin(OrderedAdmin):
    """A sort of program, told by a header."""

    empty_help = (
        "An agent type is told by a request header: x-llmgateway-agent, which your programs may send, or Claude Code's "
        "own. Give it a model tier, or use it as a condition of a route."
    )
    list_formset = AgentTypeFormSet
    list_display = ("slug", "state", "told_by", "tier")
    list_filter = ("enabled", ("tier", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("tier",)
    search_fields = ("slug", "header", "value")
    autocomplete_fields = ("tier",)
    actions = (switch_on, switch_off)
    fields = ("slug", ("header", "value"), "tier", ("position", "enabled"))

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: AgentType) -> str:
        """On or off."""
        return "on" if row.enabled else "off"

    @display(description="Told by")
    def told_by(self, row: AgentType) -> str:
        """The header and what it holds."""
        return f"{row.header}: {row.value}"

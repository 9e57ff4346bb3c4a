"""Header rules: what providers are told beside the body."""

from django.contrib import admin
from unfold.decorators import display

from routing.admin.page import RoutingAdmin, switch_off, switch_on
from routing.models import HeaderRule


@admin.register(HeaderRule)
class HeaderRuleAdmin(RoutingAdmin):
    """One rule on one header."""

    empty_help = (
        "A header rule drops a header on its way to providers, adds it where it is missing, replaces it, or lets only "
        "named ones through. Framing and credential headers are no rule's business."
    )
    list_display = ("position", "action", "name", "value", "state", "scope_text")
    list_display_links = ("name",)
    list_filter = ("action", "scope", "provider", "enabled")
    list_select_related = ("provider", "alias")
    search_fields = ("name", "value")
    autocomplete_fields = ("provider", "alias")
    actions = (switch_on, switch_off)
    fields = (("action", "name"), "value", "scope", ("provider", "alias"), ("position", "enabled"))

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: HeaderRule) -> str:
        """On or off."""
        return "on" if row.enabled else "off"

"""Header rules: what providers are told beside the body."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from routing.admin.page import switch_off, switch_on
from routing.admin.reordering import OrderedAdmin
from routing.admin.rule_inlines import RuleListFormSet
from routing.models import HeaderRule


@admin.register(HeaderRule)
class HeaderRuleAdmin(OrderedAdmin):
    """One rule on one header."""

    empty_help = (
        "A header rule drops a header on its way to providers, adds it where it is missing, replaces it, or lets only "
        "named ones through. Framing and credential headers are no rule's business."
    )
    list_formset = RuleListFormSet
    ordering = ("position", "scope", "pk")
    list_display = ("action", "name", "value", "state", "for_whom")
    list_display_links = ("name",)
    list_filter = (
        "action",
        "scope",
        ("provider", AutocompleteSelectFilter),
        ("alias", AutocompleteSelectFilter),
        "enabled",
    )
    list_filter_submit = True
    list_select_related = ("provider", "alias")
    search_fields = ("name", "value", "provider__slug", "alias__name")
    autocomplete_fields = ("provider", "alias")
    actions = (switch_on, switch_off)
    fields = (("action", "name"), "value", "scope", ("provider", "alias"), ("position", "enabled"))

    @display(description="For")
    def for_whom(self, row: HeaderRule) -> str:
        """Whom it is for."""
        return row.scope_text

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: HeaderRule) -> str:
        """On or off."""
        return "on" if row.enabled else "off"

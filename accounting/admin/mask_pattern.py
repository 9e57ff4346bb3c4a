"""What request logs mask beside the secrets that code knows."""

from django.contrib import admin
from unfold.decorators import display

from accounting.admin.page import AccountingAdmin, switch_off, switch_on
from accounting.models import MaskPattern


@admin.register(MaskPattern)
class MaskPatternAdmin(AccountingAdmin):
    """Patterns are live within a second, for what is logged from then on."""

    empty_help = (
        "Request logs mask the secrets that can be told by their form: API keys, bearer tokens, private keys, passwords "
        "in JSON. Add a pattern for what else must not be kept, such as patient numbers."
    )
    list_display = ("name", "pattern_shown", "replacement", "position", "state")
    list_filter = ("enabled",)
    search_fields = ("name",)
    actions = (switch_on, switch_off)
    fields = ("name", "pattern", "replacement", ("position", "enabled"))

    @display(description="Pattern", ordering="pattern")
    def pattern_shown(self, row: MaskPattern) -> str:
        """Its beginning."""
        return row.pattern if len(row.pattern) <= 60 else row.pattern[:59] + "…"

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: MaskPattern) -> str:
        """Whether it is applied."""
        return "on" if row.enabled else "off"

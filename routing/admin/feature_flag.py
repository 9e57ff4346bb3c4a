"""Feature flags: what they do, and for whom they are on."""

from django.contrib import admin
from unfold.decorators import display

from routing import flags
from routing.admin.page import RoutingAdmin, switch_off, switch_on
from routing.models import FeatureFlag


@admin.register(FeatureFlag)
class FeatureFlagAdmin(RoutingAdmin):
    """Switched here, declared in code."""

    empty_help = (
        "A feature flag without a row here has its first value, from the environment or from the code. "
        "Add a row to switch one on or off: for everybody, for a team, or for one API key."
    )
    list_display = ("name", "state", "scope", "percentage", "does")
    list_filter = ("name", "enabled")
    search_fields = ("name", "team", "key")
    actions = (switch_on, switch_off)
    fields = ("name", "enabled", ("team", "key"), "percentage")

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: FeatureFlag) -> str:
        """On or off."""
        return "on" if row.enabled else "off"

    @display(description="For")
    def scope(self, row: FeatureFlag) -> str:
        """Whom the row is about."""
        return "/".join(filter(None, (row.team, row.key))) or "everybody"

    @display(description="What it does")
    def does(self, row: FeatureFlag) -> str:
        """The flag's sentence."""
        flag = flags.DECLARED.get(row.name)
        return flag.sentence if flag else "No longer known: this row can be deleted."

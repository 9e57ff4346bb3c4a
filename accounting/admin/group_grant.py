"""Which groups of the identity provider are whose teams."""

from django.contrib import admin
from unfold.decorators import display

from accounting.admin.page import AccountingAdmin
from accounting.models import GroupGrant


@admin.register(GroupGrant)
class GroupGrantAdmin(AccountingAdmin):
    """Counts from a person's next sign-in on."""

    empty_help = (
        "People who sign in through an identity provider (OIDC or SAML) are put into teams by their groups there: name a "
        "group, a team and a role. At each sign-in the memberships that came from groups are made, changed and taken away "
        "to match; those given by hand stay."
    )
    list_display = ("group", "team", "role_shown")
    list_filter = ("role", "team")
    list_select_related = ("team",)
    search_fields = ("group", "team__slug")
    autocomplete_fields = ("team",)
    fields = ("group", ("team", "role"))

    @display(
        description="Role",
        ordering="role",
        label={"member": "info", "lead": "success", "auditor": "warning"},
    )
    def role_shown(self, row: GroupGrant) -> str:
        """What they may see and do."""
        return row.get_role_display()

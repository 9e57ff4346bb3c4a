"""Teams and their projects."""

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from accounting.admin.page import AccountingAdmin, switch_off, switch_on
from accounting.models import Project, Team, VirtualKey


class ProjectInline(TabularInline):
    """A team's projects."""

    model = Project
    fields = ("slug", "name")
    extra = 0
    hide_title = True


class KeyInline(TabularInline):
    """A team's keys, to look at; they are made on their own page, which shows a new one once."""

    model = VirtualKey
    fields = ("name", "key", "enabled", "expires_at", "created_at")
    readonly_fields = ("name", "key", "expires_at", "created_at")
    extra = 0
    can_delete = False
    hide_title = True
    show_change_link = True

    @display(description="Key")
    def key(self, row: VirtualKey) -> str:
        """Its first and last characters."""
        return row.shown

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Not here."""
        del request, obj
        return False


@admin.register(Team)
class TeamAdmin(AccountingAdmin):
    """Who pays."""

    empty_help = "A team pays for what its API keys use. Add one, then make it an API key."
    list_display = ("slug", "name", "state", "active_keys", "created_at")
    list_filter = ("enabled",)
    search_fields = ("slug", "name")
    inlines = (ProjectInline, KeyInline)
    actions = (switch_on, switch_off)
    fields = ("slug", "name", "enabled")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        """Rows with the count that the list shows."""
        active = Count("keys", filter=Q(keys__enabled=True), distinct=True)
        return super().get_queryset(request).annotate(active_keys_n=active)  # type: ignore[no-any-return]

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: Team) -> str:
        """Whether its keys are taken."""
        return "on" if row.enabled else "off"

    @display(description="Active keys", ordering="active_keys_n")
    def active_keys(self, row: Team) -> int:
        """How many keys are switched on."""
        return int(row.active_keys_n)  # type: ignore[attr-defined]


@admin.register(Project)
class ProjectAdmin(AccountingAdmin):
    """A team's subdivisions."""

    empty_help = (
        "A project tells a team's usage apart in reports. A key can have one as its default."
    )
    list_display = ("slug", "team", "name")
    list_filter = ("team",)
    list_select_related = ("team",)
    search_fields = ("slug", "name", "team__slug")
    autocomplete_fields = ("team",)

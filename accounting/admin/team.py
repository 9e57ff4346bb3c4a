"""Teams with their projects and people."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from accounting import keys
from accounting.admin.budget import BudgetInline
from accounting.admin.membership import ROLES_HELP, MemberInline, warn_of_keys_left
from accounting.admin.page import INLINE_ROWS, AccountingAdmin, switch_off, switch_on
from accounting.admin.refusals import PlacedForm
from accounting.models import Membership, Project, Team, VirtualKey

LIMITS_HELP = (
    "Over everything that is asked for with its keys together. A request must be within the limits of its key, its project "
    "and its team."
)
LIMITS = ("Limits", {"fields": keys.LIMITS, "description": LIMITS_HELP})


class ProjectInline(TabularInline):
    """A team's projects."""

    model = Project
    form = PlacedForm
    per_page = INLINE_ROWS
    show_change_link = True
    fields = ("slug", "name", *keys.LIMITS)
    extra = 0
    hide_title = True


class KeyInline(TabularInline):
    """A team's keys, to look at; they are made on their own page, which shows a new one once."""

    model = VirtualKey
    per_page = INLINE_ROWS
    fields = ("name", "owner", "key", "state", "expires_at", "created_at")
    readonly_fields = fields
    extra = 0
    can_delete = False
    hide_title = True
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[VirtualKey]:
        """Rows with what their state is told by."""
        rows: QuerySet[VirtualKey] = super().get_queryset(request)
        return rows.select_related("team", "owner").prefetch_related("rotated_to")

    @display(description="Key")
    def key(self, row: VirtualKey) -> str:
        """Its first and last characters."""
        return row.shown

    @display(description="State")
    def state(self, row: VirtualKey) -> str:
        """Whether it is taken."""
        return keys.state_of(row, now=datetime.now(UTC))

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Not here."""
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Not here."""
        del request, obj
        return False


def _count(rows: "QuerySet[Any]") -> Coalesce:
    """How many of the rows are a team's, each sort by itself: joined, they would multiply."""
    of_team = rows.filter(team=OuterRef("pk")).order_by().values("team")
    return Coalesce(Subquery(of_team.annotate(count=Count("pk")).values("count")), 0)


@admin.register(Team)
class TeamAdmin(AccountingAdmin):
    """Who pays."""

    empty_help = "A team pays for what its API keys use. Add one, then make it an API key."
    list_display = ("slug", "name", "state", "people", "active_keys", "created_at")
    list_filter = ("enabled",)
    search_fields = ("slug", "name")
    inlines = (MemberInline, ProjectInline, BudgetInline, KeyInline)
    actions = (switch_on, switch_off)
    fieldsets = (
        (None, {"fields": (("slug", "name"), "enabled"), "description": ROLES_HELP}),
        (
            "What leads allow their members",
            {"fields": (("members_may_make_keys", "keys_per_member_max"),)},
        ),
        LIMITS,
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        """Rows with the counts that the list shows."""
        taken = Q(enabled=True, revoked_at__isnull=True) & (
            Q(expires_at=None) | Q(expires_at__gt=datetime.now(UTC))
        )
        rows: QuerySet[Team] = super().get_queryset(request)
        return rows.annotate(
            active_keys_n=_count(VirtualKey.objects.filter(taken)),
            people_n=_count(Membership.objects.all()),
        )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """Say what people leave behind who were taken out of the team."""
        super().save_related(request, form, formsets, change)
        if change:
            warn_of_keys_left(request, Q(team=form.instance))

    @display(description="State", label={"on": "success", "off": "danger"})
    def state(self, row: Team) -> str:
        """Whether its keys are taken."""
        return "on" if row.enabled else "off"

    @display(description="People", ordering="people_n")
    def people(self, row: Team) -> int:
        """How many are in it."""
        return int(row.people_n)  # type: ignore[attr-defined]

    @display(description="Active keys", ordering="active_keys_n")
    def active_keys(self, row: Team) -> int:
        """How many keys are taken while the team is on."""
        return int(row.active_keys_n)  # type: ignore[attr-defined]


@admin.register(Project)
class ProjectAdmin(AccountingAdmin):
    """A team's subdivisions."""

    empty_help = (
        "A project tells a team's usage apart in reports. A key can have one as its default."
    )
    list_display = ("slug", "team", "name")
    list_filter = (("team", AutocompleteSelectFilter),)
    list_filter_submit = True
    list_select_related = ("team",)
    search_fields = ("slug", "name", "team__slug")
    autocomplete_fields = ("team",)
    fieldsets = ((None, {"fields": (("team", "slug"), "name")}), LIMITS)

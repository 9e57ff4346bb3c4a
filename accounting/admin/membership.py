"""Who belongs to which team, and as what."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from accounting.admin.page import INLINE_ROWS, AccountingAdmin
from accounting.admin.refusals import PlacedForm
from accounting.models import Membership, VirtualKey

ROLES_HELP = (
    "A member sees, rotates and revokes their own keys and sees their own usage; a lead also changes the team's keys and people "
    "and sees all of its usage and budgets; an auditor sees what a lead sees and changes nothing of the team's. Staff see and "
    "change everything and need no membership."
)
NAMES_MAX = 5


class SettledForm(PlacedForm):
    """A membership in a list of them: whose it is stays, only the role is changed.

    It is named without a select box that asks the database for its one choice.
    """

    class Meta:
        model = Membership
        fields = ("user", "team", "role")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("user", "team") if self.instance.pk else ():
            field = self.fields.get(name)
            if isinstance(field, forms.ModelChoiceField):
                row = getattr(self.instance, name)
                field.disabled = True
                field.widget = UnfoldAdminSelectWidget(choices=[(row.pk, str(row))])


class MemberInline(TabularInline):
    """A team's people."""

    model = Membership
    form = SettledForm
    per_page = INLINE_ROWS
    fields = ("user", "role", "origin")
    readonly_fields = ("origin",)
    autocomplete_fields = ("user",)
    extra = 0
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        """With their names."""
        rows: QuerySet[Membership] = super().get_queryset(request)
        return rows.select_related("user")


class MembershipInline(TabularInline):
    """A person's teams, for the user's page."""

    model = Membership
    form = SettledForm
    per_page = INLINE_ROWS
    fields = ("team", "role", "origin")
    readonly_fields = ("origin",)
    autocomplete_fields = ("team",)
    extra = 0
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        """With their names."""
        rows: QuerySet[Membership] = super().get_queryset(request)
        return rows.select_related("team")


@admin.register(Membership)
class MembershipAdmin(AccountingAdmin):
    """All of them in one list; the same as on the pages of teams and users."""

    empty_help = f"Let people see their team's usage: give them a role in it. {ROLES_HELP}"
    list_display = ("person", "team", "role_shown", "origin", "email", "created_at")
    list_filter = ("role", "origin", ("team", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("user", "team")
    search_fields = ("user__username", "user__email", "team__slug")
    autocomplete_fields = ("user", "team")
    fields = (("user", "team"), ("role", "origin"))

    @display(description="Person", ordering="user__username")
    def person(self, row: Membership) -> str:
        """The user's name."""
        return row.user.get_username()

    @display(description="E-mail")
    def email(self, row: Membership) -> str:
        """Where alerts reach a lead."""
        return row.user.email or "–"

    @display(
        description="Role",
        ordering="role",
        label={"member": "info", "lead": "success", "auditor": "warning"},
    )
    def role_shown(self, row: Membership) -> str:
        """What they may see and do."""
        return row.get_role_display()

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        """Say what the person leaves behind."""
        super().delete_model(request, obj)
        warn_of_keys_left(request, Q(team=obj.team, owner=obj.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        """Say what the people leave behind."""
        left = Q(pk__in=[])
        for row in queryset:
            left |= Q(team=row.team_id, owner=row.user_id)
        super().delete_queryset(request, queryset)
        warn_of_keys_left(request, left)


def warn_of_keys_left(request: HttpRequest, which: Q) -> None:
    """Say which keys still let in people who are no longer of the team, or may no longer log in."""
    keys = VirtualKey.objects.filter(
        which, owner__isnull=False, enabled=True, revoked_at__isnull=True
    )
    is_member = Exists(Membership.objects.filter(team=OuterRef("team"), user=OuterRef("owner")))
    is_gone = (~is_member & Q(owner__is_staff=False)) | Q(owner__is_active=False)
    left = keys.filter(is_gone).select_related("team")
    count = left.count()
    if count:
        names = ", ".join(str(row) for row in left[:NAMES_MAX])
        more = f" and {count - NAMES_MAX} more" if count > NAMES_MAX else ""
        messages.warning(
            request,
            f"Still accepted, though their owners are gone: {names}{more}. Revoke them, or give them another owner.",
        )

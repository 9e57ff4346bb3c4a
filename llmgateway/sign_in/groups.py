"""What the groups of an identity provider make of somebody: memberships, and whether they are staff."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from accounting.audit import actors, trail
from accounting.models import GroupGrant, Membership

RANKS = (Membership.Role.MEMBER, Membership.Role.AUDITOR, Membership.Role.LEAD)
GROUPS_MAX = 1000
"""More than that are not read: a provider says them of each person at each sign-in."""


def read_groups(told: Mapping[str, Any], claim: str) -> tuple[str, ...]:
    """The groups that stand under the name; one with dots leads inwards (``realm_access.roles``) where there is no such name."""
    found: Any = told.get(claim)
    if found is None:
        found = told
        for word in claim.split("."):
            found = found.get(word) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, Iterable) or isinstance(found, Mapping):
        return ()
    return tuple(str(name) for name in list(found)[:GROUPS_MAX] if isinstance(name, str) and name)


@transaction.atomic
def follow(user: User, groups: Iterable[str], *, provider: str, address: str) -> None:
    """Make the person's memberships what their groups say now, and their being staff, too; all of it audited.

    Memberships given by hand stay as they are. Staff are only made of, and unmade from, accounts that have no password:
    those that came from the provider.
    """
    told = set(groups)
    who = actors.Actor(
        f"{provider}: groups of {user.get_username()}", "page", user.pk, address=address
    )
    with actors.acting(lambda: who):
        trail.take_turn()
        _follow_teams(user, told)
        _follow_staff(user, told)


def _follow_teams(user: User, told: set[str]) -> None:
    wanted: dict[int, str] = {}
    for team, role in GroupGrant.objects.filter(group__in=told).values_list("team_id", "role"):
        wanted[team] = max(wanted.get(team, role), role, key=RANKS.index)
    rows = {row.team_id: row for row in Membership.objects.filter(user=user).select_related("team")}
    for team, role in wanted.items():
        row = rows.get(team)
        if row is None:
            Membership.objects.create(
                team_id=team, user=user, role=role, origin=Membership.Origin.GROUP
            )
        elif row.origin == Membership.Origin.GROUP and row.role != role:
            row.role = role
            row.save(update_fields=["role"])
    for team, row in rows.items():
        if row.origin == Membership.Origin.GROUP and team not in wanted:
            row.delete()


def _follow_staff(user: User, told: set[str]) -> None:
    staff, superusers = set(settings.STAFF_GROUPS), set(settings.SUPERUSER_GROUPS)
    if not (staff or superusers) or user.has_usable_password():
        return
    is_superuser = bool(told & superusers)
    is_staff = is_superuser or bool(told & staff)
    if (user.is_staff, user.is_superuser) != (is_staff, is_superuser):
        user.is_staff, user.is_superuser = is_staff, is_superuser
        user.save(update_fields=["is_staff", "is_superuser"])

"""Who may look at the audit trail, and at how much of it."""

from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.http import HttpRequest

from accounting.models import AuditEntry, Membership

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

ROLES = (Membership.Role.LEAD, Membership.Role.AUDITOR)


def sees_all(user: "User | AnonymousUser") -> bool:
    """Superusers, and who holds the permission to view audit entries."""
    return user.is_active and user.has_perm("accounting.view_auditentry")


def teams_of(user: "User | AnonymousUser") -> list[str]:
    """The teams whose entries a person may see because they lead or audit them, in order."""
    if user.is_anonymous or not user.is_active:
        return []
    roles = Membership.objects.filter(user=user, role__in=ROLES)
    return list(roles.values_list("team__slug", flat=True).order_by("team__slug"))


def visible_to(user: "User | AnonymousUser") -> QuerySet[AuditEntry] | None:
    """The entries that a person may see; None for who may see none at all."""
    if sees_all(user):
        return AuditEntry.objects.all()
    teams = teams_of(user)
    return AuditEntry.objects.filter(team__in=teams) if teams else None


def may_see_all(request: HttpRequest) -> bool:
    """For the admin's sidebar."""
    return sees_all(request.user)

"""As which API keys a person may send from the playground; in whose name, and how that is told.

Leads send as any key of their teams, members as their own. Auditors look and change nothing, so they send nothing.
Staff send as any key where they may make keys, which they could use anyway; else by their teams, as others do.
"""

import re
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet

from accounting.models import Membership, VirtualKey
from accounting.principals import Principal, of_roles
from llmgateway.attribution import TAG_CHARS_MAX, TAGS_HEADER
from llmgateway.exchange import AGENT_HEADERS

AGENT = TAG = "playground"
MAY_SEND_AS_ANY = "accounting.add_virtualkey"
_NOT_IN_TAGS = re.compile(r"[^\w.:/=@+-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Caller:
    """A person at the playground. ``is_free`` holds for staff who may send as any key."""

    principal: Principal
    is_free: bool

    @property
    def teams_led(self) -> list[str]:
        """The teams whose keys they could make themselves."""
        return sorted(self.principal.led)

    @property
    def is_outsider(self) -> bool:
        """Whether they are in no team at all, and free of none."""
        return not self.is_free and not self.principal.joined

    @property
    def only_audits(self) -> bool:
        """Whether all that they are is an auditor."""
        return not self.is_free and self.principal.joined == self.principal.audited

    def keys(self) -> "QuerySet[VirtualKey]":
        """The keys they may send as, also those that are refused now; a revoked one is no key any more."""
        rows = VirtualKey.objects.filter(revoked_at=None).select_related("team")
        rows = rows.order_by("team__slug", "name").prefetch_related("rotated_to")
        if self.is_free:
            return rows
        who = self.principal
        own = Q(team__slug__in=sorted(who.joined - who.whole_teams), owner__username=who.username)
        return rows.filter(Q(team__slug__in=sorted(who.led)) | own)


def caller_of(user: User | AnonymousUser) -> Caller:
    """The person behind a request."""
    if user.is_anonymous or not user.is_active:
        return Caller(Principal(username=""), is_free=False)
    roles = Membership.objects.filter(user=user).values_list("team__slug", "role")
    return Caller(
        of_roles(user.get_username(), roles),
        is_free=bool(user.is_staff) and user.has_perm(MAY_SEND_AS_ANY),
    )


def headers_for(username: str) -> dict[str, str]:
    """The headers by which a request is booked: that it came from here, and who sent it."""
    who = _NOT_IN_TAGS.sub("-", f"{TAG}:{username}")[:TAG_CHARS_MAX]
    return {AGENT_HEADERS[0]: AGENT, TAGS_HEADER: f"{TAG},{who}"}

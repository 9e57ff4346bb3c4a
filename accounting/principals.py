"""Who is asking for a page or an export, and which usage they may see."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Q

from accounting.models import Membership

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person. ``led``, ``audited`` and ``joined`` hold the teams' short names; staff need none."""

    username: str
    is_staff: bool = False
    led: frozenset[str] = frozenset()
    audited: frozenset[str] = frozenset()
    joined: frozenset[str] = frozenset()

    @property
    def is_outsider(self) -> bool:
        """Whether there is nothing they may see."""
        return not (self.is_staff or self.led or self.audited or self.joined)

    @property
    def whole_teams(self) -> frozenset[str]:
        """The teams of which all may be seen; staff see all of every team, which this does not list."""
        return self.led | self.audited

    @property
    def sees_whole_teams(self) -> bool:
        """Whether all that may be seen is that of whole teams."""
        return self.is_staff or self.joined <= self.whole_teams

    def team_filter(self, team: str = "team") -> Q:
        """Narrows rows that name a team to those of teams of which all may be seen."""
        return Q() if self.is_staff else Q(**{f"{team}__in": sorted(self.whole_teams)})

    def may_see_team(self, team: str) -> bool:
        """Whether all usage of the team is theirs to see."""
        return self.is_staff or team in self.whole_teams

    def may_see(self, team: str, member: str) -> bool:
        """Whether the usage of one person in a team is theirs to see."""
        return self.may_see_team(team) or (team in self.joined and member == self.username)

    def may_lead(self, team: str) -> bool:
        """Whether the team's keys, members and budgets are theirs to change."""
        return self.is_staff or team in self.led

    def filter(self, team: str = "team", member: str = "member") -> Q:
        """Narrows rows that name a team and a member to those that may be seen."""
        if self.is_staff:
            return Q()
        whole = Q(**{f"{team}__in": sorted(self.whole_teams)})
        rest = self.joined - self.whole_teams
        # Without an alternative that adds nothing, an index by team has the rows in their order.
        return whole | Q(**{f"{team}__in": sorted(rest), member: self.username}) if rest else whole


def principal_of(user: "User | AnonymousUser") -> Principal:
    """The person behind a request; nobody signed in is an outsider. One query, none for staff."""
    if user.is_anonymous or not user.is_active:
        return Principal(username="")
    if user.is_staff:
        return Principal(user.get_username(), is_staff=True)
    roles = Membership.objects.filter(user=user).values_list("team__slug", "role")
    return of_roles(user.get_username(), roles)


def of_roles(username: str, roles: Iterable[tuple[str, str]]) -> Principal:
    """The principal with (team, role) pairs."""
    teams: dict[str, set[str]] = {role: set() for role in Membership.Role.values}
    for team, role in roles:
        teams[role].add(team)
    return Principal(
        username,
        led=frozenset(teams[Membership.Role.LEAD]),
        audited=frozenset(teams[Membership.Role.AUDITOR]),
        joined=frozenset(set().union(*teams.values())),
    )

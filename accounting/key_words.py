"""Reads what a new key shall be from words, as commands, files and forms give them; finds all that is wrong at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_date, parse_datetime

from accounting import keys
from accounting.models import Membership, Project, Team, VirtualKey

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SPAN = re.compile(r"([0-9]{1,6})([mhdw])")
LIMITS = {
    "rpm": "requests_per_minute",
    "tpm": "tokens_per_minute",
    "concurrent": "concurrent_requests",
}
LIMIT_MAX = 2_147_483_647
"""The largest that every database holds."""
TEAMS_TOLD_MAX = 10
OVERLAPS = (
    ("0m", "not at all: refuse it at once"),
    ("1h", "for 1 hour"),
    ("1d", "for 1 day"),
    ("7d", "for 7 days"),
    ("30d", "for 30 days"),
    ("90d", "for 90 days"),
)
"""What pages offer for how long a rotated key is still accepted."""


class WordUnreadable(ValueError):
    """A word that does not say what it should; the message says what would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWords:
    """A wish for a key as somebody wrote it; empty words are not given."""

    team: str
    name: str
    project: str = ""
    owner: str = ""
    expires: str = ""
    aliases: Sequence[str] = ()
    rpm: str = ""
    tpm: str = ""
    concurrent: str = ""


def read_span(text: str) -> timedelta:
    """A span of time such as 30m, 24h, 7d or 2w.

    Raises:
        WordUnreadable: it is none.
    """
    match = SPAN.fullmatch(text.strip())
    if match is None:
        raise WordUnreadable(f"{text!r} is no span of time: write 30m, 24h, 7d or 2w")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def read_expiry(text: str, *, now: datetime) -> datetime:
    """A moment in the future: a day (its first moment in UTC), a moment, or a span from now.

    Raises:
        WordUnreadable: it is none.
    """
    moment = _moment(text.strip())
    if moment is None and SPAN.fullmatch(text.strip()):
        moment = now + read_span(text)
    if moment is None:
        raise WordUnreadable(
            f"{text!r} is no moment: write a day such as 2027-01-31, a moment such as 2027-01-31T12:00:00Z, "
            "or a span from now such as 90d"
        )
    if moment <= now:
        raise WordUnreadable(f"{text!r} is not in the future")
    return moment


def _moment(text: str) -> datetime | None:
    try:
        found: date | None = parse_datetime(text) or parse_date(text)
    except ValueError:  # in form only, such as 2027-02-31
        return None
    if isinstance(found, datetime):
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return datetime.combine(found, time(), UTC) if found else None


def read_limit(text: str) -> int | None:
    """A limit, None where none is given.

    Raises:
        WordUnreadable: it is no whole number above 0.
    """
    if not text.strip():
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text.strip()) or not 0 < int(text) <= LIMIT_MAX:
        raise WordUnreadable(f"{text!r} is no limit: write a whole number from 1 to {LIMIT_MAX}")
    return int(text)


class KeyReader:
    """Makes unsaved rows from words. Remembers what it has looked up and which names it has given out."""

    def __init__(self, *, now: datetime) -> None:
        self._now = now
        self._problems: list[str] = []

    def read(self, words: KeyWords) -> tuple[VirtualKey | None, list[str]]:
        """The row for a key, which lacks its secret, or all that is wrong with the words."""
        self._problems = []
        team = self._team(words.team)
        if team is None:
            return None, self._problems
        limits = {LIMITS[name]: self._limit(getattr(words, name), name) for name in LIMITS}
        wish = keys.Wish(
            project=self._project(team, words.project),
            owner=self._owner(team, words.owner),
            expires_at=self._expiry(words.expires),
            allowed_aliases=tuple(words.aliases),
            **limits,
        )
        row = keys.row_for(team, words.name, wish)
        self._check(row)
        return (None if self._problems else row), self._problems

    def _team(self, slug: str) -> Team | None:
        team = self._teams.get(slug)
        if team is None:
            known = ", ".join(sorted(self._teams)[:TEAMS_TOLD_MAX]) or "none yet"
            self._problems.append(f"There is no team {slug!r}. Teams: {known}.")
        return team

    def _project(self, team: Team, slug: str) -> Project | None:
        if not slug:
            return None
        project = self._projects.get((team.pk, slug))
        if project is None:
            self._problems.append(f"Team {team.slug} has no project {slug!r}.")
        return project

    def _owner(self, team: Team, name: str) -> User | None:
        if not name:
            return None
        owner = self._users.get(name)
        if owner is None:
            self._problems.append(f"There is no user {name!r}.")
        elif not owner.is_staff and (team.pk, owner.pk) not in self._members:
            self._problems.append(keys.problem_with_owner(team, owner))
        return owner

    def _expiry(self, text: str) -> datetime | None:
        if not text.strip():
            return None
        try:
            return read_expiry(text, now=self._now)
        except WordUnreadable as error:
            self._problems.append(f"expires: {error}.")
            return None

    def _limit(self, text: str, name: str) -> int | None:
        try:
            return read_limit(text)
        except WordUnreadable as error:
            self._problems.append(f"{name}: {error}.")
            return None

    def _check(self, row: VirtualKey) -> None:
        """Note what the row itself does not take, and a name that is taken or was given out before."""
        try:
            row.clean_fields(exclude=["digest", "prefix", "last_four"])
        except ValidationError as error:
            for field, messages in error.message_dict.items():
                self._problems.append(f"{field}: {' '.join(messages)}")
        taken = (row.team_id, row.name)
        if taken in self._names:
            self._problems.append(
                f"Team {row.team.slug} has a key with that name already: {row.name}."
            )
        self._names.add(taken)

    @cached_property
    def _teams(self) -> dict[str, Team]:
        return {row.slug: row for row in Team.objects.all()}

    @cached_property
    def _projects(self) -> dict[tuple[int, str], Project]:
        return {(row.team_id, row.slug): row for row in Project.objects.all()}

    @cached_property
    def _users(self) -> dict[str, User]:
        return {row.username: row for row in User.objects.filter(is_active=True)}

    @cached_property
    def _members(self) -> set[tuple[int, int]]:
        return set(Membership.objects.values_list("team_id", "user_id"))

    @cached_property
    def _names(self) -> set[tuple[int, str]]:
        return set(VirtualKey.objects.values_list("team_id", "name"))

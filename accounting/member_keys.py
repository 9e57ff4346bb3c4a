"""What a lead lets members do with keys of their own, and what a member's own page shows of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q, Sum

from accounting import keys
from accounting.key_words import KeyReader, KeyWords
from accounting.keys import MintedKey
from accounting.models import DailyUsage, Membership, Team, VirtualKey

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

PER_MEMBER_MAX = 100


@dataclass(frozen=True, slots=True)
class OwnUsage:
    """What a person used in a team since the month began (UTC); amounts in USD, adjustments counted in."""

    requests: int
    tokens: int
    cost_usd: Decimal


def own_usage(team: Team, username: str, *, now: datetime) -> OwnUsage:
    """Since the first of the month."""
    rows = DailyUsage.objects.filter(
        team=team.slug, member=username, on__gte=now.date().replace(day=1)
    )
    names = ("requests", "prompt_tokens", "completion_tokens", "cost_usd", "adjusted_usd")
    sums = rows.aggregate(**{f"{name}_sum": Sum(name) for name in names})
    found = {name: sums[f"{name}_sum"] or 0 for name in names}
    return OwnUsage(
        requests=found["requests"],
        tokens=found["prompt_tokens"] + found["completion_tokens"],
        cost_usd=Decimal(found["cost_usd"]) + Decimal(found["adjusted_usd"]),
    )


def own_open_keys(team: Team, user: "User", *, now: datetime) -> "QuerySet[VirtualKey]":
    """The person's keys that count towards how many they may have: neither revoked, expired nor replaced."""
    is_live = Q(expires_at=None) | Q(expires_at__gt=now)
    return VirtualKey.objects.filter(
        is_live, team=team, owner=user, revoked_at=None, rotated_to=None
    )


def may_make(team: Team, user: "User") -> bool:
    """Whether the person, who is no lead, may make keys of their own: members may where a lead lets them."""
    return (
        team.members_may_make_keys
        and Membership.objects.filter(team=team, user=user, role=Membership.Role.MEMBER).exists()
    )


@transaction.atomic
def make_own(
    team: Team, user: "User", words: Mapping[str, Any], *, now: datetime
) -> tuple[MintedKey | None, list[str]]:
    """A key of the member's own, or why there is none. The team's row is locked: two requests cannot both be the last."""
    Team.objects.select_for_update().get(pk=team.pk)
    count = own_open_keys(team, user, now=now).count()
    if count >= team.keys_per_member_max:
        return None, [
            f"You have {count} keys, and the team lets members have {team.keys_per_member_max}: "
            "revoke one, or ask a lead."
        ]
    given = KeyWords(
        team=team.slug,
        name=words["name"],
        expires=words["expires"],
        aliases=words["aliases"],
        owner=user.get_username(),
    )
    row, problems = KeyReader(now=now).read(given)
    return (keys.mint_for(row), []) if row is not None else (None, list(problems))


def read_allowance(words: Mapping[str, str], team: Team) -> str:
    """Take over what a lead lets members do, unsaved; why not, where it cannot be read."""
    text = words.get("keys_per_member_max", "").strip()
    if not text.isdecimal() or not 1 <= int(text) <= PER_MEMBER_MAX:
        return f"Keys per member must be a number from 1 to {PER_MEMBER_MAX}."
    team.members_may_make_keys = words.get("members_may_make_keys") == "on"
    team.keys_per_member_max = int(text)
    return ""

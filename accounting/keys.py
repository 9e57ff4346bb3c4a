"""Virtual keys: mint, recognise, authenticate.

A key is ``gw-`` + 40 random characters + 6 check characters, all of [0-9A-Za-z]. The check characters let a
mistyped key be told from an unknown one without a look-up, and let a scanner recognise a leaked one. Only the
SHA-256 of a key is stored: 238 bits of chance need no slow hash and no salt. A key is recognised by looking its digest
up, which takes longer or shorter and tells nothing by it: nobody can choose the digest of what they send, so no time
that is measured leads nearer to one that is stored, and a digest is no key.

A key is rotated by a row of its own: the new row takes over the name and everything that was set, the old one gets
another name and is accepted for a while longer. Both, and those before them, are one line of keys: limits and budgets
are the newest's and hold over all of them together, and requests are routed and booked under its name, whichever of
them was sent. A revoked key is refused for good; neither is ever deleted by this module.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from django.core.exceptions import ValidationError
from django.db import transaction

from accounting import snapshot
from accounting.audit import trail, watch
from accounting.errors import KeyMissing, KeyRefused
from accounting.models import Budget, Membership, Project, Team, VirtualKey
from accounting.snapshot import KeyPicture
from accounting.spending import first_of_each

if TYPE_CHECKING:
    from django.contrib.auth.models import User

State = Literal["on", "off", "expired", "revoked", "rotated"]
ACCEPTED = ("on", "rotated")

ALPHABET = string.digits + string.ascii_letters
PREFIX = "gw-"
RANDOM_CHARS = 40
CHECK_CHARS = 6
SHOWN_CHARS = len(PREFIX) + 4
NAME_CHARS_MAX = 64
OVERLAP_MAX = timedelta(days=90)
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
TAKEN_OVER = ("team", "enabled", "allowed_aliases", "default_project", "owner", *LIMITS)
"""What a new key has from the one it is rotated from, beside its name."""


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new key in clear, for the one moment in which it is shown, and the row that was saved for it."""

    secret: str
    row: VirtualKey


def make_secret() -> str:
    """A new key in clear."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARS))
    return PREFIX + body + check_characters(body)


def check_characters(body: str) -> str:
    """The characters that follow a key's random part: its CRC-32 in base 62."""
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECK_CHARS):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)


def is_well_formed(secret: str) -> bool:
    """Whether the text has the form of a key, and its check characters fit."""
    body = secret[len(PREFIX) : -CHECK_CHARS]
    return (
        secret.startswith(PREFIX)
        and len(body) == RANDOM_CHARS
        and secret[-CHECK_CHARS:] == check_characters(body)
    )


def digest_of(secret: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a new key shall be, beside its team and name; limits that are None are none."""

    project: Project | None = None
    owner: "User | None" = None
    expires_at: datetime | None = None
    allowed_aliases: Sequence[str] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None


NO_WISH = Wish()


def row_for(team: Team, name: str, wish: Wish = NO_WISH) -> VirtualKey:
    """The unsaved row of a key that has no secret yet."""
    return VirtualKey(
        team=team,
        name=name,
        default_project=wish.project,
        owner=wish.owner,
        expires_at=wish.expires_at,
        allowed_aliases=list(wish.allowed_aliases),
        requests_per_minute=wish.requests_per_minute,
        tokens_per_minute=wish.tokens_per_minute,
        concurrent_requests=wish.concurrent_requests,
    )


def mint(
    team: Team,
    name: str,
    *,
    project: Project | None = None,
    expires_at: datetime | None = None,
    allowed_aliases: Sequence[str] = (),
    owner: "User | None" = None,
) -> MintedKey:
    """A new key for the team, saved; ``row_for`` and ``mint_for`` make one with limits.

    Raises:
        django.core.exceptions.ValidationError: the team has a key of that name, or a value is wrong.
    """
    wish = Wish(
        project=project, owner=owner, expires_at=expires_at, allowed_aliases=allowed_aliases
    )
    return mint_for(row_for(team, name, wish))


def mint_for(row: VirtualKey) -> MintedKey:
    """The unsaved row with a new secret, saved."""
    secret = make_secret()
    row.digest = digest_of(secret)
    row.prefix = secret[:SHOWN_CHARS]
    row.last_four = secret[-4:]
    row.full_clean()
    row.save()
    return MintedKey(secret=secret, row=row)


def rotate(
    row: VirtualKey,
    overlap: timedelta,
    *,
    now: datetime,
    expires_at: datetime | None = None,
) -> MintedKey:
    """A new key in the place of one, which is accepted for the overlap longer, and no longer than it was anyway.

    The new one lives as long as the old one was made to live, unless ``expires_at`` says otherwise. Budgets of the key
    move to the new one, with what is spent of them, and so do its limits.

    Raises:
        django.core.exceptions.ValidationError: the key was revoked or rotated already, or the overlap is none.
    """
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise ValidationError(f"The overlap must be from 0 to {OVERLAP_MAX.days} days.")
    with transaction.atomic():
        trail.take_turn()  # before a row is locked, or two changes could wait for each other
        old = VirtualKey.objects.select_for_update().get(pk=row.pk)
        if problem := problem_with_rotation(old):
            raise ValidationError(problem)
        if expires_at is None and old.expires_at is not None:
            expires_at = now + (old.expires_at - old.created_at)
        name = old.name
        taken_over = {field: getattr(old, field) for field in TAKEN_OVER}
        old.name = _name_of_rotated(old, now)
        old.expires_at = min(filter(None, (old.expires_at, now + overlap)))
        for limit in LIMITS:
            setattr(old, limit, None)
        old.save(update_fields=["name", "expires_at", *LIMITS])
        minted = mint_for(
            VirtualKey(name=name, expires_at=expires_at, rotated_from=old, **taken_over)
        )
        budgets = Budget.objects.filter(key=old)
        with watch.noting({Budget: budgets.values_list("pk", flat=True)}):
            budgets.update(key=minted.row)  # mint_for has told the processes
    return minted


def problem_with_rotation(row: VirtualKey) -> str:
    """Why a key cannot be rotated; nothing where it can."""
    if row.revoked_at is not None:
        return f"The API key {row} was revoked: make a new one."
    successor = row.rotated_to.first()
    return f"The API key {row} was rotated already: rotate {successor}." if successor else ""


def _name_of_rotated(row: VirtualKey, now: datetime) -> str:
    """A name that says what became of the key and that the team has not used yet."""
    taken = set(VirtualKey.objects.filter(team=row.team_id).values_list("name", flat=True))
    number = 1
    while True:
        suffix = f" (rotated {now:%Y-%m-%d}{f', {number}' if number > 1 else ''})"
        name = row.name[: NAME_CHARS_MAX - len(suffix)] + suffix
        if name not in taken:
            return name
        number += 1


def revoke(row: VirtualKey, *, now: datetime) -> bool:
    """Refuse the key for good, from now on; False where it was revoked before. Only this key, not its whole line."""
    with transaction.atomic():
        trail.take_turn()  # as for a rotation
        fresh = VirtualKey.objects.select_for_update().get(pk=row.pk)
        if fresh.revoked_at is not None:
            return False
        fresh.revoked_at = row.revoked_at = now
        fresh.save(update_fields=["revoked_at"])
    return True


def find(secret: str) -> VirtualKey | None:
    """The row of a key in clear, whatever its state. Asks the database."""
    return (
        VirtualKey.objects.select_related("team", "owner").filter(digest=digest_of(secret)).first()
    )


def state_of(row: VirtualKey, *, now: datetime) -> State:
    """Whether the key is taken, in one word: ``on`` and ``rotated`` are, the latter until its successor is alone."""
    if row.revoked_at is not None:
        return "revoked"
    if not (row.enabled and row.team.enabled):
        return "off"
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    return "rotated" if row.rotated_to.all() else "on"


def others_accepted(row: VirtualKey, *, now: datetime) -> list[VirtualKey]:
    """Other keys of the same line that are still taken."""
    pairs = VirtualKey.objects.filter(team=row.team_id).values_list("pk", "rotated_from_id")
    firsts = first_of_each(pairs)
    of_line = [pk for pk, first in firsts.items() if first == firsts[row.pk] and pk != row.pk]
    others = VirtualKey.objects.select_related("team").prefetch_related("rotated_to")
    return [
        other for other in others.filter(pk__in=of_line) if state_of(other, now=now) in ACCEPTED
    ]


def problem_with_owner(team: Team, owner: "User | None") -> str:
    """Why a key of the team cannot be the person's; nothing where it can. Staff need no membership."""
    if owner is None or owner.is_staff:
        return ""
    if Membership.objects.filter(team=team, user=owner).exists():
        return ""
    return f"{owner.get_username()} is not a member of team {team.slug}: add them first."


def authenticate(candidates: Sequence[str], *, now: datetime) -> KeyPicture:
    """The key that the first usable candidate belongs to. From memory: no database is asked.

    Raises:
        KeyMissing: there is no candidate.
        KeyRefused: none of them may be used now.
    """
    if not candidates:
        raise KeyMissing(
            "No API key. Send the gateway's key as 'Authorization: Bearer …' or as 'x-api-key: …'."
        )
    ring = snapshot.current()
    known: list[KeyPicture] = []
    for secret in candidates:
        key = ring.by_digest.get(digest_of(secret))
        if key is not None:
            if _is_usable(key, now):
                return key
            known.append(key)
    if known:
        raise _refusal(known[0])
    if any(secret.startswith(PREFIX) and not is_well_formed(secret) for secret in candidates):
        raise KeyRefused("The API key is mistyped or cut off: its check characters do not fit.")
    raise KeyRefused("The API key is not known here. A team lead or administrator can make one.")


def check(key: KeyPicture, *, now: datetime) -> None:
    """Nothing, where a request with the key would be let in.

    Raises:
        KeyRefused: it was revoked, is switched off, or has expired.
    """
    if not _is_usable(key, now):
        raise _refusal(key)


def _is_usable(key: KeyPicture, now: datetime) -> bool:
    return (
        key.enabled and key.revoked_at is None and (key.expires_at is None or now < key.expires_at)
    )


def _refusal(key: KeyPicture) -> KeyRefused:
    refused = KeyRefused(_why_refused(key))
    refused.key = key
    return refused


def _why_refused(key: KeyPicture) -> str:
    if key.revoked_at is not None:
        return (
            f"The API key {key.name!r} was revoked on {key.revoked_at:%Y-%m-%d %H:%M} UTC and is refused for good. "
            "A team lead or administrator can make a new one."
        )
    if not key.enabled or key.expires_at is None:
        return f"The API key {key.name!r} is switched off."
    why = " It was rotated: use the key that replaced it." if key.is_rotated else ""
    return f"The API key {key.name!r} expired on {key.expires_at:%Y-%m-%d %H:%M} UTC.{why}"

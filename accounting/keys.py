"""Virtual keys: mint, recognise, authenticate.

A key is ``gw-`` + 40 random characters + 6 check characters, all of [0-9A-Za-z]. The check characters let a
mistyped key be told from an unknown one without a look-up, and let a scanner recognise a leaked one. Only the
SHA-256 of a key is stored: 238 bits of chance need no slow hash and no salt.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from accounting import snapshot
from accounting.errors import KeyMissing, KeyRefused
from accounting.models import Project, Team, VirtualKey
from accounting.snapshot import KeyPicture

ALPHABET = string.digits + string.ascii_letters
PREFIX = "gw-"
RANDOM_CHARS = 40
CHECK_CHARS = 6
SHOWN_CHARS = len(PREFIX) + 4


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


def mint(
    team: Team,
    name: str,
    *,
    project: Project | None = None,
    expires_at: datetime | None = None,
    allowed_aliases: Sequence[str] = (),
) -> MintedKey:
    """A new key for the team, saved.

    Raises:
        django.core.exceptions.ValidationError: the team has a key of that name, or a value is wrong.
    """
    row = VirtualKey(
        team=team,
        name=name,
        default_project=project,
        expires_at=expires_at,
        allowed_aliases=list(allowed_aliases),
    )
    return mint_for(row)


def mint_for(row: VirtualKey) -> MintedKey:
    """The unsaved row with a new secret, saved."""
    secret = make_secret()
    row.digest = digest_of(secret)
    row.prefix = secret[:SHOWN_CHARS]
    row.last_four = secret[-4:]
    row.full_clean()
    row.save()
    return MintedKey(secret=secret, row=row)


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
    known = [key for secret in candidates if (key := ring.by_digest.get(digest_of(secret)))]
    for key in known:
        if _is_usable(key, now):
            return key
    if known:
        raise _refusal(known[0])
    if any(secret.startswith(PREFIX) and not is_well_formed(secret) for secret in candidates):
        raise KeyRefused("The API key is mistyped or cut off: its check characters do not fit.")
    raise KeyRefused("The API key is not known here. A team lead or administrator can make one.")


def check(key: KeyPicture, *, now: datetime) -> None:
    """Nothing, where a request with the key would be let in.

    Raises:
        KeyRefused: it is switched off, or has expired.
    """
    if not _is_usable(key, now):
        raise _refusal(key)


def _is_usable(key: KeyPicture, now: datetime) -> bool:
    return key.enabled and (key.expires_at is None or now < key.expires_at)


def _refusal(key: KeyPicture) -> KeyRefused:
    if not key.enabled or key.expires_at is None:
        return KeyRefused(f"The API key {key.name!r} is switched off.")
    return KeyRefused(f"The API key {key.name!r} expired on {key.expires_at:%Y-%m-%d %H:%M} UTC.")

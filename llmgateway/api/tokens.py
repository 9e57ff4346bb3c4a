"""People's tokens for the management API: mint, recognise, revoke.

A token is ``gwm-`` + 40 random characters + 6 check characters, made and hashed as virtual keys are
(accounting/keys.py): 238 bits of chance need no slow hash and no salt, and a look-up by the hash tells nobody by its
time how much of a guess was right.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from accounting import keys
from accounting.audit import trail
from llmgateway.api.models import ApiToken

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PREFIX = "gwm-"
SHOWN_CHARS = len(PREFIX) + 4
USE_NOTED_EVERY = timedelta(minutes=1)
RANK = {scope: rank for rank, scope in enumerate(ApiToken.Scope.values)}
"""Scopes by how much they allow; each allows what those before it do."""


class TokenRefused(Exception):
    """The token may not be used; the message says why."""


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A new token in clear, for the one moment in which it is shown, and the row that was saved for it."""

    secret: str
    row: ApiToken


def make_secret() -> str:
    """A new token in clear."""
    body = "".join(secrets.choice(keys.ALPHABET) for _ in range(keys.RANDOM_CHARS))
    return PREFIX + body + keys.check_characters(body)


def is_well_formed(secret: str) -> bool:
    """Whether the text has the form of a token, and its check characters fit."""
    body = secret[len(PREFIX) : -keys.CHECK_CHARS]
    return (
        secret.startswith(PREFIX)
        and secret.isascii()
        and len(body) == keys.RANDOM_CHARS
        and secret[-keys.CHECK_CHARS :] == keys.check_characters(body)
    )


def mint(
    user: "User", name: str, *, scope: str = ApiToken.Scope.READ, expires_at: datetime | None = None
) -> MintedToken:
    """A new token of the person, saved.

    Raises:
        django.core.exceptions.ValidationError: the person has a token of that name, or a value is wrong.
    """
    return mint_for(ApiToken(user=user, name=name, scope=scope, expires_at=expires_at))


def mint_for(row: ApiToken) -> MintedToken:
    """The unsaved row with a new secret, saved."""
    secret = make_secret()
    row.digest = keys.digest_of(secret)
    row.prefix = secret[:SHOWN_CHARS]
    row.last_four = secret[-4:]
    row.full_clean()
    row.save()
    return MintedToken(secret, row)


def authenticate(secret: str, *, now: datetime) -> ApiToken:
    """The row of a token that may be used now; that it was used is noted once a minute at most.

    Raises:
        TokenRefused: it may not.
    """
    if not is_well_formed(secret):
        raise TokenRefused(
            "The token is mistyped or cut off, or it is no token of this API: those begin with gwm-."
        )
    digest = keys.digest_of(secret)
    row = ApiToken.objects.select_related("user").filter(digest=digest).first()
    if row is None or not row.user.is_active:
        raise TokenRefused("The token is not known here, or its user may not sign in.")
    if row.revoked_at is not None:
        raise TokenRefused(f"The token {row.name!r} was revoked: make a new one.")
    if row.expires_at is not None and row.expires_at <= now:
        raise TokenRefused(f"The token {row.name!r} has expired: make a new one.")
    _note_use(row, now)
    return row


def _note_use(row: ApiToken, now: datetime) -> None:
    """Past ``save()``, because a use is no change that somebody made."""
    before = now - USE_NOTED_EVERY
    if row.last_used_at is None or row.last_used_at < before:
        is_due = Q(last_used_at=None) | Q(last_used_at__lt=before)
        ApiToken.objects.filter(is_due, pk=row.pk).update(last_used_at=now)


def revoke(row: ApiToken, *, now: datetime) -> bool:
    """Refuse the token for good, from now on; False where it was revoked before."""
    with transaction.atomic():
        trail.take_turn()  # before a row is locked, or two changes could wait for each other
        fresh = ApiToken.objects.select_for_update().get(pk=row.pk)
        if fresh.revoked_at is not None:
            return False
        fresh.revoked_at = row.revoked_at = now
        fresh.save(update_fields=["revoked_at"])
    return True


def allows(row: ApiToken | None, scope: str) -> bool:
    """Whether a token of the row's scope may do what asks for this one; without a token a person is signed in."""
    return row is None or RANK[row.scope] >= RANK[scope]

"""Seals and opens the secrets of providers; the only file that sees one in clear.

Fernet (AES-128-CBC with HMAC-SHA256) from the cryptography package. The keys come from the environment
(``GATEWAY_SEALING_KEYS``, newest first): the first seals, all of them open, so that a new key can be put in
front, ``manage.py rotate_secrets`` run, and the old key taken away.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from routing.errors import SecretUnreadable

SHOWN_FROM_CHARS = 12
"""Shorter secrets show no last four characters: that would be too much of them."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A sealed secret as it is stored."""

    token: str
    last_four: str
    sealed_at: datetime


class OpenedSecret:
    """A secret in clear, which no log, page or traceback prints by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, to be put into a header."""
        return self._text

    @property
    def last_four(self) -> str:
        """What may be shown of it; empty for a short one."""
        return self._text[-4:] if len(self._text) >= SHOWN_FROM_CHARS else ""

    def __repr__(self) -> str:
        return "OpenedSecret(***)"


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _current_box() -> MultiFernet:
    return _box(tuple(settings.SEALING_KEYS))


def seal(secret: str) -> SealedSecret:
    """The secret, sealed with the newest key."""
    text = secret.strip()
    return SealedSecret(
        token=_current_box().encrypt(text.encode()).decode(),
        last_four=OpenedSecret(text).last_four,
        sealed_at=datetime.now(UTC),
    )


def open_sealed(token: str) -> OpenedSecret:
    """The secret in clear.

    Raises:
        SecretUnreadable: sealed with a key that is no longer in the list, or changed since.
    """
    try:
        return OpenedSecret(_current_box().decrypt(token.encode()).decode())
    except InvalidToken as error:
        raise SecretUnreadable(
            "The stored secret cannot be opened with the keys in GATEWAY_SEALING_KEYS. "
            "Put back the key it was sealed with, or enter the secret again."
        ) from error


def reseal(token: str) -> str:
    """The same secret, sealed with the newest key.

    Raises:
        SecretUnreadable: as ``open_sealed``.
    """
    try:
        return _current_box().rotate(token.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadable(
            "A stored secret was sealed with a key that is not in GATEWAY_SEALING_KEYS any more."
        ) from error

"""Accounting's branch of the error tree.

GatewayError
└── AccountingError
    ├── KeyMissing          the request names no key
    ├── KeyRefused          the key is unknown, mistyped, revoked or expired
    ├── JournalUnwritable   an attempt cannot be noted, so it is not made
    └── LedgerImmutable     somebody tried to change or delete a ledger row
"""

from conversion.errors import GatewayError


class AccountingError(GatewayError):
    """A request that may not be made, or cannot be booked."""


class KeyMissing(AccountingError):
    """The request names no key."""


class KeyRefused(AccountingError):
    """The key is unknown, mistyped, revoked or expired; the client is not told which of the first two."""


class JournalUnwritable(AccountingError):
    """An attempt cannot be noted in the journal, so it is not made."""

    may_retry = True


class LedgerImmutable(AccountingError):
    """Somebody tried to change or delete a ledger row."""

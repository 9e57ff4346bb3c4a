"""Accounting's branch of the error tree.

GatewayError
└── AccountingError
    ├── KeyMissing          the request names no key
    ├── KeyRefused          the key is unknown, mistyped, revoked or expired
    ├── RateLimited         a limit by the minute, or of requests under way, is reached
    │   └── BudgetReserved  what is left of a budget is held for requests under way
    ├── BudgetExceeded      a hard budget is spent
    ├── LimitsUnreadable    it is not known how limits and budgets stand
    ├── JournalUnwritable   an attempt cannot be noted, so it is not made
    ├── ArchiveRefused      usage records may not be archived so
    ├── ArchiveDamaged      a file of archived records is not what was written
    ├── BillUnreadable      a provider's bill is not understood
    ├── ParquetMissing      nothing here can read or write Parquet
    └── LedgerImmutable     somebody tried to change or delete a ledger row
"""

from typing import TYPE_CHECKING

from conversion.errors import GatewayError

if TYPE_CHECKING:
    from accounting.admission.values import Standing
    from accounting.snapshot import KeyPicture


class AccountingError(GatewayError):
    """A request that may not be made, or cannot be booked."""


class KeyMissing(AccountingError):
    """The request names no key."""


class KeyRefused(AccountingError):
    """The key is unknown, mistyped, revoked or expired; the client is not told which of the first two.

    ``key`` is the one that is known and may not be used.
    """

    key: "KeyPicture | None" = None


class RateLimited(AccountingError):
    """A limit by the minute, or of requests under way, is reached; ``standings`` are the limits by the minute."""

    may_retry = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        standings: "tuple[Standing, ...]" = (),
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.standings = standings


class BudgetReserved(RateLimited):
    """What is left of a budget is held for requests under way; some of it may come back."""


class BudgetExceeded(AccountingError):
    """A hard budget is spent, or has not as much left as the request may cost."""


class LimitsUnreadable(AccountingError):
    """It is not known how limits and budgets stand, so nothing is let in that they are about."""

    may_retry = True


class JournalUnwritable(AccountingError):
    """An attempt cannot be noted in the journal, so it is not made."""

    may_retry = True


class LedgerImmutable(AccountingError):
    """Somebody tried to change or delete a ledger row."""


class ArchiveRefused(AccountingError):
    """Usage records may not be archived so, for example because their month is not over."""


class ArchiveDamaged(AccountingError):
    """A file of archived usage records cannot be read, or is not what was written."""


class ParquetMissing(AccountingError):
    """Nothing here can read or write Parquet: the extra is not installed."""


class BillUnreadable(AccountingError):
    """A provider's bill is not understood; ``faults`` say which lines, and why."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults

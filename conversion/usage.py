"""Token counts in the one convention that the ledger, the prices and the reports share.

Cache-read and cache-write tokens are inside prompt; reasoning tokens are inside completion; what was not
reported is None, not 0.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

COUNT_MAX = 2**53 - 1
"""A larger figure counts no tokens. Every reader of JSON holds it exactly, and the sum of a few fits into 64 bits."""
AMOUNT_PLACES = range(-50, 10)
"""Where the first digit of an amount of USD may stand: written out, 1E-999999 would be a megabyte."""


class FinishReason(StrEnum):
    """Why an answer ended, in our words; the wire words stay in ``wire/``."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    PAUSE = "pause"
    ERROR = "error"


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one attempt as the upstream reported them, or as estimated where ``estimated`` says so.

    ``cache_write_1h_tokens`` is the part of ``cache_write_tokens`` that was written with a lifetime of one hour.
    ``cost_usd`` is the upstream's own figure, exact as it was written; None where it gives none.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: Decimal | None = None
    estimated: bool = False

    @property
    def uncached_prompt_tokens(self) -> int | None:
        """Prompt tokens that were neither read from nor written to a cache; never negative."""
        if self.prompt_tokens is None:
            return None
        cached = (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)
        return max(0, self.prompt_tokens - cached)


def is_amount(usd: Decimal) -> bool:
    """Whether what a provider tells as a cost can be one."""
    return usd.is_finite() and usd >= 0 and usd.adjusted() in AMOUNT_PLACES

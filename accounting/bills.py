"""The arithmetic behind one record's cost, line by line, so that a person can follow it to the last digit.

Knows how pricing works, but books nothing: what it works out is compared with what the ledger has booked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from accounting.models import Price, PriceTier, UsageRecord
from accounting.models.money import from_pico, to_pico
from accounting.pricing import MTOK, PriceTag, Rates, TierRates

RATE_FIELDS = {
    "prompt_usd_per_mtok": "",
    "cache_read_usd_per_mtok": "as prompt",
    "cache_write_5m_usd_per_mtok": "as prompt",
    "cache_write_1h_usd_per_mtok": "as for 5 minutes",
    "completion_usd_per_mtok": "",
    "reasoning_usd_per_mtok": "as completion",
}
"""The rates of a price, with what an empty one means."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """``count`` things at a rate. ``per`` is how many of them the rate is for; ``amount_usd`` has every digit."""

    label: str
    count: int
    rate_usd: Decimal
    per: int
    remark: str = ""

    @property
    def amount_usd(self) -> Decimal:
        """Count times rate."""
        return self.count * self.rate_usd / self.per


@dataclass(frozen=True, slots=True)
class Bill:
    """A price applied to the tokens of a record. ``above`` is the tier's length where one of the price's tiers was in force."""

    price: Price
    lines: tuple[BillLine, ...]
    booked_usd: Decimal
    above: int | None = None

    @property
    def exact_usd(self) -> Decimal:
        """The sum of the lines."""
        return sum((line.amount_usd for line in self.lines), Decimal(0))

    @property
    def rounded_usd(self) -> Decimal:
        """The sum as the ledger keeps it: 12 places, half to even."""
        return from_pico(to_pico(self.exact_usd))

    @property
    def is_rounded(self) -> bool:
        """Whether the sum has more digits than the ledger keeps."""
        return self.exact_usd != self.rounded_usd

    @property
    def agrees(self) -> bool:
        """Whether the price as it reads now gives what was booked."""
        return self.rounded_usd == self.booked_usd


def bill_of(record: UsageRecord, price: Price, tag: PriceTag) -> Bill | None:
    """The arithmetic of a record by a price and its tag; None where tokens or cost are not known."""
    if record.cost_usd is None or record.prompt_tokens is None or record.completion_tokens is None:
        return None
    rates = tag.rates_for(record.prompt_tokens)
    above = rates.prompt_tokens_above if isinstance(rates, TierRates) else None
    given = price if above is None else _tier_above(price, above)
    lines = (*_token_lines(record, rates, given), *_further_lines(record, tag))
    return Bill(price, tuple(line for line in lines if line.count), record.cost_usd, above)


def _tier_above(price: Price, above: int) -> PriceTier | Price:
    return next((tier for tier in price.tiers.all() if tier.prompt_tokens_above == above), price)


def _token_lines(record: UsageRecord, rates: Rates, given: Price | PriceTier) -> Iterator[BillLine]:
    """A line for each sort of token; counts as ``pricing.cost_of`` takes them apart."""
    read = record.cache_read_tokens or 0
    written_1h = record.cache_write_1h_tokens or 0
    written_5m = max(0, (record.cache_write_tokens or 0) - written_1h)
    reasoning = record.reasoning_tokens or 0
    uncached = max(0, (record.prompt_tokens or 0) - read - written_5m - written_1h)
    spoken = max(0, (record.completion_tokens or 0) - reasoning)
    counts = {
        "prompt_usd_per_mtok": ("prompt tokens, not cached", uncached),
        "cache_read_usd_per_mtok": ("tokens read from a cache", read),
        "cache_write_5m_usd_per_mtok": ("tokens written to a cache for 5 minutes", written_5m),
        "cache_write_1h_usd_per_mtok": ("tokens written to a cache for 1 hour", written_1h),
        "completion_usd_per_mtok": ("completion tokens, without reasoning", spoken),
        "reasoning_usd_per_mtok": ("reasoning tokens", reasoning),
    }
    for name, (label, count) in counts.items():
        remark = "" if getattr(given, name) is not None else RATE_FIELDS[name]
        yield BillLine(label, count, getattr(rates, name), MTOK, remark)


def _further_lines(record: UsageRecord, tag: PriceTag) -> Iterator[BillLine]:
    if tag.request_usd:
        yield BillLine("request", 1, tag.request_usd, 1)
    if tag.image_usd:
        yield BillLine("images in the prompt", record.prompt_images or 0, tag.image_usd, 1)


def tokens_in_parts(record: UsageRecord) -> list[tuple[str, int | None]]:
    """The token counts of a record as a page lists them; None where the provider did not tell."""
    written, written_1h = record.cache_write_tokens, record.cache_write_1h_tokens
    uncached = None
    if record.prompt_tokens is not None:
        uncached = max(0, record.prompt_tokens - (record.cache_read_tokens or 0) - (written or 0))
    return [
        ("Prompt", record.prompt_tokens),
        ("not cached", uncached),
        ("cache read", record.cache_read_tokens),
        (
            "cache write, 5 minutes",
            None if written is None else max(0, written - (written_1h or 0)),
        ),
        ("cache write, 1 hour", written_1h),
        ("Completion", record.completion_tokens),
        ("reasoning in it", record.reasoning_tokens),
        ("Images in the prompt", record.prompt_images),
    ]

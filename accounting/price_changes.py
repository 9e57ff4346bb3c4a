"""Compares prices that somebody tells with the price book, and books those that differ.

A price that is in the book is never changed: what differs becomes a further row, in force from its moment on. Figures
that were entered by hand are not replaced by those of a list, unless that is asked for.
"""

import bisect
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounting import snapshot
from accounting.audit import trail, watch
from accounting.models import Price, PriceTier

EXACT = Decimal("0.00000001")
FIGURE_MAX = Decimal(1_000_000)
TOKENS_MAX = 2**31 - 1
ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class RateFigures:
    """USD per million tokens, as the price book holds them: None where it leaves them empty."""

    prompt_usd_per_mtok: Decimal
    completion_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_5m_usd_per_mtok: Decimal | None = None
    cache_write_1h_usd_per_mtok: Decimal | None = None
    reasoning_usd_per_mtok: Decimal | None = None


RATES = tuple(entry.name for entry in fields(RateFigures))


@dataclass(frozen=True, slots=True)
class TierFigures(RateFigures):
    """The rates of requests with a longer prompt."""

    prompt_tokens_above: int = 0


@dataclass(frozen=True, slots=True)
class Figures(RateFigures):
    """All amounts of a price. ``tiers`` are in order, shortest prompts first."""

    request_usd: Decimal = Decimal(0)
    image_usd: Decimal = Decimal(0)
    tiers: tuple[TierFigures, ...] = ()

    def is_storable(self) -> bool:
        """Whether the price book has room for every amount."""
        sets: tuple[RateFigures, ...] = (self, *self.tiers)
        amounts = [getattr(rates, name) for rates in sets for name in RATES]
        amounts += [self.request_usd, self.image_usd]
        lengths = [tier.prompt_tokens_above for tier in self.tiers]
        return (
            all(amount is None or 0 <= amount < FIGURE_MAX for amount in amounts)
            and all(0 <= length <= TOKENS_MAX for length in lengths)
            and len(set(lengths)) == len(lengths)
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody tells of a model's price. Without a moment it is in force from now on."""

    provider: str
    model: str
    figures: Figures
    source: str
    valid_from_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price that would be booked. ``old`` is what was in force at its moment until now, None where nothing was."""

    provider: str
    model: str
    old: Figures | None
    new: Figures
    source: str
    valid_from_at: datetime | None = None


@dataclass(slots=True)
class Comparison:
    """What offers would change. ``kept``: entered by hand and different; ``taken``: another price has that moment."""

    changes: list[PriceChange] = field(default_factory=list)
    same: int = 0
    kept: list[Offer] = field(default_factory=list)
    taken: list[Offer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """A price of the book."""

    valid_from_at: datetime
    figures: Figures
    source: str


class Book:
    """The prices of some providers, with what would be booked among them."""

    def __init__(self, providers: Collection[str]) -> None:
        """Read the book. Two queries."""
        self._by_model: dict[tuple[str, str], list[Held]] = {}
        tiers: dict[int, list[TierFigures]] = {}
        rows = Price.objects.filter(provider__in=providers)
        for tier in PriceTier.objects.filter(price__in=rows).order_by("prompt_tokens_above"):
            tiers.setdefault(tier.price_id, []).append(
                TierFigures(
                    prompt_tokens_above=tier.prompt_tokens_above,
                    **{name: getattr(tier, name) for name in RATES},
                )
            )
        for row in rows.order_by("valid_from_at"):
            held = Held(row.valid_from_at, figures_in(row, tiers.get(row.pk, ())), row.source)
            self._by_model.setdefault((row.provider, row.upstream_model), []).append(held)

    def at(self, provider: str, model: str, moment: datetime) -> Held | None:
        """The price in force at a moment."""
        before = [
            held
            for held in self._by_model.get((provider, model), ())
            if held.valid_from_at <= moment
        ]
        return before[-1] if before else None

    def add(self, provider: str, model: str, held: Held) -> None:
        """Go on as if this were booked."""
        of_model = self._by_model.setdefault((provider, model), [])
        bisect.insort(of_model, held, key=lambda other: other.valid_from_at)

    def in_force(self, now: datetime) -> dict[tuple[str, str], Held]:
        """The price in force of each model, by provider and model."""
        found = {key: self.at(*key, now) for key in self._by_model}
        return {key: held for key, held in found.items() if held is not None}


def figures_in(row: Price, tiers: Sequence[TierFigures]) -> Figures:
    """The amounts of a row."""
    names = (entry.name for entry in fields(Figures) if entry.name != "tiers")
    return Figures(**{name: getattr(row, name) for name in names}, tiers=tuple(tiers))


def compare(
    offers: Iterable[Offer],
    *,
    now: datetime,
    replaceable: Collection[str] | None = None,
    book: Book | None = None,
) -> Comparison:
    """What the offers would change; those without a difference to what is in force change nothing.

    ``replaceable`` are the sources whose prices may be replaced; None allows all. Offers may be of any moment: each is
    compared with what is in force then, the offers before it included.
    """
    offers = sorted(offers, key=lambda offer: offer.valid_from_at or now)
    book = book or Book({offer.provider for offer in offers})
    found = Comparison()
    for offer in offers:
        moment = offer.valid_from_at or now
        held = book.at(offer.provider, offer.model, moment)
        if held is not None and held.figures == offer.figures:
            found.same += 1
        elif held is not None and held.valid_from_at == moment:
            found.taken.append(offer)
        elif held is not None and replaceable is not None and held.source not in replaceable:
            found.kept.append(offer)
        else:
            found.changes.append(_change(offer, held))
            book.add(offer.provider, offer.model, Held(moment, offer.figures, offer.source))
    return found


def _change(offer: Offer, held: Held | None) -> PriceChange:
    return PriceChange(
        offer.provider,
        offer.model,
        held.figures if held else None,
        offer.figures,
        offer.source,
        offer.valid_from_at,
    )


def book_changes(
    changes: Sequence[PriceChange],
    *,
    now: datetime,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Write the changes into the price book, all of them or none; how many there were."""
    if not changes:
        return 0
    with transaction.atomic():
        trail.take_turn()  # before a row is written that another import may write, too
        for start in range(0, len(changes), ROWS_AT_ONCE):
            some = changes[start : start + ROWS_AT_ONCE]
            _add_rows(some, now)
            progress(start + len(some), len(changes))
        snapshot.bump()
    return len(changes)


def _add_rows(changes: Sequence[PriceChange], now: datetime) -> None:
    rows = Price.objects.bulk_create([_row(change, now) for change in changes])
    watch.note_created(rows)
    tiers = PriceTier.objects.bulk_create(
        [
            PriceTier(price=row, **asdict(tier))
            for row, change in zip(rows, changes, strict=True)
            for tier in change.new.tiers
        ]
    )
    watch.note_created(tiers)


def _row(change: PriceChange, now: datetime) -> Price:
    amounts = asdict(change.new)
    del amounts["tiers"]
    return Price(
        provider=change.provider,
        upstream_model=change.model,
        valid_from_at=change.valid_from_at or now,
        source=change.source,
        **amounts,
    )

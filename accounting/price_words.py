"""How a price's change is told, the same in every command and on every page."""

from dataclasses import dataclass
from decimal import Decimal

from accounting.price_changes import Figures, RateFigures

RATE_WORDS = {
    "prompt_usd_per_mtok": "prompt",
    "completion_usd_per_mtok": "completion",
    "cache_read_usd_per_mtok": "cache read",
    "cache_write_5m_usd_per_mtok": "cache write",
    "cache_write_1h_usd_per_mtok": "cache write 1 h",
    "reasoning_usd_per_mtok": "reasoning",
}
UNIT_WORDS = {"request_usd": "per request", "image_usd": "per image"}


@dataclass(frozen=True, slots=True)
class FigureChange:
    """One amount that changes, as text; a dash where there is none."""

    name: str
    old: str
    new: str


def figure_changes(old: Figures | None, new: Figures) -> list[FigureChange]:
    """Every amount that differs, those of tiers with the length from which they hold."""
    found = _rate_changes(old, new, "")
    for name, word in UNIT_WORDS.items():
        before, after = getattr(old, name, None) or None, getattr(new, name) or None
        if before != after:
            found.append(FigureChange(word, amount(before), amount(after)))
    tiers_before = {tier.prompt_tokens_above: tier for tier in (old.tiers if old else ())}
    tiers_after = {tier.prompt_tokens_above: tier for tier in new.tiers}
    for length in sorted(tiers_before.keys() | tiers_after.keys()):
        word = f" above {length:,} tokens"
        found += _rate_changes(tiers_before.get(length), tiers_after.get(length), word)
    return found


def _rate_changes(old: RateFigures | None, new: RateFigures | None, end: str) -> list[FigureChange]:
    return [
        FigureChange(word + end, amount(before), amount(after))
        for name, word in RATE_WORDS.items()
        if (before := getattr(old, name, None)) != (after := getattr(new, name, None))
    ]


def amount(usd: Decimal | None) -> str:
    """An amount without the zeros that its column holds."""
    return "–" if usd is None else f"${usd.normalize():f}"


def sentence(old: Figures | None, new: Figures) -> str:
    """The changes in one line."""
    return ", ".join(
        f"{change.name} {change.new}"
        if change.old == "–"
        else f"{change.name} {change.old} → {change.new}"
        for change in figure_changes(old, new)
    )

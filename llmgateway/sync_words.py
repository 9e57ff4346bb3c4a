"""How a synchronisation is told, the same in the command and on the page."""

from dataclasses import dataclass, fields
from decimal import Decimal

from llmgateway.model_sync import Figures, PriceChange, Update
from routing.synchronisation import FactChange, Value, What

FACT_WORDS = {
    "context_window_tokens": "context window",
    "max_output_tokens": "most output",
    "takes_tools": "tools",
    "takes_images": "images",
    "can_reason": "thinking",
    "can_cache": "caching",
}
FIGURE_WORDS = {
    "prompt_usd_per_mtok": "prompt",
    "completion_usd_per_mtok": "completion",
    "cache_read_usd_per_mtok": "cache read",
    "cache_write_5m_usd_per_mtok": "cache write",
    "cache_write_1h_usd_per_mtok": "cache write 1 h",
    "reasoning_usd_per_mtok": "reasoning",
    "request_usd": "per request",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One value of a model that would change. ``old`` is a dash where there was none."""

    name: str
    old: str
    new: str
    source: str


def lines_of(update: Update) -> list[Line]:
    """Every value that an update would change, each once."""
    facts = [_fact_line(fact) for change in update.changes for fact in change.facts]
    prices = _price_lines(update.price) if update.price else []
    return list(dict.fromkeys([*facts, *prices]))


def _fact_line(fact: FactChange) -> Line:
    return Line(FACT_WORDS[fact.name], _word(fact.old), _word(fact.new), fact.source)


def _word(value: Value) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}"


def _price_lines(change: PriceChange) -> list[Line]:
    return [
        Line(f"{FIGURE_WORDS[name]} price", old, new, change.source)
        for entry in fields(Figures)
        if (name := entry.name) in FIGURE_WORDS
        and (old := _amount(getattr(change.old, name, None)))
        != (new := _amount(getattr(change.new, name)))
        and not (name == "request_usd" and change.old is None and not change.new.request_usd)
    ]


def _amount(amount: Decimal | None) -> str:
    return "–" if amount is None else f"${amount.normalize():f}"


def sentence(update: Update) -> str:
    """One line on an update."""
    if update.what is What.GONE:
        return f"gone     {update.model}  not in the provider's list"
    values = ", ".join(
        f"{line.name} {line.new}" if line.old == "–" else f"{line.name} {line.old} → {line.new}"
        for line in lines_of(update)
    )
    return f"{update.what:<8} {update.model}  {values}".rstrip()

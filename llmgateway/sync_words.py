"""How a synchronisation is told, the same in the command and on the page."""

from dataclasses import dataclass

from accounting.price_changes import PriceChange
from accounting.price_words import figure_changes
from llmgateway.model_sync import Update
from routing.synchronisation import FactChange, Value, What

FACT_WORDS = {
    "context_window_tokens": "context window",
    "max_output_tokens": "most output",
    "takes_tools": "tools",
    "takes_images": "images",
    "can_reason": "thinking",
    "can_cache": "caching",
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
        Line(f"{figure.name} price", figure.old, figure.new, change.source)
        for figure in figure_changes(change.old, change.new)
    ]


def sentence(update: Update) -> str:
    """One line on an update."""
    if update.what is What.GONE:
        return f"gone     {update.model}  not in the provider's list"
    values = ", ".join(
        f"{line.name} {line.new}" if line.old == "–" else f"{line.name} {line.old} → {line.new}"
        for line in lines_of(update)
    )
    return f"{update.what:<8} {update.model}  {values}".rstrip()

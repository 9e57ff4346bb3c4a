"""Charts as plain numbers for an SVG in a template: no script, nothing loaded from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

HEIGHT = 160
BAR_WIDTH = 14
GAP = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, in the chart's own units; ``label`` is what a pointer or a screen reader is told."""

    x: int
    y: int
    height: int
    label: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """A row of bars that share one scale."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    highest: Decimal


def bar_chart(values: Sequence[tuple[Decimal, str]]) -> BarChart:
    """Bars for (value, label) pairs; a value above zero is never thinner than a visible line."""
    highest = max((value for value, _label in values), default=Decimal(0))
    bars = []
    for number, (value, label) in enumerate(values):
        height = max(2, round(value / highest * HEIGHT)) if value > 0 else 0
        bars.append(
            Bar(x=number * (BAR_WIDTH + GAP), y=HEIGHT - height, height=height, label=label)
        )
    return BarChart(
        width=max(1, len(values) * (BAR_WIDTH + GAP)),
        height=HEIGHT,
        bars=tuple(bars),
        highest=highest,
    )

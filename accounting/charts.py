"""Charts as plain values: a script draws what a page tells it as JSON, and the table they come from stands beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from accounting.tables import Column, Row, Table

SERIES_MAX = 6
REST = "all others"


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one colour of the bars: a value for each label, None where there is none."""

    label: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars or lines over time. ``unit`` is a kind of column (usd, count, percent, ms) and says how values are shown."""

    name: str
    title: str
    unit: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    is_stacked: bool = False
    is_lines: bool = False
    note: str = ""

    @property
    def tree(self) -> dict[str, Any]:
        """What the script reads. Amounts are strings; only where a pixel is drawn they become binary fractions."""
        return {
            "title": self.title,
            "unit": self.unit,
            "stacked": self.is_stacked,
            "lines": self.is_lines,
            "labels": self.labels,
            "series": [
                {"label": series.label, "values": [_drawn(value) for value in series.values]}
                for series in self.series
            ],
        }

    @property
    def table(self) -> Table:
        """The same as a table, for readers who do not see the chart and for files."""
        kind = self.unit
        return Table(
            self.name,
            self.title,
            (
                Column("period", "Period (UTC)", "day"),
                *(
                    Column(f"{number}_{series.label}", series.label, kind)
                    for number, series in enumerate(self.series, start=1)
                ),
            ),
            tuple(
                Row((label, *(series.values[number] for series in self.series)))
                for number, label in enumerate(self.labels)
            ),
        )

    @property
    def id(self) -> str:
        """The id of the element that holds the data."""
        return f"chart-{self.name}"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for series in self.series for value in series.values)


def _drawn(value: Any) -> Any:
    return f"{value:f}" if isinstance(value, Decimal) else value


def stacked(
    parts: dict[str, dict[str, Any]], labels: Sequence[str], zero: Any
) -> tuple[Series, ...]:
    """Series from values by name and label: the largest names, then all others in one."""
    by_size = sorted(parts, key=lambda name: (-sum(parts[name].values(), zero), name))
    shown = by_size if len(by_size) <= SERIES_MAX else by_size[: SERIES_MAX - 1]
    series = [
        Series(name, tuple(parts[name].get(label, zero) for label in labels)) for name in shown
    ]
    rest = by_size[len(shown) :]
    if rest:
        values = tuple(
            sum((parts[name].get(label, zero) for name in rest), zero) for label in labels
        )
        series.append(Series(REST, values))
    return tuple(series)

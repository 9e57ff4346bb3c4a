"""The report pages as values: figures, charts and tables over daily sums, exact to the last digit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.urls import reverse

from accounting.charts import Chart, Series, stacked
from accounting.figures import figures_of
from accounting.principals import Principal
from accounting.report_query import (
    DIMENSIONS,
    DIRECT,
    LITELLM,
    LITELLM_KINDS,
    NONE,
    PATHS,
    Ask,
    Dimension,
    own_words,
    usage_of,
)
from accounting.sums import (
    ZERO_USD,
    Sums,
    added,
    key_names,
    ranked,
    sums_by,
    sums_of_dimension,
    top_sums,
    total_of,
)
from accounting.tables import Column, Figure, Row, Table, change

ROWS_MAX = 100
ROWS_ALL = 50_000
TOP_ROWS = 5


@dataclass(frozen=True, slots=True)
class Page:
    """All that one page shows, and what its files hold."""

    name: str
    title: str
    figures: tuple[Figure, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    is_empty: bool = False

    @property
    def all_tables(self) -> tuple[Table, ...]:
        """What is exported: the figures, what the charts draw, and the tables."""
        figures = Table(
            "figures",
            "Figures",
            (
                Column("figure", "Figure"),
                Column("value", "Value", "any"),
                Column("before", "Before", "any"),
            ),
            tuple(Row((figure.name, figure.value, figure.before)) for figure in self.figures),
        )
        return (
            *([figures] if self.figures else []),
            *(chart.table for chart in self.charts),
            *self.tables,
        )


MEASURES: tuple[tuple[Column, Callable[[Sums], Any]], ...] = (
    (Column("spend_usd", "Spend (USD)", "usd"), lambda sums: sums.priced_spend_usd),
    (Column("requests", "Requests", "count"), lambda sums: sums.requests),
    (Column("prompt_tokens", "Prompt (tokens)", "count"), lambda sums: sums.prompt_tokens),
    (
        Column("completion_tokens", "Completion (tokens)", "count"),
        lambda sums: sums.completion_tokens,
    ),
    (Column("cache_share", "From cache", "percent"), lambda sums: sums.cache_share),
    (Column("error_share", "Errors", "percent"), lambda sums: sums.error_share),
    (Column("ttft_ms", "TTFT, mean (ms)", "ms"), lambda sums: sums.ttft_ms),
    (Column("unpriced", "Unpriced (attempts)", "count"), lambda sums: sums.unpriced),
    (Column("adjusted_usd", "Of spend: adjustments (USD)", "usd"), lambda sums: sums.adjusted_usd),
)
CHANGE = Column("change", "Against before", "change")
UNPRICED_NOTE = (
    "Unpriced attempts have no price in the price book and no cost from their provider: no amount of money here includes"
    " them, none counts them as free."
)


def overview(ask: Ask, principal: Principal) -> Page:
    """GET /usage/: spend and tokens over time, and where they went. Four queries."""
    rows = usage_of(ask, principal)
    by_day_team = dict(sums_by(rows, "on", "team"))
    total = added(by_day_team.values())
    before = total_of(usage_of(ask.in_period(ask.period.before()), principal))
    names = key_names(rows)
    columns = ("team", "project", "key_id", "upstream_model")
    found = dict(sums_by(rows, *columns))
    tables = [
        top_table(DIMENSIONS[name], folded_by(found, columns, DIMENSIONS[name]), ask, names)
        for name in ("team", "project", "model", "key")
    ]
    by_step = {step: Sums() for step in ask.period.steps()}
    for (on, _team), sums in by_day_team.items():
        by_step[ask.period.step_of(on)] += sums
    return Page(
        "usage",
        "Overview",
        figures=_overview_figures(total, before),
        charts=(_spend_chart(ask, by_day_team), _token_chart(by_step)),
        tables=(*(table for table in tables if table.rows), _time_table(ask, by_step, total)),
        notes=(UNPRICED_NOTE,) if total.unpriced else (),
        is_empty=not total.attempts,
    )


def _overview_figures(total: Sums, before: Sums) -> tuple[Figure, ...]:
    return (
        Figure(
            "spend_usd",
            "Spend",
            total.priced_spend_usd,
            "usd",
            before.spend_usd,
            "bad",
        ),
        *figures_of(total, before, "requests", "tokens"),
        Figure(
            "usd_per_mtok",
            "Per million tokens",
            total.usd_per_mtok if total.priced_spend_usd is not None else None,
            "usd",
            before.usd_per_mtok,
            "bad",
        ),
        *figures_of(
            total, before, "cache_share", "cache_saved_usd", "error_share", "ttft_ms", "unpriced"
        ),
        Figure("adjusted_usd", "Of spend: adjustments", total.adjusted_usd, "usd"),
    )


def _spend_chart(ask: Ask, by_day_team: Mapping[tuple[Any, ...], Sums]) -> Chart:
    parts: dict[str, dict[str, Decimal]] = {}
    for (on, team), sums in by_day_team.items():
        part = parts.setdefault(team, {})
        step = ask.period.step_of(on)
        part[step] = part.get(step, ZERO_USD) + sums.spend_usd
    labels = tuple(ask.period.steps())
    return Chart(
        "spend",
        f"Spend per {_step(ask)} by team (USD)",
        "usd",
        labels,
        stacked(parts, labels, ZERO_USD),
        is_stacked=True,
    )


def _token_chart(by_step: Mapping[str, Sums]) -> Chart:
    parts: tuple[tuple[str, Callable[[Sums], int]], ...] = (
        ("prompt, not cached", lambda sums: max(0, sums.prompt_tokens - sums.cache_read_tokens)),
        ("prompt, from caches", lambda sums: sums.cache_read_tokens),
        ("completion", lambda sums: sums.completion_tokens),
    )
    return Chart(
        "tokens",
        "Tokens",
        "count",
        tuple(by_step),
        tuple(Series(label, tuple(map(read, by_step.values()))) for label, read in parts),
        is_stacked=True,
    )


def _step(ask: Ask) -> str:
    return "month" if ask.period.is_by_month else "day"


def _time_table(ask: Ask, by_step: Mapping[str, Sums], total: Sums) -> Table:
    """All steps with any usage, newest first."""
    label = "Month (UTC)" if ask.period.is_by_month else "Day (UTC)"
    rows = (Row((step, *_measured(sums))) for step, sums in by_step.items() if sums.attempts)
    return Table(
        "time",
        f"By {_step(ask)}",
        (Column(_step(ask), label, "day"), *(column for column, _read in MEASURES)),
        tuple(rows)[::-1],
        Row(("Total", *_measured(total))),
    )


def _measured(sums: Sums) -> tuple[Any, ...]:
    return tuple(read(sums) for _column, read in MEASURES)


def folded_by(
    found: Mapping[tuple[Any, ...], Sums], columns: tuple[str, ...], dimension: Dimension
) -> dict[tuple[Any, ...], Sums]:
    """Sums by several columns, as sums of a dimension whose columns are among these."""
    places = [columns.index(column) for column in dimension.columns]
    folded: dict[tuple[Any, ...], list[Sums]] = {}
    for values, sums in found.items():
        folded.setdefault(tuple(values[place] for place in places), []).append(sums)
    return {values: added(parts) for values, parts in folded.items()}


def shown_name(dimension: Dimension, values: tuple[Any, ...], names: Mapping[int, str]) -> str:
    """A row's name as people read it."""
    if dimension.name == "key":
        return f"{values[0]}/{names.get(values[1], values[1])}"
    return "/".join(str(value) or NONE for value in values)


def top_table(
    dimension: Dimension,
    found: Mapping[tuple[Any, ...], Sums],
    ask: Ask,
    names: Mapping[int, str] | None = None,
) -> Table:
    """The dearest few of a dimension; the rest in one line, so that the table adds up."""
    lines = ranked(found)
    total = added(found.values())
    rows = [
        _top_row(dimension, values, sums, total, ask, names or {})
        for values, sums in lines[:TOP_ROWS]
    ]
    if len(lines) > TOP_ROWS:
        rest = added(sums for _values, sums in lines[TOP_ROWS:])
        rows.append(Row((f"{len(lines) - TOP_ROWS} others", *_top_values(rest, total))))
    return Table(
        dimension.name,
        f"By {lower(dimension.label)}",
        (
            Column(dimension.name, dimension.label),
            Column("spend_usd", "Spend (USD)", "usd"),
            Column("spend_share", "Share", "percent"),
            Column("requests", "Requests", "count"),
        ),
        tuple(rows),
        more=reverse("accounting:breakdown", args=[dimension.name]) + ask.query(),
    )


def _top_row(
    dimension: Dimension,
    values: tuple[Any, ...],
    sums: Sums,
    total: Sums,
    ask: Ask,
    names: Mapping[int, str],
) -> Row:
    address = reverse("accounting:usage") + ask.query(**own_words(dimension, values))
    return Row((shown_name(dimension, values, names), *_top_values(sums, total)), address)


def _top_values(sums: Sums, total: Sums) -> tuple[Any, ...]:
    return sums.priced_spend_usd, share(sums.spend_usd, total.spend_usd), sums.requests


def share(part: Decimal, whole: Decimal) -> float | None:
    """A part of an amount as a share of one."""
    return float(part / whole) if whole else None


def breakdown(
    ask: Ask, principal: Principal, dimension: Dimension, *, with_all: bool = False
) -> Page:
    """GET /usage/by/<dimension>/: its words with their sums, and against the period before. At most six queries."""
    rows, rows_before = (
        usage_of(asked, principal) for asked in (ask, ask.in_period(ask.period.before()))
    )
    found = top_sums(rows, dimension, count=ROWS_ALL if with_all else ROWS_MAX)
    before = sums_of_dimension(found.narrowed(rows_before), dimension)
    total, total_before = total_of(rows), total_of(rows_before)
    names = key_names(rows) if dimension.name == "key" else {}
    table_rows = [
        Row(
            (shown_name(dimension, values, names), *_compared(sums, before.get(values))),
            reverse("accounting:usage") + ask.query(**own_words(dimension, values)),
        )
        for values, sums in found.lines
    ]
    if found.others:
        rest = total - added(sums for _values, sums in found.lines)
        table_rows.append(Row((f"{found.others} others", *_compared(rest, None))))
    note = "A request with several tags counts for each of them; the total counts it once."
    first, *others = (column for column, _read in MEASURES)
    table = Table(
        dimension.name,
        f"By {lower(dimension.label)}",
        (Column(dimension.name, dimension.label), first, CHANGE, *others),
        tuple(table_rows),
        Row(("Total", *_compared(total, total_before))),
        note=note if dimension.name == "tag" else "",
        more="all" if found.others else "",
    )
    return Page(
        "breakdown",
        f"By {lower(dimension.label)}",
        charts=(_ranking_chart(dimension, found.lines, names),),
        tables=(table,),
        notes=(UNPRICED_NOTE,) if total.unpriced else (),
        is_empty=not total.attempts,
    )


def lower(label: str) -> str:
    """A label inside a heading."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _compared(sums: Sums, before: Sums | None) -> tuple[Any, ...]:
    first, *others = _measured(sums)
    return first, change(sums.spend_usd, before.spend_usd) if before else None, *others


def _ranking_chart(
    dimension: Dimension,
    lines: Sequence[tuple[tuple[Any, ...], Sums]],
    names: Mapping[int, str],
) -> Chart:
    has_spend = any(sums.spend_usd for _values, sums in lines)
    top = lines[:12]
    values = tuple(sums.spend_usd if has_spend else sums.tokens for _values, sums in top)
    label = "Spend" if has_spend else "Tokens"
    return Chart(
        "ranking",
        f"{label} by {lower(dimension.label)}" + (" (USD)" if has_spend else ""),
        "usd" if has_spend else "count",
        tuple(shown_name(dimension, values, names) for values, _sums in top),
        (Series(label, values),),
    )


def caching(ask: Ask, principal: Principal) -> Page:
    """GET /usage/caching/: what was read from caches and what that saved. Four queries."""
    rows = usage_of(ask, principal)
    by_step = {step: Sums() for step in ask.period.steps()}
    for (on,), sums in sums_by(rows, "on"):
        by_step[ask.period.step_of(on)] += sums
    total = added(by_step.values())
    before = total_of(usage_of(ask.in_period(ask.period.before()), principal))
    labels = tuple(by_step)
    return Page(
        "caching",
        "Caching",
        figures=figures_of(
            total,
            before,
            "cache_share",
            "cache_saved_usd",
            "cache_read_tokens",
            "cache_write_tokens",
        ),
        charts=(
            Chart(
                "hit-rate",
                "Prompt from caches",
                "percent",
                labels,
                (Series("from caches", tuple(sums.cache_share for sums in by_step.values())),),
                is_lines=True,
            ),
            Chart(
                "saved",
                f"Saved per {_step(ask)} (USD)",
                "usd",
                labels,
                (Series("saved", tuple(sums.cache_saved_usd for sums in by_step.values())),),
            ),
        ),
        tables=tuple(
            _cache_table(DIMENSIONS[name], sums_of_dimension(rows, DIMENSIONS[name]), ask)
            for name in ("model", "project")
        ),
        notes=(
            "Saved is what prompts would have cost more at the full price of the price book, less what writing to caches cost"
            " more; below zero, caches cost more than they saved. Where the price book knows no price, nothing counts as saved.",
        ),
        is_empty=not total.attempts,
    )


CACHE_MEASURES: tuple[tuple[Column, Callable[[Sums], Any]], ...] = (
    (Column("cache_share", "From cache", "percent"), lambda sums: sums.cache_share),
    (Column("cache_saved_usd", "Saved (USD)", "usd"), lambda sums: sums.cache_saved_usd),
    (Column("prompt_tokens", "Prompt (tokens)", "count"), lambda sums: sums.prompt_tokens),
    (Column("cache_read_tokens", "Read (tokens)", "count"), lambda sums: sums.cache_read_tokens),
    (
        Column("cache_write_tokens", "Written (tokens)", "count"),
        lambda sums: sums.cache_write_tokens,
    ),
    (Column("spend_usd", "Spend (USD)", "usd"), lambda sums: sums.priced_spend_usd),
)


def _cache_table(dimension: Dimension, found: Mapping[tuple[Any, ...], Sums], ask: Ask) -> Table:
    lines = sorted(ranked(found), key=lambda pair: -pair[1].prompt_tokens)
    shown = [
        Row(
            (shown_name(dimension, values, {}), *(read(sums) for _column, read in CACHE_MEASURES)),
            reverse("accounting:caching") + ask.query(**own_words(dimension, values)),
        )
        for values, sums in lines[:ROWS_MAX]
    ]
    if rest := lines[ROWS_MAX:]:
        sums = added(sums for _values, sums in rest)
        shown.append(
            Row((f"{len(rest)} others", *(read(sums) for _column, read in CACHE_MEASURES)))
        )
    total = added(found.values())
    return Table(
        dimension.name,
        f"By {lower(dimension.label)}",
        (Column(dimension.name, dimension.label), *(column for column, _read in CACHE_MEASURES)),
        tuple(shown),
        Row(("Total", *(read(total) for _column, read in CACHE_MEASURES))),
    )


def path_of(kind: str) -> str:
    """Which path a provider kind is: through LiteLLM or direct."""
    return LITELLM if kind in LITELLM_KINDS else DIRECT


def by_path(found: Mapping[tuple[Any, ...], Sums]) -> dict[str, Sums]:
    """The sums of both paths from those by provider kind; both are there, used or not."""
    paths = {LITELLM: Sums(), DIRECT: Sums()}
    for (kind,), sums in found.items():
        paths[path_of(kind)] += sums
    return {PATHS[name]: sums for name, sums in paths.items()}

"""The pages on speed and errors, and on LiteLLM's path against the direct one."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from accounting.charts import Chart, Series
from accounting.figures import figures_of
from accounting.latencies import DURATION, ROWS_MAX, TTFT, Latencies, latencies_of, percentiles
from accounting.principals import Principal
from accounting.report_query import (
    DIMENSIONS,
    DIRECT,
    LITELLM,
    PATHS,
    Ask,
    Dimension,
    own_words,
    usage_of,
)
from accounting.reports import Page, by_path, lower, path_of, share, shown_name
from accounting.sums import Sums, added, ranked, sums_by, total_of
from accounting.tables import Column, Figure, Row, Table, change

KINDS = {"kind": 2, "provider": 3, "model": 4}
"""Where a dimension stands in a place."""
LATENCY_COLUMNS = tuple(
    Column(f"{measure}_p{number}_ms", f"{label} p{number} (ms)", "ms")
    for measure, label in (("ttft", "TTFT"), ("duration", "Duration"))
    for number in (50, 90, 99)
)
COUNT_COLUMNS = (
    Column("attempts", "Attempts", "count"),
    Column("error_share", "Errors", "percent"),
    Column("fallback_share", "Retries and fallbacks", "percent"),
)
DAYS_NOTE = (
    "p50, p90 and p99: half, nine tenths and all but a hundredth of the attempts were faster. TTFT runs from the request's"
    " acceptance to the first content sent, duration from an attempt's begin to its end. Read from counts by bucket: at most"
    " 5 % off, whatever the period."
)


def performance(ask: Ask, principal: Principal) -> Page:
    """GET /usage/performance/: errors, fallbacks, and percentiles of what people waited for. Three queries."""
    rows = usage_of(ask, principal)
    found = dict(sums_by(rows, "on", "provider", "upstream_model"))
    total = added(found.values())
    before = total_of(usage_of(ask.in_period(ask.period.before()), principal))
    latencies = latencies_of(ask, principal, attempts=total.attempts)
    ttft = percentiles(latencies.folded(TTFT).get(()))
    duration = percentiles(latencies.folded(DURATION).get(()))
    return Page(
        "performance",
        "Performance",
        figures=(
            *(
                Figure(f"{name}_p{number}_ms", f"{label} p{number}", value, "ms")
                for name, label, values in (
                    ("ttft", "TTFT", ttft),
                    ("duration", "Duration", duration),
                )
                for number, value in zip((50, 90, 99), values, strict=True)
            ),
            *figures_of(total, before, "error_share", "fallback_share"),
        ),
        charts=_charts(ask, found, latencies),
        tables=tuple(
            _latency_table(DIMENSIONS[name], _folded(found, column), latencies, ask)
            for name, column in (("provider", 1), ("model", 2))
        ),
        notes=_notes(latencies),
        is_empty=not total.attempts,
    )


def _notes(latencies: Latencies) -> tuple[str, ...]:
    if not latencies.is_kept:
        return (
            "Percentiles are kept by team, project, key, member, provider, provider kind and model. For what this page is"
            f" narrowed to they would have to be counted from more than {ROWS_MAX:,} rows: choose fewer days.",
        )
    if latencies.is_from_rows:
        return (
            DAYS_NOTE,
            "Counted from the rows of the ledger, because the daily counts do not tell apart what this page is narrowed to.",
        )
    return (DAYS_NOTE,)


def _folded(found: Mapping[tuple[Any, ...], Sums], column: int) -> dict[tuple[Any, ...], Sums]:
    folded: dict[tuple[Any, ...], Sums] = {}
    for values, sums in found.items():
        name = (values[column],)
        folded[name] = folded.get(name, Sums()) + sums
    return folded


def _charts(
    ask: Ask, found: Mapping[tuple[Any, ...], Sums], latencies: Latencies
) -> tuple[Chart, ...]:
    labels = tuple(ask.period.steps())
    by_step = {step: Sums() for step in labels}
    for (on, *_words), sums in found.items():
        by_step[ask.period.step_of(on)] += sums
    rates = Chart(
        "rates",
        "Errors, and retries and fallbacks (share of attempts)",
        "percent",
        labels,
        (
            Series("errors", tuple(sums.error_share for sums in by_step.values())),
            Series(
                "retries and fallbacks", tuple(sums.fallback_share for sums in by_step.values())
            ),
        ),
        is_lines=True,
    )
    if not latencies.is_kept:
        return (rates,)
    return (
        _percentile_chart("ttft", "TTFT (ms)", TTFT, ask, latencies),
        _percentile_chart("duration", "Duration (ms)", DURATION, ask, latencies),
        rates,
    )


def _percentile_chart(name: str, title: str, measure: str, ask: Ask, latencies: Latencies) -> Chart:
    by_step: dict[str, Counter[int]] = {step: Counter() for step in ask.period.steps()}
    for (on,), counts in latencies.folded(measure, 0).items():
        by_step[ask.period.step_of(on)].update(counts)
    values = [percentiles(counts) for counts in by_step.values()]
    return Chart(
        name,
        title,
        "ms",
        tuple(by_step),
        tuple(
            Series(label, tuple(row[number] for row in values))
            for number, label in enumerate(("p50", "p90", "p99"))
        ),
        is_lines=True,
    )


def _latency_table(
    dimension: Dimension,
    found: Mapping[tuple[Any, ...], Sums],
    latencies: Latencies,
    ask: Ask,
) -> Table:
    column = KINDS[dimension.name]
    ttft, duration = (latencies.folded(measure, column) for measure in (TTFT, DURATION))
    lines = sorted(ranked(found), key=lambda pair: -pair[1].attempts)
    total = added(found.values())
    return Table(
        dimension.name,
        f"By {lower(dimension.label)}",
        (Column(dimension.name, dimension.label), *COUNT_COLUMNS, *LATENCY_COLUMNS),
        tuple(
            Row(
                (
                    shown_name(dimension, values, {}),
                    *_counts(sums),
                    *percentiles(ttft.get(values)),
                    *percentiles(duration.get(values)),
                ),
                reverse("accounting:performance") + ask.query(**own_words(dimension, values)),
            )
            for values, sums in lines
        ),
        Row(
            (
                "All",
                *_counts(total),
                *percentiles(latencies.folded(TTFT).get(())),
                *percentiles(latencies.folded(DURATION).get(())),
            )
        ),
    )


def _counts(sums: Sums) -> tuple[Any, ...]:
    return sums.attempts, sums.error_share, sums.fallback_share


def paths(ask: Ask, principal: Principal) -> Page:
    """GET /usage/paths/: LiteLLM's path against the direct one, with what each costs and how long it takes. Three queries."""
    rows = usage_of(ask, principal)
    found = dict(sums_by(rows, "on", "provider_kind"))
    by_kind = _folded(found, 1)
    total = added(by_kind.values())
    before = by_path(
        dict(sums_by(usage_of(ask.in_period(ask.period.before()), principal), "provider_kind"))
    )
    latencies = latencies_of(ask, principal, attempts=total.attempts)
    both = by_path(by_kind)
    labels = tuple(ask.period.steps())
    parts = {label: dict.fromkeys(labels, 0) for label in both}
    for (on, kind), sums in found.items():
        parts[PATHS[path_of(kind)]][ask.period.step_of(on)] += sums.attempts
    return Page(
        "paths",
        "Paths: LiteLLM and direct",
        charts=(
            Chart(
                "attempts",
                "Attempts by path",
                "count",
                labels,
                tuple(Series(label, tuple(part.values())) for label, part in parts.items()),
                is_stacked=True,
            ),
            _path_chart(ask, latencies),
        ),
        tables=(
            _path_table(both, before, total, latencies, ask),
            _latency_table(DIMENSIONS["kind"], by_kind, latencies, ask),
        ),
        notes=(
            "Through LiteLLM are attempts at a LiteLLM proxy or at its package in this process; direct are all others."
            " The feature flag bypass_litellm decides which comes first, litellm_fallback whether LiteLLM is what is fallen back to.",
            *_notes(latencies),
        ),
        is_empty=not total.attempts,
    )


def _latency_by_path(latencies: Latencies, measure: str) -> dict[str, Counter[int]]:
    folded = {label: Counter[int]() for label in PATHS.values()}
    for (kind,), counts in latencies.folded(measure, KINDS["kind"]).items():
        folded[PATHS[path_of(kind)]].update(counts)
    return folded


def _path_chart(ask: Ask, latencies: Latencies) -> Chart:
    labels = tuple(ask.period.steps())
    found = {label: {step: Counter[int]() for step in labels} for label in PATHS.values()}
    for (on, kind), counts in latencies.folded(TTFT, 0, KINDS["kind"]).items():
        found[PATHS[path_of(kind)]][ask.period.step_of(on)].update(counts)
    return Chart(
        "ttft",
        "TTFT, median by path (ms)",
        "ms",
        labels,
        tuple(
            Series(label, tuple(percentiles(counts)[0] for counts in steps.values()))
            for label, steps in found.items()
        ),
        is_lines=True,
    )


def _path_table(
    both: Mapping[str, Sums],
    before: Mapping[str, Sums],
    total: Sums,
    latencies: Latencies,
    ask: Ask,
) -> Table:
    ttft = _latency_by_path(latencies, TTFT)
    names = {PATHS[name]: name for name in (LITELLM, DIRECT)}
    return Table(
        "path",
        "By path",
        (
            Column("path", "Path"),
            Column("spend_usd", "Spend (USD)", "usd"),
            Column("spend_share", "Share", "percent"),
            Column("change", "Against before", "change"),
            Column("usd_per_mtok", "Per million tokens (USD)", "usd"),
            *COUNT_COLUMNS,
            *LATENCY_COLUMNS[:3],
            Column("unpriced", "Unpriced (attempts)", "count"),
        ),
        tuple(
            Row(
                (
                    label,
                    sums.priced_spend_usd,
                    share(sums.spend_usd, total.spend_usd),
                    change(sums.spend_usd, before[label].spend_usd),
                    sums.usd_per_mtok,
                    *_counts(sums),
                    *percentiles(ttft[label]),
                    sums.unpriced,
                ),
                reverse("accounting:paths") + ask.query(path=names[label]),
            )
            for label, sums in both.items()
        ),
    )

"""What the process tells Prometheus: requests, attempts, times, tokens and cost by path, and what is under way.

Counted by the ledger's writing thread and the teller's, in batches, so that no request waits for it. Several workers of one machine keep
their figures in files beside each other (``PROMETHEUS_MULTIPROC_DIR``, set by ``manage.py serve``), and whichever is
asked tells the sums; each machine is asked by itself.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Literal

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from accounting.entries import Entry
from accounting.journal import Depth
from conversion.dialects import WORDS
from llmgateway.outcomes import Outcome
from routing import snapshot
from routing.live import Live
from routing.providers import KINDS
from routing.upstream.turns import TurnBook

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
PATH_LABELS = ("provider", "kind", "path")

registry = CollectorRegistry()
requests_total = Counter(
    "llmgateway_requests",
    "Client requests, by how they ended and the class of what the client was told went wrong.",
    ("dialect", "outcome", "error"),
    registry=registry,
)
request_seconds = Histogram(
    "llmgateway_request_duration_seconds",
    "From the client's request, before its body is read, to the end of its answer.",
    ("endpoint", "outcome"),
    buckets=SECONDS,
    registry=registry,
)
attempts_total = Counter(
    "llmgateway_attempts",
    "Upstream calls, by how they ended and what failed ones failed with.",
    (*PATH_LABELS, "status", "error"),
    registry=registry,
)
fallbacks_total = Counter(
    "llmgateway_fallbacks",
    "Upstream calls that followed a failed one, by what that failed with.",
    (*PATH_LABELS, "after_error"),
    registry=registry,
)
duration_seconds = Histogram(
    "llmgateway_attempt_duration_seconds",
    "From the call's begin to its end.",
    PATH_LABELS,
    buckets=SECONDS,
    registry=registry,
)
ttft_seconds = Histogram(
    "llmgateway_ttft_seconds",
    "From the client's request to the first byte of content of a streamed answer.",
    PATH_LABELS,
    buckets=SECONDS,
    registry=registry,
)
tokens_total = Counter(
    "llmgateway_tokens",
    "Tokens as booked. Cache-read and cache-write are inside prompt, reasoning is inside completion.",
    ("provider", "type"),
    registry=registry,
)
cost_usd_total = Counter(
    "llmgateway_cost_usd",
    "Cost of priced attempts in USD.",
    ("provider", "path"),
    registry=registry,
)
unpriced_total = Counter(
    "llmgateway_unpriced_attempts",
    "Succeeded attempts without a price.",
    ("provider",),
    registry=registry,
)
refused_total = Counter(
    "llmgateway_refused_requests",
    "Requests whose client was told of an error, by its class."
    " The same as llmgateway_requests_total where error is not empty.",
    ("dialect", "error"),
    registry=registry,
)


OfAll = Literal["livesum", "livemin", "livemax"]


def _gauge(name: str, sentence: str, labels: tuple[str, ...] = (), *, of_all: OfAll) -> Gauge:
    """``of_all``: what of several workers' values is told."""
    return Gauge(name, sentence, labels, registry=registry, multiprocess_mode=of_all)


under_way = _gauge(
    "llmgateway_requests_under_way",
    "Client requests that are being answered, by all workers of the machine.",
    of_all="livesum",
)
open_streams = _gauge(
    "llmgateway_open_streams",
    "Those of them that are answered by a stream, also one that has yet to begin.",
    of_all="livesum",
)
running = _gauge(
    "llmgateway_provider_requests_running",
    "Requests under way at providers with a limit.",
    ("provider",),
    of_all="livesum",
)
waiting = _gauge(
    "llmgateway_provider_requests_waiting",
    "Requests that wait for a turn.",
    ("provider",),
    of_all="livesum",
)
cooling = _gauge(
    "llmgateway_deployments_in_cooldown", "Deployments that are skipped now.", of_all="livemax"
)
records_waiting = _gauge(
    "llmgateway_usage_records_waiting",
    "Usage records that are not in the database yet.",
    of_all="livesum",
)
journal_under_way = _gauge(
    "llmgateway_journal_attempts_under_way",
    "Attempts that the journal has noted and that are not over.",
    of_all="livesum",
)
journal_segments = _gauge(
    "llmgateway_journal_segments", "Files of the journal, of 8 MiB each.", of_all="livesum"
)
journal_bytes = _gauge(
    "llmgateway_journal_bytes", "Bytes that are written in them.", of_all="livesum"
)
logs_dropped = _gauge(
    "llmgateway_request_logs_dropped",
    "Request logs that were given up because too many waited.",
    of_all="livesum",
)
snapshot_number = _gauge(
    "llmgateway_snapshot_number",
    "Number of the configuration in force; of several workers the oldest.",
    of_all="livemin",
)
limits_apart = _gauge(
    "llmgateway_redis_away",
    "1 while limits are not counted together because Redis cannot be reached.",
    of_all="livemax",
)


def observe(entries: Sequence[Entry]) -> None:
    """Count attempts that have been booked. Sums of a batch are counted once: a look-up of labels costs microseconds."""
    alike: defaultdict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        alike[
            entry.provider, entry.provider_kind, entry.status, entry.error, entry.after_error
        ].append(entry)
    for (provider, kind, status, error, after_error), group in alike.items():
        labels = (provider, kind, path_of(kind))
        attempts_total.labels(*labels, status, error).inc(len(group))
        if after_error:
            fallbacks_total.labels(*labels, after_error).inc(len(group))
        _observe_alike(labels, status, group)


def _observe_alike(labels: tuple[str, str, str], status: str, group: Sequence[Entry]) -> None:
    provider, _kind, path = labels
    cost_usd, unpriced = 0.0, 0
    for entry in group:
        if entry.duration_ms is not None:
            _child(duration_seconds, labels).observe(entry.duration_ms / 1000)
        if entry.ttft_ms is not None:
            _child(ttft_seconds, labels).observe(entry.ttft_ms / 1000)
        if entry.cost_usd is not None:
            # Prometheus counts in binary fractions; exact sums are in the reports.
            cost_usd += float(entry.cost_usd)
        else:
            unpriced += 1
    for kind, read in TOKENS.items():
        if count := sum(filter(None, map(read, group))):
            tokens_total.labels(provider, kind).inc(count)
    if unpriced < len(group):
        cost_usd_total.labels(provider, path).inc(cost_usd)
    if unpriced and status == "succeeded":
        unpriced_total.labels(provider).inc(unpriced)


def observe_requests(outcomes: Sequence[Outcome]) -> None:
    """Count client requests that are over, as above."""
    counts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for outcome in outcomes:
        word = outcome.word
        counts[WORDS[outcome.dialect], word, outcome.error] += 1
        endpoint = outcome.endpoint or "other"
        _child(request_seconds, (endpoint, word)).observe(outcome.ended_s - outcome.began_s)
    for (dialect, word, error), amount in counts.items():
        requests_total.labels(dialect, word, error).inc(amount)
        if error:
            refused_total.labels(dialect, error).inc(amount)


TOKENS = {
    kind: attrgetter(f"{kind}_tokens")
    for kind in ("prompt", "completion", "cache_read", "cache_write", "reasoning")
}
"""What sorts of tokens are told, and where an entry has each."""


@cache
def _child(histogram: Histogram, labels: tuple[str, ...]) -> Histogram:
    child: Histogram = histogram.labels(*labels)
    return child


def path_of(kind: str) -> str:
    """``litellm`` where LiteLLM stands in between, else ``direct``."""
    known = KINDS.get(kind)
    return "litellm" if known and known.is_litellm else "direct"


def note_state(
    turns: TurnBook,
    live: Live,
    *,
    requests: int,
    streams: int,
    journal: Depth,
    dropped: int,
    is_redis_away: bool,
    now_s: float,
) -> None:
    """Note what this process holds now.

    ``requests`` are those under way, ``streams`` those of them that are streamed, ``dropped`` the request logs that
    were given up.
    """
    held = snapshot.in_force()
    slugs = {provider.pk: provider.slug for provider in held.providers.values()} if held else {}
    for pk, (taken, queued) in turns.state().items():
        running.labels(slugs.get(pk, str(pk))).set(taken)
        waiting.labels(slugs.get(pk, str(pk))).set(queued)
    left = live.cooldowns.state(now_s).values()
    cooling.set(sum(seconds > 0 for seconds, _failures, _reason in left))
    under_way.set(requests)
    open_streams.set(streams)
    records_waiting.set(journal.waiting)
    journal_under_way.set(journal.under_way)
    journal_segments.set(journal.segments)
    journal_bytes.set(journal.bytes)
    logs_dropped.set(dropped)
    snapshot_number.set(held.number if held else -1)
    limits_apart.set(is_redis_away)


def page() -> bytes:
    """All figures in Prometheus' text format: of this process, or of all workers of this machine."""
    if not settings.METRICS_DIR:
        return generate_latest(registry)
    for pid in _pids_told():
        if not _is_alive(pid):
            mark_process_dead(pid, settings.METRICS_DIR)  # type: ignore[no-untyped-call]
    together = CollectorRegistry()
    MultiProcessCollector(together, settings.METRICS_DIR)  # type: ignore[no-untyped-call]
    return generate_latest(together)


def _pids_told() -> set[int]:
    """The processes whose live figures are told: their files are named ``gauge_<mode>_<pid>.db``."""
    names = (path.stem.rpartition("_")[2] for path in Path(settings.METRICS_DIR).glob("gauge_*.db"))
    return {int(name) for name in names if name.isdigit()}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""What the process tells Prometheus: attempts, times, tokens and cost by path, and what is under way.

Counted by the ledger's writing thread, in batches, so that no request waits for it. Each process tells its own figures.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from accounting.ledger import Entry
from routing import snapshot
from routing.live import Live
from routing.providers import KINDS
from routing.upstream.turns import TurnBook

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
PATH_LABELS = ("provider", "kind", "path")

registry = CollectorRegistry()
attempts_total = Counter(
    "llmgateway_attempts",
    "Upstream calls, by how they ended.",
    (*PATH_LABELS, "status"),
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
running = Gauge(
    "llmgateway_provider_requests_running",
    "Requests under way at providers with a limit.",
    ("provider",),
    registry=registry,
)
waiting = Gauge(
    "llmgateway_provider_requests_waiting",
    "Requests that wait for a turn.",
    ("provider",),
    registry=registry,
)
cooling = Gauge(
    "llmgateway_deployments_in_cooldown", "Deployments that are skipped now.", registry=registry
)
records_waiting = Gauge(
    "llmgateway_usage_records_waiting",
    "Usage records that are not in the database yet.",
    registry=registry,
)
logs_dropped = Gauge(
    "llmgateway_request_logs_dropped",
    "Request logs that were given up because too many waited.",
    registry=registry,
)
snapshot_number = Gauge(
    "llmgateway_snapshot_number", "Number of the configuration in force.", registry=registry
)


def observe(entries: Sequence[Entry]) -> None:
    """Count attempts that have been booked. Sums of a batch are counted once: a look-up of labels costs microseconds."""
    counts: defaultdict[tuple[Counter, tuple[str, ...]], float] = defaultdict(float)
    for entry in entries:
        labels = (entry.provider, entry.provider_kind, path_of(entry.provider_kind))
        counts[attempts_total, (*labels, entry.status)] += 1
        if entry.after_error:
            counts[fallbacks_total, (*labels, entry.after_error)] += 1
        if entry.duration_ms is not None:
            _child(duration_seconds, labels).observe(entry.duration_ms / 1000)
        if entry.ttft_ms is not None:
            _child(ttft_seconds, labels).observe(entry.ttft_ms / 1000)
        for kind, tokens in _tokens(entry):
            if tokens:
                counts[tokens_total, (entry.provider, kind)] += tokens
        if entry.cost_usd is not None:
            # Prometheus counts in binary fractions; exact sums are in the reports.
            counts[cost_usd_total, (entry.provider, labels[2])] += float(entry.cost_usd)
        elif entry.status == "succeeded":
            counts[unpriced_total, (entry.provider,)] += 1
    for (counter, of_counter), amount in counts.items():
        counter.labels(*of_counter).inc(amount)


def _tokens(entry: Entry) -> tuple[tuple[str, int | None], ...]:
    return (
        ("prompt", entry.prompt_tokens),
        ("completion", entry.completion_tokens),
        ("cache_read", entry.cache_read_tokens),
        ("cache_write", entry.cache_write_tokens),
        ("reasoning", entry.reasoning_tokens),
    )


@cache
def _child(histogram: Histogram, labels: tuple[str, ...]) -> Histogram:
    child: Histogram = histogram.labels(*labels)
    return child


def path_of(kind: str) -> str:
    """``litellm`` where LiteLLM stands in between, else ``direct``."""
    known = KINDS.get(kind)
    return "litellm" if known and known.is_litellm else "direct"


def page(turns: TurnBook, live: Live, *, records: int, dropped: int, now_s: float) -> bytes:
    """All figures in Prometheus' text format.

    ``records`` is the number of usage records that wait to be written, ``dropped`` that of request logs given up.
    """
    held = snapshot.in_force()
    slugs = {provider.pk: provider.slug for provider in held.providers.values()} if held else {}
    for pk, (taken, queued) in turns.state().items():
        running.labels(slugs.get(pk, str(pk))).set(taken)
        waiting.labels(slugs.get(pk, str(pk))).set(queued)
    left = live.cooldowns.state(now_s).values()
    cooling.set(sum(seconds > 0 for seconds, _failures, _reason in left))
    records_waiting.set(records)
    logs_dropped.set(dropped)
    snapshot_number.set(held.number if held else -1)
    return generate_latest(registry)

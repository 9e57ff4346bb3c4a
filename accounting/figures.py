"""The numbers at the top of report pages: what each sum is called there, its unit, and whether more of it is good."""

from collections.abc import Mapping

from accounting.sums import Sums
from accounting.tables import Figure

KNOWN: Mapping[str, tuple[str, str, str]] = {
    "requests": ("Requests", "count", ""),
    "tokens": ("Tokens", "count", ""),
    "cache_share": ("Prompt from caches", "percent", "good"),
    "cache_saved_usd": ("Saved by caches", "usd", "good"),
    "cache_read_tokens": ("Read from caches (tokens)", "count", "good"),
    "cache_write_tokens": ("Written to caches (tokens)", "count", ""),
    "error_share": ("Errors", "percent", "bad"),
    "fallback_share": ("Retries and fallbacks", "percent", "bad"),
    "ttft_ms": ("TTFT, mean", "ms", "bad"),
    "unpriced": ("Unpriced attempts", "count", "bad"),
}
"""By the name of the sum: label, kind, and what more of it is."""


def figures_of(total: Sums, before: Sums, *names: str) -> tuple[Figure, ...]:
    """Sums of a period beside those of the one before, in the order of the names."""
    found = []
    for name in names:
        label, kind, more_is = KNOWN[name]
        found.append(
            Figure(name, label, getattr(total, name), kind, getattr(before, name), more_is)
        )
    return tuple(found)

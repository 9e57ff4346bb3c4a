"""Tells of client requests that are over: a line in the log for each, their figures, and their spans.

By the batch, four times a second, in a thread of its own, so that neither a request waits for it nor it for a database:
requests that fail because there is none are told of, too.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from accounting.entries import Entry, masked
from conversion.dialects import WORDS
from llmgateway import metrics, outcomes
from llmgateway.outcomes import ENDPOINTS, Book, Outcome

if TYPE_CHECKING:
    from llmgateway.tracing import Tracer

log = logging.getLogger(__name__)
requests_log = logging.getLogger("llmgateway.requests")

TELL_EVERY_S = 0.25
BATCH_MAX = 200
"""So many are told of in one go, which is a few milliseconds."""
CLOSE_WAIT_S = 2.0


class Teller:
    """One for each runtime, with the book in which its requests are noted."""

    def __init__(self, tracer: "Callable[[], Tracer | None]") -> None:
        self._tracer = tracer
        self._book = Book()
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()

    def start(self) -> None:
        """Have requests noted, and tell of them."""
        outcomes.hold(self._book)
        self._thread = threading.Thread(target=self._tell_forever, name="teller", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell of what was noted, and end."""
        if outcomes.held() is self._book:
            outcomes.hold(None)
        self._is_closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT_S)
            self._thread = None

    def tell(self) -> None:
        """Tell of all that is noted. May be called from any thread."""
        while batch := self._book.take(BATCH_MAX):
            metrics.observe_requests(batch)
            log_requests(batch)
            tracer = self._tracer()
            if tracer is not None:
                for outcome in batch:
                    tracer.over(outcome)

    def _tell_forever(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._is_closing.wait(TELL_EVERY_S)
            try:
                self.tell()
            except Exception:
                # Whatever it is, the next requests are to be told of.
                log.exception("requests that are over could not be told of")


def log_requests(batch: Sequence[Outcome]) -> None:
    """A line in the log for each request."""
    if requests_log.isEnabledFor(logging.INFO):
        requests_log.info("request", extra={"lines": [_fields_to_log(each) for each in batch]})


def _fields_to_log(outcome: Outcome) -> dict[str, Any]:
    key, records = outcome.key, outcome.records
    told: dict[str, Any] = {
        "request_id": outcome.id,
        "method": outcome.method,
        "path": outcome.path if outcome.path in ENDPOINTS else masked(outcome.path),
        "dialect": WORDS[outcome.dialect],
        "status": outcome.status or None,
        "outcome": outcome.word,
        "error": outcome.error or None,
        "team": key.team if key else None,
        "key": key.name if key else None,
        "alias": masked(outcome.alias) or None,
        "attempts": len(records),
        "ms": round((outcome.ended_s - outcome.began_s) * 1000),
    }
    if records:
        last = records[-1]
        told |= {
            "provider": last.provider,
            "ttft_ms": last.ttft_ms,
            "prompt_tokens": _sum(records, "prompt_tokens"),
            "completion_tokens": _sum(records, "completion_tokens"),
            "cost_usd": _sum(records, "cost_usd"),
        }
    return told


def _sum(records: Sequence[Entry], name: str) -> int | Decimal | None:
    """All attempts together; None where none of them knows."""
    if len(records) == 1:
        alone: int | Decimal | None = getattr(records[0], name)
        return alone
    known = [value for entry in records if (value := getattr(entry, name)) is not None]
    return sum(known) if known else None

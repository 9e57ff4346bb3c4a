"""Requests as rows of text for CSV and as trees for JSON: exactly what the pages show, amounts with all their digits."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounting.bills import Bill
from accounting.models import Adjustment, UsageRecord
from accounting.request_search import FoundRequest, tags_of
from accounting.request_story import AttemptStory, RequestStory
from accounting.request_timeline import Bar

COLUMNS = (
    "request_id", "started_at", "team", "project", "key", "member", "developer", "agent", "session", "tags", "alias",
    "provider", "model", "attempts", "status", "error", "streamed", "prompt_tokens", "completion_tokens", "cost_usd",
    "is_unpriced", "ttft_ms", "duration_ms",
)  # fmt: skip
RECORD_FIELDS = (
    "attempt", "started_at", "provider", "provider_kind", "upstream_model", "answered_model", "upstream_id",
    "client_dialect", "upstream_dialect", "streamed", "after_error", "status", "upstream_status", "error",
    "error_message", "finish_reason", "ttft_ms", "duration_ms", "prompt_tokens", "completion_tokens",
    "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens", "prompt_images",
    "tokens_estimated", "cost_usd", "cost_source", "price_id", "cache_saved_usd", "request_bytes", "answer_bytes",
)  # fmt: skip


def tree_of(request: FoundRequest) -> dict[str, Any]:
    """One line of the list."""
    last = request.last
    return {
        "request_id": request.request_id,
        "started_at": moment(request.first.started_at),
        "team": last.team,
        "project": last.project,
        "key": last.key_name,
        "member": last.member,
        "developer": last.end_user,
        "agent": last.agent,
        "session": last.session,
        "tags": request.tags,
        "alias": last.alias,
        "provider": last.provider,
        "model": last.upstream_model,
        "attempts": request.tries,
        "status": last.status,
        "error": last.error,
        "streamed": last.streamed,
        "prompt_tokens": request.prompt_tokens,
        "completion_tokens": request.completion_tokens,
        "cost_usd": _plain(request.cost_usd),
        "is_unpriced": request.is_unpriced,
        "ttft_ms": last.ttft_ms,
        "duration_ms": request.duration_ms,
    }


def table_rows(requests: Sequence[FoundRequest]) -> Iterator[list[str]]:
    """The list as rows of text, headings first."""
    yield list(COLUMNS)
    for request in requests:
        tree = tree_of(request)
        yield [_cell(tree[name]) for name in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)


def story_tree(story: RequestStory) -> dict[str, Any]:
    """One request with its attempts, the arithmetic of their costs, and what crossed where that was asked for."""
    return {
        **tree_of(story.request),
        "accepted_at": moment(story.timeline.accepted_at),
        "total_ms": story.timeline.total_ms,
        "attempts": [_attempt_tree(attempt) for attempt in story.attempts],
    }


def _attempt_tree(attempt: AttemptStory) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "id": attempt.record.pk,
        **{name: _plain(getattr(attempt.record, name)) for name in RECORD_FIELDS},
        "tags": tags_of(attempt.record),
        "outcome": attempt.outcome,
        "next": attempt.next,
        "timing": _timing(attempt.bar),
        "bill": _bill_tree(attempt.bill) if attempt.bill else None,
        "why_unpriced": attempt.why_unpriced if attempt.is_unpriced else "",
        "adjustments": [_adjustment_tree(row) for row in attempt.adjustments],
        "cost_with_adjustments_usd": _plain(attempt.cost_usd),
        "conversion": _notes(attempt.record),
        "is_logged": attempt.log is not None,
    }
    if attempt.messages:
        tree["messages"] = [
            {
                "name": message["name"],
                "headers": message["headers"],
                "bytes": message["body"].size if message["body"] else None,
                "is_cut": bool(message["body"] and message["body"].is_cut),
                "text": message["body"].text.decode("utf-8", "replace") if message["body"] else "",
            }
            for message in attempt.messages
        ]
    return tree


def _notes(record: UsageRecord) -> list[dict[str, str]]:
    return [{"kind": kind, "path": path, "why": why} for kind, path, why in record.notes]


def _timing(bar: Bar) -> list[dict[str, Any]]:
    return [
        {"kind": span.kind, "began_ms": span.began_ms, "ended_ms": span.ended_ms}
        for span in bar.spans
    ]


def _bill_tree(bill: Bill) -> dict[str, Any]:
    return {
        "price_id": bill.price.pk,
        "source": bill.price.source,
        "valid_from_at": moment(bill.price.valid_from_at),
        "tier_above_prompt_tokens": bill.above,
        "lines": [
            {
                "label": line.label,
                "count": line.count,
                "rate_usd": _plain(line.rate_usd),
                "per": line.per,
                "amount_usd": _plain(line.amount_usd),
            }
            for line in bill.lines
        ],
        "exact_usd": _plain(bill.exact_usd),
        "booked_usd": _plain(bill.booked_usd),
        "agrees": bill.agrees,
    }


def _adjustment_tree(row: Adjustment) -> dict[str, Any]:
    return {
        "amount_usd": _plain(row.amount_usd),
        "reason": row.reason,
        "by": row.by,
        "at": moment(row.at),
        "run": row.run,
        "price_id": row.price_id,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return moment(value) if isinstance(value, datetime) else value


def moment(at: datetime) -> str:
    """A moment in UTC, as RFC 3339 writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

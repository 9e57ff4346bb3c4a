"""What the live view tells of a request: plain values for JSON, no body, no header, no secret."""

from typing import TYPE_CHECKING, Any

from accounting.entries import Entry
from accounting.models.money import from_pico, to_pico
from routing import snapshot
from routing.flags import LIVE_VIEW

if TYPE_CHECKING:
    from llmgateway.attempt import Asked

WAITING, ANSWERING = "waiting", "answering"


def is_shown(team: str, key: str, request_id: str) -> bool:
    """Whether the feature flag lets a request be seen."""
    held = snapshot.in_force()
    return held is not None and held.flags.is_on(
        LIVE_VIEW, team=team, key=key, request_id=request_id
    )


def running_row(asked: "Asked", now_s: float) -> dict[str, Any]:
    """A request under way, ``now_s`` being a monotonic time."""
    ask, key, attempt = asked.ask, asked.key, asked.attempt
    row: dict[str, Any] = {
        "id": ask.id,
        "at": ask.accepted_at.isoformat(timespec="seconds"),
        "team": key.team,
        "member": key.member,
        "project": asked.origin.project,
        "key": key.name,
        "agent": asked.origin.agent,
        "alias": asked.call.alias,
        "streamed": asked.call.stream,
        "status": WAITING,
        "ms": round((now_s - ask.accepted_s) * 1000),
        "attempt": asked.attempts,
    }
    if attempt is None:
        return row
    usage = attempt.converter.usage
    row |= {
        "provider": attempt.target.provider.slug,
        "model": attempt.target.upstream_model,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    if attempt.converter.content_started:
        row["status"] = ANSWERING
        row["ttft_ms"] = attempt.ttft_ms
    return row


def finished_row(entry: Entry) -> dict[str, Any]:
    """An attempt that is booked. Its cost has all its digits."""
    cost = None if entry.cost_usd is None else f"{from_pico(to_pico(entry.cost_usd)):f}"
    return {
        "id": entry.request_id,
        "at": entry.started_at.isoformat(timespec="seconds"),
        "team": entry.team,
        "member": entry.member,
        "project": entry.project,
        "key": entry.key_name,
        "agent": entry.agent,
        "alias": entry.alias,
        "streamed": entry.streamed,
        "status": entry.status,
        "error": entry.error,
        "ms": entry.duration_ms,
        "ttft_ms": entry.ttft_ms,
        "attempt": entry.attempt,
        "provider": entry.provider,
        "model": entry.answered_model or entry.upstream_model,
        "prompt_tokens": entry.prompt_tokens,
        "completion_tokens": entry.completion_tokens,
        "cost_usd": cost,
    }

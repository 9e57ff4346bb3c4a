"""When what happened in a request, in milliseconds since it was accepted, and as bars of a common scale."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from accounting.models import UsageRecord

WIDTH = 1000
"""The scale of all bars: a bar from its begin to its end, the request from 0 to this."""
VISIBLE = 3
"""Nothing that took time is thinner."""
ACCEPTED_BEFORE_MAX = timedelta(hours=6)
_ID = re.compile(r"req_([0-9a-f]{12})[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Span:
    """One part of an attempt. ``kind`` is wait, first, answer or stream; ``x`` and ``width`` are on the scale."""

    kind: str
    label: str
    began_ms: int
    ended_ms: int
    x: int
    width: int

    @property
    def ms(self) -> int:
        """How long it took."""
        return self.ended_ms - self.began_ms


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt's parts in order, and what a screen reader is told of them."""

    spans: tuple[Span, ...]

    @property
    def words(self) -> str:
        """The parts as one sentence."""
        return ", then ".join(f"{span.label} for {span.ms:,} ms" for span in self.spans)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A bar for each attempt, and how long the request took in all."""

    accepted_at: datetime
    total_ms: int
    bars: tuple[Bar, ...]


def accepted_at_of(first: UsageRecord) -> datetime:
    """When the request was accepted: its id says so; else when its first attempt began."""
    match = _ID.fullmatch(first.request_id)
    if match:
        accepted_at = datetime.fromtimestamp(int(match[1], 16) / 1000, UTC)
        if timedelta(0) <= first.started_at - accepted_at <= ACCEPTED_BEFORE_MAX:
            return accepted_at
    return first.started_at


def timeline_of(attempts: Sequence[UsageRecord]) -> Timeline:
    """The bars of a request's attempts, which are in order."""
    accepted_at = accepted_at_of(attempts[0])
    parts = [
        _parts(row, before, accepted_at)
        for row, before in zip(attempts, (None, *attempts[:-1]), strict=True)
    ]
    total_ms = max((ended for row in parts for _kind, _label, _began, ended in row), default=0)
    bars = tuple(Bar(tuple(_span(part, total_ms) for part in row)) for row in parts)
    return Timeline(accepted_at, total_ms, bars)


Part = tuple[str, str, int, int]


def _parts(row: UsageRecord, before: UsageRecord | None, accepted_at: datetime) -> list[Part]:
    began = max(0, _ms(row.started_at - accepted_at))
    free = 0
    if before is not None:
        free = max(0, _ms(before.started_at - accepted_at)) + (before.duration_ms or 0)
    ended = began + (row.duration_ms or 0)
    parts: list[Part] = []
    if began > free:
        label = "waiting before the next attempt" if before else "accepted, waiting to begin"
        parts.append(("wait", label, free, began))
    if row.ttft_ms is not None and began <= row.ttft_ms <= ended:
        parts.append(("first", "waiting for the first content", began, row.ttft_ms))
        parts.append(("stream", "streaming", row.ttft_ms, ended))
    else:
        parts.append(("answer", "asking the provider", began, ended))
    return parts


def _span(part: Part, total_ms: int) -> Span:
    kind, label, began, ended = part
    x, end = (round(ms * WIDTH / total_ms) if total_ms else 0 for ms in (began, ended))
    width = max(end - x, VISIBLE) if ended > began else 0
    return Span(kind, label, began, ended, min(x, WIDTH - width), width)


def _ms(span: timedelta) -> int:
    return round(span / timedelta(milliseconds=1))

"""One request as text for a terminal: what clients and providers said in it is made inert first."""

from collections.abc import Iterator
from decimal import Decimal
from textwrap import indent

from accounting.bills import Bill, tokens_in_parts
from accounting.request_story import AttemptStory, RequestStory, moment_words
from accounting.request_timeline import Bar
from conversion.terminals import inert

BAR_CHARS = 60
MARKS = {"wait": "·", "first": "▒", "answer": "▒", "stream": "█"}


def to_text(story: RequestStory) -> str:
    """All of a request, to be read from top to bottom."""
    return inert("\n".join(_lines(story))) + "\n"


def _lines(story: RequestStory) -> Iterator[str]:
    found, last = story.request, story.last
    yield f"{found.request_id}  {last.get_status_display()}"
    project = f", project {last.project}" if last.project else ""
    member = f" of {last.member}" if last.member else ""
    yield f"  Accepted  {moment_words(story.timeline.accepted_at)}"
    yield f"  Who       team {last.team}{project}, API key {last.key_name} (number {last.key_id}){member}"
    for label, value in (
        ("Developer", last.end_user),
        ("Agent", last.agent),
        ("Session", last.session),
        ("Tags", ", ".join(found.tags)),
    ):
        if value:
            yield f"  {label:<9} {value}"
    streamed = "streamed" if last.streamed else "not streamed"
    yield f"  Asked for {last.alias} ({last.client_dialect}, {streamed})"
    yield f"  Took      {story.timeline.total_ms:,} ms, TTFT {_ms(last.ttft_ms)}"
    yield f"  Cost      {_cost(found.cost_usd, is_unpriced=found.is_unpriced)}"
    for attempt in story.attempts:
        yield ""
        yield from _attempt_lines(attempt, story.timeline.total_ms)


def _attempt_lines(attempt: AttemptStory, total_ms: int) -> Iterator[str]:
    row = attempt.record
    yield f"Attempt {row.attempt}: {row.provider}, {row.upstream_model}  {row.get_status_display()}"
    after = f"After {row.after_error}. " if row.after_error else ""
    yield f"  {after}{attempt.outcome}{f' {attempt.next}' if attempt.next else ''}"
    yield f"  [{_drawn(attempt.bar, total_ms)}]"
    for span in attempt.bar.spans:
        yield f"  {span.began_ms:>8,} to {span.ended_ms:>8,} ms  {span.label}"
    if row.upstream_id:
        yield f"  Provider's id {row.upstream_id}"
    told = [f"{label} {count:,}" for label, count in tokens_in_parts(row) if count is not None]
    yield f"  Tokens: {', '.join(told) or 'none told'}{', counted from the text' if row.tokens_estimated else ''}"
    yield from _cost_lines(attempt)
    for kind, path, why in row.notes:
        yield f"  Conversion {kind} {path}: {why}"
    if attempt.log is None:
        yield "  Headers and bodies: not kept (feature flags log_headers and log_bodies)"
    elif not attempt.messages:
        yield "  Headers and bodies: kept; --bodies shows them"
    for message in attempt.messages:
        yield f"  {message['label']}"
        yield from (f"    {name}: {value}" for name, value in message["headers"])
        if message["body"]:
            cut = f"  (cut here: {message['body'].size:,} bytes crossed)"
            yield indent(message["text"], "    ", lambda _line: True)
            yield from [cut] if message["body"].is_cut else []


def _cost_lines(attempt: AttemptStory) -> Iterator[str]:
    row = attempt.record
    if attempt.is_unpriced:
        yield f"  Cost: unpriced. {attempt.why_unpriced}"
        return
    if row.cost_usd is not None:
        yield f"  Cost: {_usd(row.cost_usd)} ({row.get_cost_source_display()})"
    if attempt.bill:
        yield from _bill_lines(attempt.bill)
    for adjustment in attempt.adjustments:
        amount = _usd(adjustment.amount_usd or Decimal(0))
        yield f"    adjusted {amount}: {adjustment.reason} ({adjustment.by or 'nobody named'})"
    if attempt.adjustments and attempt.cost_usd is not None:
        yield f"    with adjustments {_usd(attempt.cost_usd)}"


def _bill_lines(bill: Bill) -> Iterator[str]:
    for line in bill.lines:
        per = " per million" if line.per > 1 else ""
        remark = f", {line.remark}" if line.remark else ""
        rate, amount = _usd(line.rate_usd), _usd(line.amount_usd)
        yield f"    {line.count:>11,} {line.label} at {rate}{per}{remark} = {amount}"
    tier = f", tier above {bill.above:,} prompt tokens" if bill.above is not None else ""
    yield f"    by price {bill.price.pk} ({bill.price.source}, from {moment_words(bill.price.valid_from_at)}{tier})"
    if not bill.agrees:
        yield f"    the price has been changed since: it gives {_usd(bill.rounded_usd)} now"


def _drawn(bar: Bar, total_ms: int) -> str:
    drawn = [" "] * BAR_CHARS
    for span in bar.spans:
        began, ended = (
            round(ms * BAR_CHARS / total_ms) if total_ms else 0
            for ms in (span.began_ms, span.ended_ms)
        )
        for place in range(min(began, BAR_CHARS - 1), min(max(ended, began + 1), BAR_CHARS)):
            drawn[place] = MARKS[span.kind]
    return "".join(drawn)


def _cost(amount_usd: Decimal | None, *, is_unpriced: bool) -> str:
    if amount_usd is None:
        return "unpriced" if is_unpriced else "none"
    return f"{_usd(amount_usd)}{' and what is unpriced' if is_unpriced else ''}"


def _usd(amount_usd: Decimal) -> str:
    text = f"{abs(amount_usd):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'-' if amount_usd < 0 else ''}${text}"


def _ms(ms: int | None) -> str:
    return "not known" if ms is None else f"{ms:,} ms"

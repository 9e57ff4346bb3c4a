"""One request as its page, its JSON and ``manage.py show_request`` tell it: the attempts in order, and why each led to the next.

Reads what a person may see, and decides who may read what was said; shows nothing itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Q, QuerySet

from accounting import price_book
from accounting.bills import Bill, bill_of
from accounting.crossed import crossed
from accounting.models import Adjustment, Price, RequestLog, UsageRecord
from accounting.models.request_log import BODIES
from accounting.principals import Principal
from accounting.request_query import Place, without_zeros
from accounting.request_search import HAS_SESSION, FoundRequest, fold
from accounting.request_timeline import Bar, Timeline, timeline_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

NEIGHBOURS = 5
RECORDS_A_NEIGHBOUR = 4
"""How many records are looked at for each request beside this one: most have one attempt."""
Status = UsageRecord.Status


@dataclass(frozen=True, slots=True)
class AttemptStory:
    """One attempt: what it was, what it cost by whom, and what came of it.

    ``price_since`` is a price that the book has by now for an attempt that is unpriced. ``log`` is None where nothing
    was kept; ``messages`` is empty unless the bodies were asked for by somebody who may read them.
    """

    record: UsageRecord
    outcome: str
    next: str
    bar: Bar
    bill: Bill | None
    adjustments: tuple[Adjustment, ...]
    price_since: Price | None
    log: RequestLog | None
    messages: tuple[dict[str, Any], ...] = ()

    @property
    def adjusted_usd(self) -> Decimal:
        """The sum of the adjustments."""
        return sum((row.amount_usd or Decimal(0) for row in self.adjustments), Decimal(0))

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost, adjustments included; None where it is unpriced."""
        if self.record.cost_usd is None and not self.adjustments:
            return None
        return (self.record.cost_usd or Decimal(0)) + self.adjusted_usd

    @property
    def is_unpriced(self) -> bool:
        """Whether a price is missing: a failed attempt has none to miss."""
        return self.cost_usd is None and self.record.status != Status.FAILED

    @property
    def why_unpriced(self) -> str:
        """Why it has no cost; empty where it has one."""
        row = self.record
        if self.cost_usd is not None:
            return ""
        if row.prompt_tokens is None or row.completion_tokens is None:
            return "The provider told no tokens, so nothing can be worked out."
        return (
            f"The price book had no price for {row.upstream_model} at {row.provider} when the attempt "
            "began, and the provider told none."
        )


@dataclass(frozen=True, slots=True)
class RequestStory:
    """A request with its attempts in order. ``beside`` are requests of the same session, or else of the same key."""

    request: FoundRequest
    attempts: tuple[AttemptStory, ...]
    timeline: Timeline
    beside: tuple[FoundRequest, ...]
    may_read: bool
    shows_messages: bool

    @property
    def last(self) -> UsageRecord:
        """The attempt that decided how it ended."""
        return self.request.last

    @property
    def is_missing_attempts(self) -> bool:
        """Whether an attempt reached no provider and so left no record."""
        return self.last.attempt > len(self.attempts)

    @property
    def previous(self) -> FoundRequest | None:
        """The request before this one, of those beside it."""
        older = [each for each in self.beside if each.place < self.request.place]
        return older[0] if older else None

    @property
    def next(self) -> FoundRequest | None:
        """The request after this one, of those beside it."""
        newer = [each for each in self.beside if each.place > self.request.place]
        return newer[-1] if newer else None


def may_read_messages(
    user: "User | AnonymousUser", principal: Principal, *, team: str, member: str
) -> bool:
    """Whether what was said in a request is theirs to read.

    That is more than its cost: staff need the permission to view request logs, as in the admin; a team's leads may;
    a member may read their own. Auditors look at accounts, not at conversations.
    """
    if principal.is_staff:
        return user.has_perm("accounting.view_requestlog")
    is_own = bool(member) and team in principal.joined and member == principal.username
    return team in principal.led or is_own


def story_of(
    request_id: str,
    principal: Principal,
    user: "User | AnonymousUser",
    *,
    with_messages: bool = False,
) -> RequestStory | None:
    """The request, or None where there is none that the person may see."""
    rows = UsageRecord.objects.filter(principal.filter(), request_id=without_zeros(request_id))
    records = list(rows.order_by("attempt"))
    if not records:
        return None
    last = records[-1]
    may_read = may_read_messages(user, principal, team=last.team, member=last.member)
    logs = _logs_of(last.request_id, with_bodies=may_read and with_messages)
    return _story(
        records, principal, logs, may_read=may_read, shows_messages=may_read and with_messages
    )


def whole_story_of(request_id: str, *, with_messages: bool = False) -> RequestStory | None:
    """The request for who has the database's own key: the command. None where there is none."""
    rows = UsageRecord.objects.filter(request_id=without_zeros(request_id))
    records = list(rows.order_by("attempt"))
    if not records:
        return None
    logs = _logs_of(records[-1].request_id, with_bodies=with_messages)
    everything = Principal(username="", is_staff=True)
    return _story(records, everything, logs, may_read=True, shows_messages=with_messages)


def _story(
    records: Sequence[UsageRecord],
    principal: Principal,
    logs: dict[str, RequestLog],
    *,
    may_read: bool,
    shows_messages: bool,
) -> RequestStory:
    timeline = timeline_of(records)
    adjustments = _adjustments_of(records)
    prices = _prices_of(records)
    attempts = tuple(
        AttemptStory(
            record=row,
            outcome=outcome_of(row),
            next=what_came_next(row, following),
            bar=bar,
            bill=_bill(row, prices),
            adjustments=tuple(adjustments.get(row.pk, ())),
            price_since=_price_since(row),
            log=logs.get(row.pk),
            messages=tuple(crossed(logs[row.pk])) if shows_messages and row.pk in logs else (),
        )
        for row, following, bar in zip(records, (*records[1:], None), timeline.bars, strict=True)
    )
    place = Place(records[-1].started_at, records[-1].pk)
    amounts = [each.adjusted_usd for each in attempts if each.adjustments]
    request = FoundRequest(tuple(records), place, sum(amounts, Decimal(0)) if amounts else None)
    beside = _beside(request, principal)
    return RequestStory(request, attempts, timeline, beside, may_read, shows_messages)


def outcome_of(row: UsageRecord) -> str:
    """How an attempt ended, in a sentence."""
    status = f"status {row.upstream_status}" if row.upstream_status else "no answer"
    match row.status:
        case Status.SUCCEEDED:
            reason = f" ({row.finish_reason})" if row.finish_reason else ""
            return f"It answered{reason}."
        case Status.FAILED:
            told = f": {ended(row.error_message)}" if row.error_message else "."
            return f"It failed with {row.error or 'an error'}, {status}{told}"
        case Status.CLIENT_CLOSED:
            return "The client hung up before the end; what was used until then is booked."
        case _:
            told = f" {ended(row.error_message)}" if row.error_message else ""
            return f"It was interrupted.{told}"


def ended(sentence: str) -> str:
    """The sentence with a stop at its end: providers leave it out."""
    return sentence if sentence.rstrip().endswith((".", "!", "?", "…")) else f"{sentence}."


def what_came_next(row: UsageRecord, following: UsageRecord | None) -> str:
    """What the gateway did after an attempt, in a sentence; empty after a good end."""
    if following is None:
        if row.status == Status.FAILED:
            return "No further attempt: the client was told of this failure."
        return ""
    ended_at = row.started_at + timedelta(milliseconds=row.duration_ms or 0)
    later_ms = max(0, round((following.started_at - ended_at) / timedelta(milliseconds=1)))
    lost = following.attempt - row.attempt - 1
    between = ""
    if lost > 0:
        are = "attempt reached" if lost == 1 else "attempts reached"
        between = f"{lost} {are} no provider ({following.after_error or 'unknown'}). "
    there = f"{following.provider}: {following.upstream_model}"
    if (row.provider, row.upstream_model) == (following.provider, following.upstream_model):
        return f"{between}Asked again there {later_ms:,} ms later: attempt {following.attempt}."
    return f"{between}Attempt {following.attempt} went to {there}, {later_ms:,} ms later."


def _logs_of(request_id: str, *, with_bodies: bool) -> dict[str, RequestLog]:
    rows: QuerySet[RequestLog] = RequestLog.objects.filter(request_id=request_id)
    if not with_bodies:
        rows = rows.defer("headers", *BODIES)
    return {row.pk: row for row in rows}


def _adjustments_of(records: Iterable[UsageRecord]) -> dict[str, list[Adjustment]]:
    found: dict[str, list[Adjustment]] = {}
    ids = [row.pk for row in records]
    for row in Adjustment.objects.filter(record_id__in=ids).order_by("pk"):
        found.setdefault(row.record_id, []).append(row)
    return found


def _prices_of(records: Iterable[UsageRecord]) -> dict[int, Price]:
    pks = {row.price_id for row in records if row.price_id is not None}
    rows = Price.objects.filter(pk__in=pks).prefetch_related("tiers") if pks else ()
    return {row.pk: row for row in rows}


def _bill(row: UsageRecord, prices: dict[int, Price]) -> Bill | None:
    price = prices.get(row.price_id or 0)
    return bill_of(row, price, price_book.tag_of(price)) if price else None


def _price_since(row: UsageRecord) -> Price | None:
    """The price that the book has by now for an attempt without one."""
    if row.cost_source != UsageRecord.CostSource.UNPRICED:
        return None
    prices = Price.objects.filter(
        provider=row.provider,
        upstream_model=row.upstream_model,
        valid_from_at__lte=row.started_at,
    )
    return prices.order_by("-valid_from_at").first()


def _beside(request: FoundRequest, principal: Principal) -> tuple[FoundRequest, ...]:
    """The requests of the session around this one, newest first; of the key where there is no session."""
    last = request.last
    scope = Q(HAS_SESSION, session=last.session) if last.session else Q(key_id=last.key_id)
    rows = UsageRecord.objects.filter(principal.filter(), scope, team=last.team)
    rows = rows.exclude(request_id=request.request_id)
    at, most = request.place.at, NEIGHBOURS * RECORDS_A_NEIGHBOUR
    newer = _places(rows.filter(started_at__gte=at).order_by("started_at", "id")[:most])
    older = _places(rows.filter(started_at__lt=at).order_by("-started_at", "-id")[:most])
    chosen = {**dict(reversed(newer)), **dict(older)}
    return tuple(sorted(fold(chosen), key=lambda each: each.place, reverse=True))


def _places(rows: QuerySet[UsageRecord]) -> list[tuple[str, Place]]:
    """The nearest requests of some records, each at its own place."""
    found: dict[str, Place] = {}
    for request_id, at, record_id in rows.values_list("request_id", "started_at", "id"):
        found.setdefault(request_id, Place(at, record_id))
    return list(found.items())[:NEIGHBOURS]


def moment_words(moment: datetime) -> str:
    """A moment to the millisecond, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"

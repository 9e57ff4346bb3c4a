"""Searches the ledger for requests: newest first, a page at a time, never further back than it must.

Theory of operation. A page shows requests, the ledger holds attempts: a request belongs to the place of its newest
attempt that matches, and is shown with all its attempts folded into one line. Pages are cut by place (time, then
id), so that turning one costs the same anywhere in a million records, and nothing is counted.

The ledger is walked backwards in slices of time, which grow while they are quick. A search that matches much fills
its page from the newest slice by an index; one that matches nothing would read the whole ledger, so it stops after
``SEARCH_S`` and says how far it has come: the next page goes on from there. What is accepted as inexact: records of
one request that match on both sides of such a stop are joined only by a further look, which pages behind the first
take.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import StrIndex

from accounting.models import Adjustment, UsageRecord
from accounting.principals import Principal
from accounting.report_query import LITELLM, LITELLM_KINDS, NONE
from accounting.request_query import RESCUED, WORD_CHARS_MAX, WORDS, Place, Search, without_zeros

PAGE_SIZE = 50
SEARCH_S = 1.5
FIRST_SLICE = timedelta(hours=6)
QUICK_S = 0.1
GROWTH = 4
HAS_SESSION = ~Q(session="")
"""Told along with a session: SQLite takes the index over sessions only for rows that are known to have one."""

Status = UsageRecord.Status


@dataclass(frozen=True, slots=True)
class FoundRequest:
    """One request with its attempts folded: the words of the last one, the sums over all."""

    attempts: tuple[UsageRecord, ...]
    place: Place
    adjusted_usd: Decimal | None = None

    @property
    def first(self) -> UsageRecord:
        """The attempt it began with."""
        return self.attempts[0]

    @property
    def last(self) -> UsageRecord:
        """The attempt that decided how it ended."""
        return self.attempts[-1]

    @property
    def request_id(self) -> str:
        """As sent to the client."""
        return self.last.request_id

    @property
    def tries(self) -> int:
        """How many attempts there were, with those that reached no provider and left no record."""
        return self.last.attempt

    @property
    def is_rescued(self) -> bool:
        """Whether it was answered after an attempt had failed."""
        return self.last.status == Status.SUCCEEDED and self.tries > 1

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost, adjustments included; None when no attempt has a price."""
        amounts = [row.cost_usd for row in self.attempts if row.cost_usd is not None]
        if self.adjusted_usd is not None:
            amounts.append(self.adjusted_usd)
        return sum(amounts, Decimal(0)) if amounts else None

    @property
    def is_unpriced(self) -> bool:
        """Whether an attempt that did not fail has no cost."""
        is_open = any(row.cost_usd is None and row.status != Status.FAILED for row in self.attempts)
        return is_open and self.adjusted_usd is None

    @property
    def prompt_tokens(self) -> int | None:
        """Over all attempts that told it."""
        return _sum(row.prompt_tokens for row in self.attempts)

    @property
    def completion_tokens(self) -> int | None:
        """Over all attempts that told it."""
        return _sum(row.completion_tokens for row in self.attempts)

    @property
    def duration_ms(self) -> int | None:
        """From the begin of the first attempt to the end of the last, in milliseconds."""
        if self.last.duration_ms is None:
            return None
        before = self.last.started_at - self.first.started_at
        return round(before / timedelta(milliseconds=1)) + self.last.duration_ms

    @property
    def tags(self) -> list[str]:
        """The tags, apart."""
        return tags_of(self.last)


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page of requests. ``next`` is where the next begins, None at the end; ``stopped_at`` how far a search came that took too long."""

    requests: tuple[FoundRequest, ...]
    next: Place | None = None
    stopped_at: datetime | None = None


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def tags_of(record: UsageRecord) -> list[str]:
    """A record's tags, apart."""
    return [tag for tag in record.tags.split(",") if tag]


def matching(search: Search, principal: Principal) -> QuerySet[UsageRecord]:
    """The records that match, of those that the person may see; in no order."""
    rows = UsageRecord.objects.filter(principal.filter(), _words(search), _bounds(search))
    if search.tag == NONE:
        return rows.filter(tags="")
    if search.tag:
        # Exact on every database, which LIKE is not.
        rows = rows.alias(tag_at=StrIndex("tags", Value(f",{search.tag},"))).filter(tag_at__gt=0)
    return rows


def _words(search: Search) -> Q:
    wanted = Q()
    for name, value in search.words.items():
        wanted &= _word(WORDS[name], value)
    if search.words.get("session", NONE) != NONE:
        wanted &= HAS_SESSION
    if search.path:
        by_litellm = Q(provider_kind__in=LITELLM_KINDS)
        wanted &= by_litellm if search.path == LITELLM else ~by_litellm
    if search.key:
        by_number = Q(key_id=int(search.key)) if is_number(search.key) else Q()
        wanted &= by_number | Q(key_name=search.key) if by_number else Q(key_name=search.key)
    return wanted


def _word(column: str, value: str) -> Q:
    if value == NONE:
        return Q(**{column: ""})
    is_beginning = len(value) > 1 and value.endswith("*")
    return Q(**{f"{column}__startswith": value[:-1]} if is_beginning else {column: value})


def is_number(text: str) -> bool:
    """Whether the text may be the number of a row."""
    return text.isascii() and text.isdigit() and int(text) < 2**63


def _bounds(search: Search) -> Q:
    wanted = Q()
    if search.status:
        wanted &= Q(status=Status.SUCCEEDED if search.status == RESCUED else search.status)
    if search.status == RESCUED:
        wanted &= Q(attempt__gt=1)
    if search.cost_usd_min is not None:
        wanted &= Q(cost_usd__gte=search.cost_usd_min)
    if search.ms_min is not None:
        wanted &= Q(duration_ms__gte=search.ms_min)
    if search.ended_at is not None:
        wanted &= Q(started_at__lt=search.ended_at)
    return wanted


class _Walk:
    """Goes back through the records that match, batch by batch; ``place`` is how far it has come."""

    def __init__(self, search: Search, principal: Principal, *, clock: Callable[[], float]) -> None:
        self.rows = matching(search, principal)
        self.place: Place | None = None
        self.is_at_end = False
        self._clock = clock
        self._span = FIRST_SLICE
        self._slice_from: datetime | None = None
        ends = UsageRecord.objects.order_by("started_at").values_list("started_at", flat=True)
        oldest, newest = ends.first(), ends.last()
        self._oldest = max(oldest, search.began_at) if oldest and search.began_at else oldest
        if newest is None:
            self.is_at_end = True
        else:
            bounds = [search.ended_at, search.before.at if search.before else None]
            newest = min([newest, *(bound for bound in bounds if bound is not None)])
            self.place = search.before or Place(newest + timedelta(microseconds=1), "")
            self._slice_from = newest - self._span

    def batch(self, size: int) -> list[tuple[str, Place]]:
        """The next records of a slice: (request, place) pairs, newest first."""
        place, lowest, oldest = self.place, self._slice_from, self._oldest
        if place is None or lowest is None or oldest is None:
            self.is_at_end = True
            return []
        began_s = self._clock()
        rows = self.rows.filter(
            Q(started_at__lt=place.at) | Q(started_at=place.at, id__lt=place.id),
            started_at__lte=place.at,
            started_at__gte=max(lowest, oldest),
        )
        found = [
            (request_id, Place(at, record_id))
            for request_id, at, record_id in rows.order_by("-started_at", "-id").values_list(
                "request_id", "started_at", "id"
            )[:size]
        ]
        if len(found) == size:
            self.place = found[-1][1]
        else:
            self._next_slice(lowest, oldest, took_s=self._clock() - began_s)
        return found

    def _next_slice(self, lowest: datetime, oldest: datetime, *, took_s: float) -> None:
        if lowest <= oldest:
            self.is_at_end = True
            return
        if took_s < QUICK_S:
            self._span *= GROWTH
        # Up to here all was read: what is at this very moment, too.
        self.place = Place(lowest, "")
        self._slice_from = lowest - self._span


def find_page(
    search: Search,
    principal: Principal,
    *,
    size: int = PAGE_SIZE,
    clock: Callable[[], float] = time.monotonic,
) -> FoundPage:
    """The requests that match, newest first, from where the search says."""
    until_s = clock() + SEARCH_S
    walk = _Walk(search, principal, clock=clock)
    found: dict[str, FoundRequest] = {}
    while len(found) <= size and not walk.is_at_end:
        batch: dict[str, Place] = {}
        for request_id, place in walk.batch(size + 1):
            batch.setdefault(request_id, place)
        new = {each: place for each, place in batch.items() if each not in found}
        for request in _fitting(new, walk.rows, search):
            found[request.request_id] = request
        if clock() > until_s:
            break
    requests = tuple(found.values())
    if len(requests) > size:
        return FoundPage(requests[:size], next=requests[size - 1].place)
    if walk.is_at_end or walk.place is None:
        return FoundPage(requests)
    return FoundPage(requests, next=walk.place, stopped_at=walk.place.at)


def _fitting(
    places: Mapping[str, Place], rows: QuerySet[UsageRecord], search: Search
) -> Iterator[FoundRequest]:
    """The requests at these places that were not shown before, and ended as is looked for."""
    folded = fold(places)
    shown = _shown_before(folded, rows, search.before)
    wanted = Status.SUCCEEDED if search.status == RESCUED else search.status
    for request in folded:
        if wanted in ("", request.last.status) and request.request_id not in shown:
            yield request


def _shown_before(
    requests: Sequence[FoundRequest], rows: QuerySet[UsageRecord], before: Place | None
) -> set[str]:
    """Those of which a newer attempt matches, too: they stand on a page before."""
    if before is None:
        return set()
    several = [request.request_id for request in requests if len(request.attempts) > 1]
    if not several:
        return set()
    places = rows.filter(request_id__in=several).values_list("request_id", "started_at", "id")
    return {request_id for request_id, at, record_id in places if (at, record_id) >= before}


def fold(places: Mapping[str, Place]) -> list[FoundRequest]:
    """The requests of the given ids with all their attempts, in the order given. Two queries."""
    rows = UsageRecord.objects.filter(request_id__in=list(places)).defer("notes", "error_message")
    by_request: dict[str, list[UsageRecord]] = {}
    for row in rows.order_by("request_id", "attempt"):
        by_request.setdefault(row.request_id, []).append(row)
    adjusted = adjustments_of([row.pk for rows in by_request.values() for row in rows])
    return [
        FoundRequest(
            tuple(by_request[request_id]), place, _adjusted(by_request[request_id], adjusted)
        )
        for request_id, place in places.items()
        if request_id in by_request
    ]


def adjustments_of(ids: Sequence[str]) -> dict[str, Decimal]:
    """What was adjusted of each record that has adjustments."""
    if not ids:
        return {}
    sums = Adjustment.objects.filter(record_id__in=ids).order_by().values_list("record_id")
    return dict(sums.annotate(Sum("amount_usd")))


def _adjusted(rows: Sequence[UsageRecord], adjusted: Mapping[str, Decimal]) -> Decimal | None:
    amounts = [adjusted[row.pk] for row in rows if row.pk in adjusted]
    return sum(amounts, Decimal(0)) if amounts else None


def find_by_id(text: str, principal: Principal) -> str:
    """The request that an id names, of those that the person may see: its own id, or a record's; empty for none."""
    text = without_zeros(text).strip()[:WORD_CHARS_MAX]
    bare = text.removeprefix("req_").partition("-")[0]
    for wanted in (Q(request_id=text), Q(pk=text), Q(request_id=f"req_{bare}")):
        found = UsageRecord.objects.filter(principal.filter(), wanted)
        request_id = found.values_list("request_id", flat=True).order_by().first()
        if request_id:
            return str(request_id)
    return ""

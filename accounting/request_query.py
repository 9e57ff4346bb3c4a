"""What an address asks of the request log: read from its parameters, and written back as such."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from accounting.models import UsageRecord
from accounting.models.money import is_storable
from accounting.report_query import PATHS

WORD_CHARS_MAX = 256
MS_MAX = 2**31 - 1

Status = UsageRecord.Status
RESCUED = "rescued"
STATUSES = {
    Status.SUCCEEDED.value: "succeeded",
    RESCUED: "succeeded after a failed attempt",
    Status.FAILED.value: "failed",
    Status.CLIENT_CLOSED.value: "client closed",
    Status.INTERRUPTED.value: "interrupted",
}
"""How a request may have ended, with what pages call it."""

WORDS = {
    "team": "team",
    "project": "project",
    "member": "member",
    "developer": "end_user",
    "session": "session",
    "agent": "agent",
    "alias": "alias",
    "model": "upstream_model",
    "provider": "provider",
    "kind": "provider_kind",
    "error": "error",
    "upstream_id": "upstream_id",
}
"""Names in the address that are compared with a column, word for word; one that ends in * by its beginning.

They are those of the report pages, as is ``NONE`` for rows that have no such word.
"""


class Place(NamedTuple):
    """Where a record stands in the ledger's order."""

    at: datetime
    id: str

    def __str__(self) -> str:
        return f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}~{self.id}"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for. ``words`` by their names in the address; ``before`` is where the page begins; ``wrong`` says what could not be read."""

    words: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    tag: str = ""
    path: str = ""
    status: str = ""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    cost_usd_min: Decimal | None = None
    ms_min: int | None = None
    before: Place | None = None
    wrong: tuple[str, ...] = ()

    @property
    def is_narrow(self) -> bool:
        """Whether anything is looked for but the newest."""
        return self != Search(before=self.before, wrong=self.wrong)


def read_search(query: Mapping[str, str]) -> Search:
    """The search that an address asks for; what cannot be read is left out and told."""
    plain = ((name, without_zeros(value).strip()) for name, value in query.items())
    told = {name: value for name, value in plain if value}
    wrong: list[str] = []
    status = told.get("status", "")
    if status and status not in STATUSES:
        wrong.append(f"There is no status {status[:40]!r}.")
        status = ""
    path = told.get("path", "")
    if path and path not in PATHS:
        wrong.append(f"There is no path {path[:40]!r}.")
        path = ""
    return Search(
        words={name: told[name][:WORD_CHARS_MAX] for name in WORDS if name in told},
        key=told.get("key", "")[:WORD_CHARS_MAX],
        tag=told.get("tag", "")[:WORD_CHARS_MAX],
        path=path,
        status=status,
        began_at=_read_moment(told.get("from", ""), wrong),
        ended_at=_read_moment(told.get("to", ""), wrong, is_end=True),
        cost_usd_min=_read_amount(told.get("min_cost", ""), wrong),
        ms_min=_read_ms(told.get("min_ms", ""), wrong),
        before=_read_place(told.get("before", ""), wrong),
        wrong=tuple(wrong),
    )


def without_zeros(text: str) -> str:
    """The text without zero bytes: PostgreSQL has no place for them, not even in a question."""
    return text.replace("\0", "")


def _read_moment(text: str, wrong: list[str], *, is_end: bool = False) -> datetime | None:
    """The begin of a day or minute; the end of it where that is asked for."""
    if not text:
        return None
    try:
        if len(text) == len("2026-11-20"):
            day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return day + timedelta(days=1) if is_end else day
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        is_minute = is_end and moment.second == moment.microsecond == 0
        return moment + timedelta(minutes=1) if is_minute else moment
    except (ValueError, OverflowError):
        wrong.append(f"{text[:40]!r} is no time: write 2026-11-20 or 2026-11-20T14:30 (UTC).")
        return None


def _read_amount(text: str, wrong: list[str]) -> Decimal | None:
    try:
        amount = Decimal(text.removeprefix("$")) if text else None
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount is not None and not is_storable(amount):
        wrong.append(f"{text[:40]!r} is no amount: write USD, such as 0.25.")
        return None
    return amount


def _read_ms(text: str, wrong: list[str]) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:20]) > MS_MAX:
        wrong.append(f"{text[:40]!r} is no duration: write milliseconds, such as 5000.")
        return None
    return int(text)


def _read_place(text: str, wrong: list[str]) -> Place | None:
    if not text:
        return None
    moment, _tilde, record_id = text.partition("~")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        wrong.append("The address of the page is damaged: this is the first one.")
        return None
    return Place(at, record_id[:WORD_CHARS_MAX])


def query_of(search: Search) -> dict[str, str]:
    """The search as the parameters of an address, without the place of its page; reads back as the same."""
    found = {
        **search.words,
        "key": search.key,
        "tag": search.tag,
        "path": search.path,
        "status": search.status,
    }
    if search.began_at:
        found["from"] = _moment(search.began_at)
    if search.ended_at:
        found["to"] = _moment(search.ended_at - timedelta(minutes=1))
    if search.cost_usd_min is not None:
        found["min_cost"] = f"{search.cost_usd_min:f}"
    if search.ms_min is not None:
        found["min_ms"] = str(search.ms_min)
    return {name: value for name, value in found.items() if value}


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M}"

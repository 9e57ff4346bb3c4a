"""The chain of audit entries: adds to it, and finds where it was tampered with.

Theory of operation. An entry's digest is the SHA-256 over the digest of the entry before it and over its own content in
one canonical spelling, its number included. Whoever changes, inserts, removes or moves an entry would have to seal all
later ones anew; and the newest digest, which goes into the log with every entry, would still differ from the one that
was noted there. Numbers have no gaps: writers take turns. On PostgreSQL that is an advisory lock which ends with the
transaction; on SQLite a transaction that may write (BEGIN IMMEDIATE) is the only one anyway.

The turn should be taken before any row is locked, so that no two transactions wait for each other: ``watch`` does so
before each save, ``routing.versions`` by its witness before each change of routing.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from accounting.audit import actors
from accounting.audit.values import clean, cut
from accounting.models import AuditCheck, AuditEntry

log = logging.getLogger(__name__)

GENESIS = "0" * 64
"""What stands in the first entry for the digest of the one before."""
TURN = 0x6C6C6D67775F6175
"""The advisory lock's number: nobody else's in this database."""
ROWS_AT_ONCE = 1000
FAULTS_MAX = 100
PROBLEM_CHARS_MAX = 500

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written down. ``before`` and ``after`` hold plain values (``values.plain``), without secrets."""

    action: str
    kind: str
    object_id: str = ""
    name: str = ""
    team: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Anchor:
    """An entry's number and digest, as they were noted somewhere else."""

    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found: how many entries there are, the newest, and what is wrong, a sentence each."""

    entries: int
    newest: Anchor | None
    faults: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def take_turn() -> None:
    """Wait until no other transaction adds entries, and keep others out until this one ends."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [TURN])


def append(drafts: Iterable[Draft], *, actor: actors.Actor | None = None) -> None:
    """Add entries in the transaction that is under way, or in one of their own; in the name of who acts now."""
    waiting = list(drafts)
    if not waiting:
        return
    who = actor or actors.current()
    with transaction.atomic():
        take_turn()
        last = newest()
        entries = []
        now = datetime.now(UTC)
        for draft in waiting:
            entry = _sealed(draft, who, now, last)
            last = Anchor(entry.number, entry.digest)
            entries.append(entry)
        AuditEntry.objects.bulk_create(entries, batch_size=ROWS_AT_ONCE)
        _held.newest = noted = Anchor(entry.number, entry.digest)
        if (
            who.via != actors.COMMAND
        ):  # the serving processes notice what commands do (``log_newest``)
            transaction.on_commit(partial(_log_if_newest, noted), robust=True)


class _Held(threading.local):
    """What this thread has added last."""

    newest: Anchor | None = None


_held = _Held()


def _log_if_newest(anchor: Anchor) -> None:
    """One line for a transaction, however many entries it adds: all callbacks come once it is committed."""
    if anchor is _held.newest:
        _log(anchor)


def log_newest() -> None:
    """Put the newest entry into the log if this process has not done so, to be called when anything has changed."""
    anchor = newest()
    if anchor is not None and anchor.number > _Logged.number:
        _log(anchor)


class _Logged:
    number = 0


def _log(anchor: Anchor) -> None:
    """Beside the database: whoever seals the entries anew cannot take this line back."""
    _Logged.number = anchor.number
    log.info("audited", extra={"audit_number": anchor.number, "audit_digest": anchor.digest})


def newest() -> Anchor | None:
    """The newest entry; None before the first."""
    row = AuditEntry.objects.order_by("-number").values_list("number", "digest").first()
    return Anchor(*row) if row else None


def _sealed(draft: Draft, who: actors.Actor, now: datetime, last: Anchor | None) -> AuditEntry:
    entry = AuditEntry(
        number=last.number + 1 if last else 1,
        at=now,
        actor=cut(clean(who.name), 150),
        actor_id=who.pk,
        address=cut(clean(who.address), 64),
        via=cut(who.via, 64),
        action=cut(draft.action, 32),
        kind=cut(draft.kind, 64),
        object_id=cut(clean(draft.object_id), 64),
        name=cut(clean(draft.name), 250),
        team=cut(clean(draft.team), 64),
        before=dict(draft.before),
        after=dict(draft.after),
        previous_digest=last.digest if last else GENESIS,
    )
    entry.digest = digest_of(entry)
    return entry


def content_of(entry: AuditEntry) -> dict[str, Any]:
    """What an entry says, ready for JSON; without the two digests."""
    return {
        "number": entry.number,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "actor_id": entry.actor_id,
        "address": entry.address,
        "via": entry.via,
        "action": entry.action,
        "kind": entry.kind,
        "object_id": entry.object_id,
        "name": entry.name,
        "team": entry.team,
        "before": entry.before,
        "after": entry.after,
    }


def canonical(entry: AuditEntry) -> bytes:
    """The content in its one spelling: JSON in UTF-8, names in order, no spaces, nothing escaped that need not be."""
    text = json.dumps(content_of(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def digest_of(entry: AuditEntry) -> str:
    """SHA-256 over the digest of the entry before, a line break, and the canonical content."""
    return hashlib.sha256(
        entry.previous_digest.encode("utf-8", "replace") + b"\n" + canonical(entry)
    ).hexdigest()


def stored() -> Iterator[AuditEntry]:
    """All entries in order, a piece at a time; also those that are added meanwhile."""
    yield from after(-1)


def after(number: int) -> Iterator[AuditEntry]:
    """The entries with higher numbers, in order, a piece at a time."""
    while True:
        rows = list(AuditEntry.objects.filter(number__gt=number).order_by("number")[:ROWS_AT_ONCE])
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        number = rows[-1].number


def examine(
    entries: Iterable[AuditEntry],
    *,
    expected: Sequence[Anchor] = (),
    begins: bool = True,
    progress: Progress = lambda _done, _total: None,
    total: int = 0,
) -> Verdict:
    """Whether the entries are one unbroken chain with the expected links. One that ``begins`` has number 1 first."""
    last = Anchor(0, GENESIS) if begins else None
    wanted = {anchor.number: anchor.digest for anchor in expected}
    count, faults = 0, list[str]()
    for entry in entries:
        faults += _faults_of(entry, last, wanted)
        last = Anchor(entry.number, entry.digest)
        count += 1
        if count % ROWS_AT_ONCE == 0:
            progress(count, max(count, total))
    progress(count, count)
    end = last.number if last else 0
    faults += [
        f"Entry {number} is missing: the trail ends with entry {end}."
        for number in sorted(wanted)
        if number > end
    ]
    if len(faults) > FAULTS_MAX:
        faults = [*faults[:FAULTS_MAX], f"And {len(faults) - FAULTS_MAX} more."]
    return Verdict(count, last if count else None, tuple(faults))


def _faults_of(entry: AuditEntry, last: Anchor | None, wanted: Mapping[int, str]) -> Iterator[str]:
    number = entry.number
    if last is not None:
        yield from _link_faults(entry, last)
    if digest_of(entry) != entry.digest:
        yield f"Entry {number} was changed: its digest is not that of what it says."
    if wanted.get(number, entry.digest) != entry.digest:
        yield f"Entry {number} has another digest than was noted: it or one before it was sealed anew."


def _link_faults(entry: AuditEntry, last: Anchor) -> Iterator[str]:
    number = entry.number
    if number <= last.number:
        yield f"Entry {number} stands behind entry {last.number}: it was moved or put in."
    elif number > last.number + 1:
        first, end = last.number + 1, number - 1
        missing = f"Entry {first} is" if first == end else f"Entries {first} to {end} are"
        yield f"{missing} missing."
    elif entry.previous_digest != last.digest:
        yield (
            f"Entry {number} does not follow on entry {last.number}: "
            "one of them was put in, moved or sealed anew."
        )


def verify(
    *,
    expected: Sequence[Anchor] = (),
    also: Sequence[str] = (),
    progress: Progress = lambda _done, _total: None,
) -> Verdict:
    """Examine all entries, also against the newest one of the last sound verification, and keep the verdict for the dashboard.

    ``also`` are faults that the caller has found already.
    """
    check = AuditCheck.objects.filter(pk=1).first()
    known = [Anchor(check.number, check.digest)] if check and check.digest else []
    total = AuditEntry.objects.aggregate(last=Max("number"))["last"] or 0
    verdict = examine(stored(), expected=[*known, *expected], progress=progress, total=total)
    verdict = replace(verdict, faults=(*also, *verdict.faults))
    _keep(verdict)
    return verdict


def _keep(verdict: Verdict) -> None:
    problem = " ".join(verdict.faults)
    values: dict[str, Any] = {
        "checked_at": datetime.now(UTC),
        "entries": verdict.entries,
        "problem": cut(problem, PROBLEM_CHARS_MAX),
    }
    if verdict.is_sound and verdict.newest:
        values |= {"number": verdict.newest.number, "digest": verdict.newest.digest}
    AuditCheck.objects.update_or_create(pk=1, defaults=values)


def last_check() -> AuditCheck | None:
    """What the last verification found; None when there has been none."""
    return AuditCheck.objects.filter(pk=1).first()


def entry_from(line: Mapping[str, Any]) -> AuditEntry:
    """An entry out of an exported line (``exports.line_of``).

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    values = {**line, "at": datetime.fromisoformat(line["at"]), "number": int(line["number"])}
    return AuditEntry(**values)

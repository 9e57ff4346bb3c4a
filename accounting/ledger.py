"""The only writer of usage rows: every attempt ends in exactly one of them.

Theory of operation. ``open_entry`` notes an attempt in the journal before anything is sent, as it would have to
be booked if the process died the next moment. ``settle`` fills in what it used and cost, notes that too, and
hands the entry to one background thread, which writes rows in batches. Both are plain calls without a wait, so
that a client that hangs up can cancel neither. The id is made before sending and is the row's primary key:
writing an entry twice, after a replay for example, is a no-op.

While the database cannot be written the entries stay in memory and in the journal; the thread tries again until
it can. What clients and providers say is made to fit the columns first; an entry that the database refuses all
the same is logged and left in the journal, so that it holds up no other. What is accepted as inexact: an attempt whose process was killed is booked as "interrupted" without
token counts, because nobody knows them any more.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import date, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from django.db import DataError, Error, IntegrityError, connection, transaction

from accounting import rollups, snapshot
from accounting.entries import Entry, make_answer_storable, make_storable
from accounting.journal import CLOSING_BYTES, Depth, Journal, Segment, dead_segments
from accounting.models import UsageRecord
from accounting.models.money import is_cost, to_pico
from accounting.pricing import UNPRICED, cache_saved_usd, cost_of
from conversion.usage import Usage

log = logging.getLogger(__name__)
attempts_log = logging.getLogger("accounting.attempts")

Answer = TypeVar("Answer")

FAILED = UsageRecord.Status.FAILED.value
BATCH_MAX = 500
BATCH_WAIT_S = 0.05
DATABASE_RETRY_S = 1.0
CLOSE_WAIT_S = 10.0
SILENT_S = 3.0
"""What the database may take for a batch before it is told that records wait."""
REFUSALS = (DataError, IntegrityError, ArithmeticError, TypeError, ValueError)
"""What a row that no column can hold raises: trying again cannot help."""


COLUMNS = tuple(field.name for field in UsageRecord._meta.concrete_fields)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class Question:
    """Something to be asked of the database once all is written that was settled before."""

    __slots__ = ("answer", "ask")

    def __init__(self, ask: Callable[[], Any]) -> None:
        self.ask = ask
        self.answer: Future[Any] = Future()

    def run(self) -> None:
        """Ask, and hand the answer or the failure to whoever waits."""
        if not self.answer.set_running_or_notify_cancel():
            return
        try:
            self.answer.set_result(self.ask())
        except Exception as error:
            log.exception("a question to the ledger failed")
            self.answer.set_exception(error)
            connection.close()


class Ledger:
    """The journal and the writing thread of one process."""

    def __init__(
        self,
        directory: Path,
        *,
        observe: Callable[[Sequence[Entry]], None] | None = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        """``observe`` is told of each batch of attempts once it is booked; ``prepare`` is called before the first one.

        Both in the writing thread.
        """
        self._journal = Journal(directory)
        self._observe = observe
        self._prepare = prepare
        self._queue: queue.SimpleQueue[tuple[Entry, Segment] | Question | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()
        self._trying_since_s: float | None = None
        self._failure = ""

    def start(self) -> None:
        """Begin to write; what dead processes left is booked first, in the same thread."""
        if self._thread is None:
            self._is_closing.clear()
            self._thread = threading.Thread(target=self._write_forever, name="ledger", daemon=True)
            self._thread.start()

    def close(self, within_s: float = CLOSE_WAIT_S) -> None:
        """Write what is waiting, then end; blocks until that is done or the database did not take it in time."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._is_closing.set()
        self._queue.put(None)
        thread.join(within_s)
        self._journal.shut()

    @property
    def is_writing(self) -> bool:
        """Whether the thread that writes rows is alive."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Entries that are settled but not in the database yet."""
        return self._journal.waiting

    @property
    def trouble(self) -> str:
        """Why records wait, and for how long; empty where the database takes them. Without what the database says."""
        since_s = self._trying_since_s
        if since_s is None:
            return ""
        waited_s = time.monotonic() - since_s
        if not self._failure and waited_s < SILENT_S:
            return ""
        return f"{self._failure or 'no answer'}, for {waited_s:.0f} s"

    @property
    def depth(self) -> Depth:
        """What its journal holds."""
        return self._journal.depth()

    def check(self) -> None:
        """See whether an attempt could be noted now.

        Raises:
            JournalUnwritable: it could not.
        """
        self._journal.check_writable()

    def tidy(self) -> None:
        """Leave no booked entry in the journal for longer than a day. To be called every minute."""
        self._journal.retire_old(time.monotonic())

    def open_entry(self, entry: Entry) -> Segment:
        """Note an attempt before it is made.

        Raises:
            JournalUnwritable: it must not be made.
        """
        make_storable(entry)
        return self._journal.open(_encode(entry))

    def settle(self, entry: Entry, segment: Segment, usage: Usage) -> None:
        """Book how an attempt ended. The caller has set status, error, times and bytes; called once for each."""
        price = snapshot.current().price_at(entry.provider, entry.upstream_model, entry.started_at)
        cost = cost_of(usage, price, images=entry.prompt_images)
        if cost.amount_usd is not None and not is_cost(cost.amount_usd):
            cost = UNPRICED
        saved_usd = cache_saved_usd(usage, price)
        entry.prompt_tokens = usage.prompt_tokens
        entry.completion_tokens = usage.completion_tokens
        entry.cache_read_tokens = usage.cache_read_tokens
        entry.cache_write_tokens = usage.cache_write_tokens
        entry.cache_write_1h_tokens = usage.cache_write_1h_tokens
        entry.reasoning_tokens = usage.reasoning_tokens
        entry.tokens_estimated = usage.estimated
        entry.cost_usd = cost.amount_usd
        entry.cache_saved_usd = saved_usd if saved_usd is None or is_cost(saved_usd) else None
        entry.cost_source = cost.source
        entry.price_id = cost.price_pk
        make_answer_storable(entry)
        line = _encode(entry)
        if len(line) >= CLOSING_BYTES:
            # The row gets its notes from memory; only a crash in the next moments would lose them.
            line = _encode(msgspec.structs.replace(entry, notes=[]))
        self._journal.close(segment, line)
        self._queue.put((entry, segment))

    def after_booked(self, ask: Callable[[], Answer]) -> "Future[Answer]":
        """What ``ask`` finds in the database once all that was settled before this call is there, and nothing later.

        It is asked in the writing thread, between two batches; where that does not run, at once in this one.
        """
        question = Question(ask)
        if self.is_writing:
            self._queue.put(question)
        else:
            question.run()
        return question.answer

    def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until all that was settled so far is in the database. For tests and commands, not for requests.

        Raises:
            TimeoutError: it was not within ``timeout_s``.
        """
        until = time.monotonic() + timeout_s
        while self.waiting:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.waiting} usage records are still waiting to be written")
            time.sleep(0.01)

    def _write_forever(self) -> None:
        try:
            goes_on = self._prepare is None or self._keep_trying(self._prepare)
            goes_on = goes_on and self._keep_trying(self._replay)
            while goes_on:
                goes_on = self._write_next_batch()
        finally:
            connection.close()

    def _replay(self) -> None:
        count = replay(self._journal.directory)
        if count:
            log.warning("attempts of a process that was killed were booked", extra={"count": count})

    def _write_next_batch(self) -> bool:
        """Wait for entries and write them; False when the ledger is closing and nothing is left."""
        batch = [self._queue.get()]
        if not self._is_closing.is_set() and not isinstance(batch[0], Question):
            time.sleep(BATCH_WAIT_S)
        while (
            len(batch) < BATCH_MAX
            and not self._queue.empty()
            and not isinstance(batch[-1], Question)  # which is not to see what was settled after it
        ):
            batch.append(self._queue.get())
        settled = [item for item in batch if isinstance(item, tuple)]
        refused: set[str] = set()
        if settled and not self._keep_trying(lambda: refused.update(self._book(settled))):
            return False
        for entry, segment in settled:
            if entry.id not in refused:
                self._journal.forget(segment, 1)
        entries = [entry for entry, _segment in settled]
        log_attempts(entries)
        if self._observe is not None:
            self._observe(entries)
        if isinstance(batch[-1], Question):
            batch[-1].run()
        return not (self._is_closing.is_set() and self._queue.empty())

    def _book(self, settled: Sequence[tuple[Entry, Segment]]) -> set[str]:
        return write_all_but_refused([entry for entry, _segment in settled])

    def _keep_trying(self, step: Callable[[], object]) -> bool:
        """Do a step with the database until it works; False when the ledger closed first (the journal keeps the rest)."""
        self._trying_since_s = time.monotonic()
        while True:
            try:
                step()
            except Error as error:
                self._failure = _name_of(error)
                log.exception(
                    "usage records cannot be written; trying again", extra={"waiting": self.waiting}
                )
                connection.close()
                if self._is_closing.wait(DATABASE_RETRY_S):
                    return False
            else:
                self._trying_since_s, self._failure = None, ""
                return True


def _name_of(error: Error) -> str:
    """What the driver calls a failure of the database, such as DiskFull or SQLITE_FULL; its text may tell too much."""
    cause = error.__cause__ or error
    return getattr(cause, "sqlite_errorname", "") or type(cause).__name__


def log_attempts(entries: Sequence[Entry]) -> None:
    """A line in the log for each attempt that its request's line does not tell all of; at DEBUG one for each.

    Names, counts and milliseconds; by the batch, off the hot path.
    """
    if attempts_log.isEnabledFor(logging.DEBUG):
        told = entries
    elif attempts_log.isEnabledFor(logging.INFO):
        told = [entry for entry in entries if entry.attempt > 1 or entry.status == FAILED]
    else:
        return
    if told:
        attempts_log.info("attempt", extra={"lines": [_fields_to_log(entry) for entry in told]})


def _fields_to_log(entry: Entry) -> dict[str, Any]:
    return {
        "request_id": entry.request_id,
        "attempt": entry.attempt,
        "team": entry.team,
        "key": entry.key_name,
        "alias": entry.alias,
        "provider": entry.provider,
        "status": entry.status,
        "upstream_status": entry.upstream_status,
        "error": entry.error or None,
        "ms": entry.duration_ms,
        "ttft_ms": entry.ttft_ms,
        "prompt_tokens": entry.prompt_tokens,
        "completion_tokens": entry.completion_tokens,
        "cost_usd": entry.cost_usd,
    }


def write_rows(entries: Iterable[Entry]) -> None:
    """Write entries as ledger rows, and add them to the daily sums; those whose id is there already are left out."""
    # In the order of their ids, so that two processes that replay the same cannot wait for each other.
    entries = sorted(entries, key=attrgetter("id"))
    rows = _rows(entries)
    try:
        _write_new(entries, rows)
    except _SomeWereThere:
        _write_those_missing(entries, rows)


class _SomeWereThere(Exception):
    """Not all rows of a batch were new."""


def _write_new(entries: Sequence[Entry], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows in one go, or none of them.

    Raises:
        _SomeWereThere: at least one of them.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(_insertion(), rows)
        if rows and cursor.rowcount != len(rows):
            raise _SomeWereThere
        rollups.add_records(entries)


def _write_those_missing(entries: Sequence[Entry], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows one by one, to be told of each whether it was new. Slow, but only a replay has rows twice."""
    statement = _insertion()
    new: list[Entry] = []
    with transaction.atomic(), connection.cursor() as cursor:
        for entry, row in zip(entries, rows, strict=True):
            cursor.execute(statement, row)
            if cursor.rowcount:
                new.append(entry)
        rollups.add_records(new)


def put_back(entries: Sequence[Entry]) -> int:
    """Write entries whose daily sums are kept, because they come from an archive; how many were not there."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(_insertion(), _rows(entries))
        return max(0, cursor.rowcount) if entries else 0


def _insertion() -> str:
    """One prepared statement, past the ORM, costs a fifth of bulk_create (docs/contributors/measurements.md)."""
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.attname) for field in UsageRecord._meta.concrete_fields)
    marks = ", ".join(["%s"] * len(COLUMNS))
    # All names in it come from the model.
    return (
        f"INSERT INTO {quote(UsageRecord._meta.db_table)} ({columns}) VALUES ({marks}) "  # noqa: S608
        "ON CONFLICT DO NOTHING"
    )


def write_all_but_refused(entries: Sequence[Entry]) -> set[str]:
    """Write entries as ledger rows; the ids of those that the database will never take, which are logged."""
    try:
        write_rows(entries)
    except REFUSALS:
        if len(entries) > 1:
            return set().union(*(write_all_but_refused([entry]) for entry in entries))
        log.exception(
            "a usage record is refused by the database; its journal is kept",
            extra={"id": entries[0].id},
        )
        return {entries[0].id}
    return set()


def replay(directory: Path) -> int:
    """Book what processes that are gone left in their journals; the number of entries found.

    The last line of an id wins. A segment is deleted only after its entries are in the database.
    """
    count = 0
    for segment in dead_segments(directory):
        entries: dict[str, Entry] = {}
        refused: set[str] = set()
        try:
            for line in segment.lines():
                entry = _read_line(line, segment.path)
                if entry is not None:
                    entries[entry.id] = entry
            if entries:
                for entry in entries.values():
                    _explain_interruption(entry)
                    make_storable(entry)
                refused = write_all_but_refused(list(entries.values()))
        except BaseException:
            segment.keep()
            raise
        if refused:
            segment.keep()
        else:
            segment.remove()
        count += len(entries)
    return count


def entries_waiting(directory: Path, *, before: date) -> int:
    """How many entries from before a day are in the journals of processes that are gone; they are left there."""
    count = 0
    for segment in dead_segments(directory):
        try:
            entries = (_read_line(line, segment.path) for line in segment.lines())
            count += len(
                {entry.id for entry in entries if entry and entry.started_at.date() < before}
            )
        finally:
            segment.keep()
    return count


def _read_line(line: bytes, path: Path) -> Entry | None:
    try:
        return _decode(line)
    except msgspec.DecodeError:
        log.warning("a damaged line of the journal was skipped", extra={"path": path.name})
        return None


def _explain_interruption(entry: Entry) -> None:
    if entry.status == UsageRecord.Status.INTERRUPTED:
        entry.error = "ProcessKilled"
        entry.error_message = (
            "The gateway's process ended while this attempt was running; its usage is not known."
        )


def _sqlite_moment(moment: datetime) -> str:
    """As Django's own adapter writes an aware moment in UTC, at a third of its time."""
    return str(moment.replace(tzinfo=None))


def _rows(entries: Iterable[Entry]) -> list[list[Any]]:
    """The entries' values in the order of the columns, as the database takes them."""
    operations = connection.ops  # once: the connection is looked up in its thread each time
    adapt_json = operations.adapt_json_value
    adapt_moment: Callable[[datetime], Any] = operations.adapt_datetimefield_value
    if connection.vendor == "sqlite":
        adapt_moment = _sqlite_moment
    no_notes = adapt_json([], None)
    rows = []
    for entry in entries:
        row = list(_values(entry))
        row[_STARTED] = adapt_moment(entry.started_at)
        row[_COST] = None if entry.cost_usd is None else to_pico(entry.cost_usd)
        row[_SAVED] = None if entry.cache_saved_usd is None else to_pico(entry.cache_saved_usd)
        row[_NOTES] = adapt_json(entry.notes, None) if entry.notes else no_notes
        rows.append(row)
    return rows


_values = attrgetter(*COLUMNS)
_STARTED = COLUMNS.index("started_at")
_COST = COLUMNS.index("cost_usd")
_SAVED = COLUMNS.index("cache_saved_usd")
_NOTES = COLUMNS.index("notes")

"""Writes request logs: masks, compresses and stores what was captured, in a thread of its own, and purges what is old.

Theory of operation. A serving process hands over what it captured of an attempt (``put``, without a wait) and forgets
it. One background thread masks it, because that takes milliseconds, and writes rows in batches. Unlike accounts, logs
may be lost: when more is waiting than ``WAITING_BYTES_MAX``, or the database does not take a batch, it is dropped and
counted. Nothing unmasked is ever written anywhere, so what is waiting when the process is killed is gone.
"""

import logging
import queue
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import Error, connection, transaction

from accounting import snapshot
from accounting.masking import MARGIN_BYTES, Mask, Masker
from accounting.models import RequestLog
from accounting.secret_shapes import is_credential_header

log = logging.getLogger(__name__)

WAITING_BYTES_MAX = 64 * 1024 * 1024
ENTRY_BYTES = 4096
"""What an entry takes beside its bodies, roughly."""
BATCH_MAX = 50
BATCH_WAIT_S = 0.05
DATABASE_RETRY_S = 1.0
CLOSE_WAIT_S = 5.0
PURGE_AFTER_S = 60.0
PURGE_EVERY_S = 3600.0
PURGE_ROWS = 500
COMPRESSION = 6

HEADER_SECRET_CHARS_MIN = 8

Headers = Sequence[tuple[str, str]]


class Capture:
    """The beginning of a body, with the margin that masking looks at, and the size of the whole."""

    __slots__ = ("_pieces", "_room", "size")

    def __init__(self, bytes_max: int) -> None:
        self._room = bytes_max + MARGIN_BYTES
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Take in the next piece."""
        self.size += len(piece)
        if self._room > 0:
            self._pieces.append(piece[: self._room])
            self._room -= len(piece)

    @property
    def beginning(self) -> bytes:
        """What is kept of the pieces."""
        return b"".join(self._pieces)

    @property
    def held_bytes(self) -> int:
        """How much memory they take."""
        return sum(map(len, self._pieces))


@dataclass(slots=True, kw_only=True)
class LogEntry:
    """What was captured of one attempt, in clear: it stays in memory, and has no repr. Keys are ``BODIES``'s names."""

    id: str
    request_id: str
    at: datetime
    team: str
    key_name: str
    bytes_max: int
    secrets: tuple[str, ...] = field(repr=False)
    headers: Mapping[str, Headers] = field(repr=False)
    bodies: Mapping[str, Capture] = field(repr=False)


@dataclass(slots=True, kw_only=True)
class LateAnswer:
    """What the client was told of a failure, once no further attempt was made: goes with the last one's entry."""

    id: str
    bytes_max: int
    secrets: tuple[str, ...] = field(repr=False)
    headers: Headers = field(repr=False)
    body: Capture | None = field(repr=False)


class RequestLogs:
    """The queue and the thread of one process."""

    def __init__(
        self,
        *,
        body_bytes_max: int,
        retention_days: int,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """``prepare`` is called first of all in the thread that writes."""
        self._prepare = prepare
        self.body_bytes_max = body_bytes_max
        self.dropped = 0
        self._retention = timedelta(days=retention_days)
        self._queue: queue.SimpleQueue[LogEntry | LateAnswer | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()

    def start(self) -> None:
        """Begin to write."""
        if self._thread is None:
            self._is_closing.clear()
            self._thread = threading.Thread(target=self._run, name="request logs", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what is waiting, then end; blocks for a while at most."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._is_closing.set()
            self._queue.put(None)
            thread.join(CLOSE_WAIT_S)

    def put(self, entry: LogEntry | LateAnswer) -> None:
        """Have it written; dropped where too much is waiting. Never blocks; from any thread."""
        size = held_bytes(entry)
        with self._lock:
            if self._waiting_bytes + size > WAITING_BYTES_MAX:
                self.dropped += 1
                return
            self._waiting_bytes += size
            self._waiting += 1
        self._queue.put(entry)

    def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until all that was put so far is written or dropped. For tests.

        Raises:
            TimeoutError: it was not within ``timeout_s``.
        """
        until = time.monotonic() + timeout_s
        while self._waiting:
            if time.monotonic() > until:
                raise TimeoutError(f"{self._waiting} request logs are still waiting to be written")
            time.sleep(0.01)

    def _run(self) -> None:
        self._prepare()
        purge_at = time.monotonic() + PURGE_AFTER_S
        try:
            while not (self._is_closing.is_set() and self._queue.empty()):
                batch = self._take(until=purge_at)
                if batch:
                    self._write(batch)
                    self._forget(batch)
                if time.monotonic() >= purge_at:
                    purge_at = time.monotonic() + PURGE_EVERY_S
                    self._try(lambda: purge(before=datetime.now(UTC) - self._retention))
                    connection.close()
        finally:
            connection.close()

    def _take(self, *, until: float) -> list[LogEntry | LateAnswer]:
        try:
            batch = [self._queue.get(timeout=max(0.0, until - time.monotonic()))]
        except queue.Empty:
            return []
        if not self._is_closing.is_set():
            time.sleep(BATCH_WAIT_S)
        while len(batch) < BATCH_MAX and not self._queue.empty():
            batch.append(self._queue.get())
        return [entry for entry in batch if entry is not None]

    def _forget(self, batch: Sequence[LogEntry | LateAnswer]) -> None:
        with self._lock:
            self._waiting_bytes -= sum(map(held_bytes, batch))
            self._waiting -= len(batch)

    def _write(self, batch: Sequence[LogEntry | LateAnswer]) -> None:
        masks = snapshot.current().masks
        if not self._try(lambda: write(batch, masks)):
            self._is_closing.wait(DATABASE_RETRY_S)
            for entry in batch:  # one by one, so that an odd one takes no other with it
                if not self._try(lambda one=entry: write([one], masks)):  # type: ignore[misc]
                    self.dropped += 1

    def _try(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except Error:
            log.exception("request logs cannot be written or purged")
            connection.close()
            return False
        except Exception:
            # Whatever one entry brings, the thread must go on with the next.
            log.exception("a request log cannot be made")
            return False
        return True


def held_bytes(entry: LogEntry | LateAnswer) -> int:
    """How much memory an entry takes, roughly."""
    if isinstance(entry, LateAnswer):
        return ENTRY_BYTES + (entry.body.held_bytes if entry.body else 0)
    return ENTRY_BYTES + sum(body.held_bytes for body in entry.bodies.values())


def write(batch: Sequence[LogEntry | LateAnswer], masks: Sequence[Mask]) -> None:
    """Write entries as rows; those whose id is there already are left as they are."""
    rows: dict[str, RequestLog] = {}
    late = []
    for entry in batch:
        if isinstance(entry, LogEntry):
            rows[entry.id] = row_of(entry, masks)
        elif entry.id in rows:
            add_answer(rows[entry.id], entry, masks)
        else:
            late.append(entry)
    with transaction.atomic():
        RequestLog.objects.bulk_create(rows.values(), ignore_conflicts=True)
        for answer in late:
            row = (
                RequestLog.objects.only("headers", "bytes_max", "is_cut")
                .filter(pk=answer.id)
                .first()
            )
            if row is not None:
                add_answer(row, answer, masks)
                row.save(
                    update_fields=["headers", "client_answer", "client_answer_bytes", "is_cut"]
                )


def row_of(entry: LogEntry, masks: Sequence[Mask]) -> RequestLog:
    """The entry as a row, masked."""
    sent = [header for headers in entry.headers.values() for header in headers]
    masker = Masker(masks, {*entry.secrets, *secrets_in(sent)})
    row = RequestLog(
        id=entry.id,
        request_id=entry.request_id,
        at=entry.at,
        team=entry.team,
        key_name=entry.key_name,
        bytes_max=entry.bytes_max,
        headers={name: _storable(masker.headers(told)) for name, told in entry.headers.items()},
    )
    for name, body in entry.bodies.items():
        _put_body(row, name, body, masker)
    return row


def secrets_in(headers: Headers) -> set[str]:
    """The values of headers that hold credentials, each also without the word that says of which sort it is."""
    values = {value.strip() for name, value in headers if is_credential_header(name)}
    bare = {value.partition(" ")[2].strip() for value in values}
    return {secret for secret in values | bare if len(secret) >= HEADER_SECRET_CHARS_MIN}


def add_answer(row: RequestLog, answer: LateAnswer, masks: Sequence[Mask]) -> None:
    """Add to a row what the client was told."""
    masker = Masker(masks, answer.secrets)
    row.headers = {**row.headers, "client_answer": _storable(masker.headers(answer.headers))}
    if answer.body is not None:
        _put_body(row, "client_answer", answer.body, masker)


def _put_body(row: RequestLog, name: str, body: Capture, masker: Masker) -> None:
    masked = masker.body(body.beginning, bytes_max=row.bytes_max)
    setattr(row, name, zlib.compress(masked, COMPRESSION))
    setattr(row, f"{name}_bytes", body.size)
    row.is_cut = row.is_cut or body.size > row.bytes_max


def _storable(headers: list[list[str]]) -> list[list[str]]:
    """Without zero characters, which PostgreSQL has no place for."""
    return [[text.replace("\0", "") for text in header] for header in headers]


def purge(*, before: datetime) -> int:
    """Delete the logs of attempts begun before a moment, some at a time; how many there were."""
    count = 0
    while True:
        old = RequestLog.objects.filter(at__lt=before).order_by("at")
        ids = list(old.values_list("pk", flat=True)[:PURGE_ROWS])
        if not ids:
            return count
        RequestLog.objects.filter(pk__in=ids).delete()
        count += len(ids)

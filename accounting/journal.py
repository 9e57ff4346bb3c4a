"""An append-only local file in which every attempt is noted before it is made, and again when it is over.

Theory of operation. A process writes to segments of its own, ``<start>-<pid>-<number>.jsonl``, which it holds
locked (flock) while it lives. ``open`` appends an entry as it would have to be booked if the process died now
(status "interrupted"); ``close`` appends the same entry as it really ended, to the same segment. ``forget``
says that the ledger has the entry. A segment that is full is retired; once all its entries are forgotten it is
deleted. At start, ``replay`` reads the segments that nobody holds, the last line of each id wins, and gives the
entries to the ledger, whose ids make a second booking a no-op.

Lines go out with one ``os.write`` each, which survives ``kill -9`` of the process; a power cut can take the
last lines, as no write is forced to the disk (measured at 200 us each). A line that was cut by it is skipped.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from accounting.errors import JournalUnwritable

SEGMENT_BYTES_MAX = 8 * 1024 * 1024


class Noted(Protocol):
    """What the journal keeps: something with an id that can be written as one line."""

    id: str


@dataclass(slots=True, eq=False)
class Segment:
    """One file of this process. ``unfinished`` counts entries that the ledger does not have yet."""

    path: Path
    descriptor: int
    size: int = 0
    unfinished: int = 0
    is_retired: bool = False


@dataclass(slots=True)
class Journal:
    """The segments of this process. All methods may be called from any thread."""

    directory: Path
    segment_bytes_max: int = SEGMENT_BYTES_MAX
    _current: Segment | None = None
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, line: bytes) -> Segment:
        """Note an attempt that is about to be made; the segment is to be handed to ``close`` and ``forget``.

        Raises:
            JournalUnwritable: the line could not be written; the attempt must not be made.
        """
        with self._lock:
            segment = self._current
            if segment is None or segment.size >= self.segment_bytes_max:
                segment = self._next_segment()
            self._append(segment, line)
            segment.unfinished += 1
            return segment

    def close(self, segment: Segment, line: bytes) -> None:
        """Note how the attempt ended.

        Raises:
            JournalUnwritable: the line could not be written; the ledger's queue still has the entry.
        """
        self._append(segment, line)

    def forget(self, segment: Segment, count: int) -> None:
        """The ledger has ``count`` more of the segment's entries."""
        with self._lock:
            segment.unfinished -= count
            if segment.is_retired and segment.unfinished == 0:
                _remove(segment)

    def shut(self) -> None:
        """Let go of all; segments whose entries are all booked are deleted, the others wait for a replay."""
        with self._lock:
            segment, self._current = self._current, None
            if segment is None:
                return
            segment.is_retired = True
            if segment.unfinished == 0:
                _remove(segment)

    @property
    def unfinished(self) -> int:
        """Entries of the current segment that the ledger does not have yet."""
        return self._current.unfinished if self._current else 0

    def check_writable(self) -> None:
        """See whether a segment can be written.

        Raises:
            JournalUnwritable: it cannot.
        """
        with self._lock:
            if self._current is None:
                self._next_segment()

    def _next_segment(self) -> Segment:
        old = self._current
        self._made += 1
        path, descriptor = self._make_file()
        self._current = Segment(path, descriptor)
        if old is not None:
            old.is_retired = True
            if old.unfinished == 0:
                _remove(old)
        return self._current

    def _make_file(self) -> tuple[Path, int]:
        """A new file, locked. A process that replays may lock and delete an empty one first: then another."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            while True:
                name = f"{os.getpid()}-{os.urandom(4).hex()}-{self._made:06d}.jsonl"
                path = self.directory / name
                descriptor = os.open(path, flags, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    continue
                return path, descriptor
        except OSError as error:
            raise _unwritable(self.directory, error) from error

    def _append(self, segment: Segment, line: bytes) -> None:
        try:
            written = os.write(segment.descriptor, line + b"\n")
        except OSError as error:
            raise _unwritable(self.directory, error) from error
        segment.size += written
        if written <= len(line):
            # The disk is full: the half line is skipped by a replay, which reads whole lines only.
            raise JournalUnwritable(
                f"The journal in {self.directory} is full: make room on that disk."
            )


def _unwritable(directory: Path, error: OSError) -> JournalUnwritable:
    return JournalUnwritable(
        f"The journal in {directory} cannot be written ({error.strerror}): no request is sent that could not be "
        "booked. See GATEWAY_DATA_DIR.",
        retry_after_s=5,
    )


def _remove(segment: Segment) -> None:
    segment.path.unlink(missing_ok=True)
    os.close(segment.descriptor)


@dataclass(slots=True)
class DeadSegment:
    """A segment whose process is gone, locked by this process while it is read."""

    path: Path
    descriptor: int

    def lines(self) -> Iterator[bytes]:
        """Its whole lines, in the order in which they were written."""
        for line in self.path.read_bytes().split(b"\n")[:-1]:
            if line:
                yield line

    def remove(self) -> None:
        """Delete it: the ledger has its entries."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def keep(self) -> None:
        """Leave it for a later try."""
        os.close(self.descriptor)


def dead_segments(directory: Path) -> Iterator[DeadSegment]:
    """The segments that no living process holds, each locked while it is looked at."""
    if not directory.is_dir():
        return
    for path in sorted(directory.glob("*.jsonl")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # another process was faster
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # its process lives
            os.close(descriptor)
            continue
        if not path.exists():
            os.close(descriptor)
            continue
        yield DeadSegment(path, descriptor)

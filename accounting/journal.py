"""An append-only local file in which every attempt is noted before it is made, and again when it is over.

Theory of operation. A process writes to segments of its own, ``<pid>-<chance>-<number>.jsonl``, which it holds
locked (flock) while it lives. ``open`` appends an entry as it would have to be booked if the process died now
(status "interrupted"); ``close`` appends the same entry as it really ended, to the same segment. ``forget``
says that the ledger has the entry. A segment that is full, or a day old, is retired; once all its entries are forgotten
it is deleted: what a replay finds again has not been archived meanwhile. At start, ``replay`` reads the segments that
nobody holds, the last line of each id wins, and gives the entries to the ledger, whose ids make a second booking a
no-op.

A segment is allocated on the disk and mapped into memory: a line is a copy of a few hundred bytes (0.3 us)
instead of a system call (1 us alone, 18 us when it lets another thread take the interpreter). What is mapped
belongs to the kernel, so it survives ``kill -9``; a power cut can take the last lines, as nothing is forced to
the disk (200 us each). The unused rest of a segment is zeros; a line without its end is skipped.
"""

import fcntl
import logging
import mmap
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from accounting.errors import JournalUnwritable

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 1024 * 1024
CLOSING_BYTES = 16 * 1024
"""Room kept for the closing line of each attempt under way; ``close`` takes no longer one."""
RETIRE_AFTER_S = 24 * 3600.0
NOTE = bytes(2048)
"""More than an attempt's first line has."""


class Noted(Protocol):
    """What the journal keeps: something with an id that can be written as one line."""

    id: str


@dataclass(slots=True, eq=False)
class Segment:
    """One file of this process.

    ``used`` bytes are written, ``under_way`` counts attempts that are still to be closed, ``unfinished`` entries
    that the ledger does not have yet.
    """

    path: Path
    descriptor: int
    memory: mmap.mmap
    used: int = 0
    under_way: int = 0
    unfinished: int = 0
    is_retired: bool = False
    made_s: float = field(default_factory=time.monotonic)


class Depth(NamedTuple):
    """What the journal of a process holds.

    ``under_way`` are attempts that are noted and not over, ``waiting`` entries that are over and that the ledger does not
    have yet; ``bytes`` are written in all its ``segments`` together.
    """

    under_way: int
    waiting: int
    segments: int
    bytes: int


@dataclass(slots=True)
class Journal:
    """The segments of this process. All methods may be called from any thread."""

    directory: Path
    segment_bytes: int = SEGMENT_BYTES
    _current: Segment | None = None
    _made: int = 0
    _waiting: int = 0
    _segments: set[Segment] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, line: bytes) -> Segment:
        """Note an attempt that is about to be made; the segment is to be handed to ``close`` and ``forget``.

        Raises:
            JournalUnwritable: the line could not be written; the attempt must not be made.
        """
        with self._lock:
            segment = self._current
            if segment is None or self._is_full(segment, line):
                segment = self._next_segment()
                if self._is_full(segment, line):
                    raise JournalUnwritable(
                        "An attempt's note is longer than a segment of the journal."
                    )
            _append(segment, line)
            segment.under_way += 1
            segment.unfinished += 1
            return segment

    def close(self, segment: Segment, line: bytes) -> None:
        """Note how the attempt ended, in at most CLOSING_BYTES.

        Raises:
            ValueError: the line is longer.
        """
        if len(line) >= CLOSING_BYTES:
            raise ValueError(
                f"a closing line has {len(line)} bytes, not fewer than {CLOSING_BYTES}"
            )
        with self._lock:
            segment.under_way -= 1
            self._waiting += 1
            _append(segment, line)

    def forget(self, segment: Segment, count: int) -> None:
        """The ledger has ``count`` more of the segment's entries."""
        with self._lock:
            segment.unfinished -= count
            self._waiting -= count
            if segment.is_retired and segment.unfinished == 0:
                self._remove(segment)

    def retire_old(self, now_s: float) -> None:
        """Go on in another segment where the one in use is a day old by ``now_s``, in monotonic seconds."""
        with self._lock:
            if self._current is not None and now_s - self._current.made_s >= RETIRE_AFTER_S:
                self._retire()

    def shut(self) -> None:
        """Let go of all; segments whose entries are all booked are deleted, the others wait for a replay."""
        with self._lock:
            self._retire()

    def depth(self) -> Depth:
        """What is in it now."""
        with self._lock:
            unfinished = sum(segment.unfinished for segment in self._segments)
            used = sum(segment.used for segment in self._segments)
            return Depth(unfinished - self._waiting, self._waiting, len(self._segments), used)

    @property
    def waiting(self) -> int:
        """Entries that are closed, but that the ledger does not have yet."""
        return self._waiting

    def check_writable(self) -> None:
        """See whether an attempt could be noted, in the segment in use or in another one.

        Raises:
            JournalUnwritable: it cannot.
        """
        with self._lock:
            if self._current is None or self._is_full(self._current, NOTE):
                self._next_segment()

    def _is_full(self, segment: Segment, line: bytes) -> bool:
        kept = (segment.under_way + 1) * CLOSING_BYTES
        return segment.used + len(line) + 1 + kept > self.segment_bytes

    def _next_segment(self) -> Segment:
        self._made += 1
        made = self._make_segment()
        self._retire()
        self._current = made
        return made

    def _retire(self) -> None:
        segment, self._current = self._current, None
        if segment is None:
            return
        segment.is_retired = True
        if segment.unfinished == 0:
            self._remove(segment)

    def _make_segment(self) -> Segment:
        """A new file, locked. A process that replays may lock and delete an empty one first: then another."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            while True:
                path = (
                    self.directory / f"{os.getpid()}-{os.urandom(4).hex()}-{self._made:06d}.jsonl"
                )
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    continue
                if os.fstat(descriptor).st_nlink == 0:
                    os.close(descriptor)
                    continue
                segment = Segment(path, descriptor, self._map(path, descriptor))
                self._segments.add(segment)
                return segment
        except OSError as error:
            raise _unwritable(self.directory, error) from error

    def _remove(self, segment: Segment) -> None:
        self._segments.discard(segment)
        segment.path.unlink(missing_ok=True)
        segment.memory.close()
        os.close(segment.descriptor)

    def _map(self, path: Path, descriptor: int) -> mmap.mmap:
        try:
            # Really allocated, not only made longer: a full disk is told here, and not by a signal later.
            os.posix_fallocate(descriptor, 0, self.segment_bytes)
            return mmap.mmap(descriptor, self.segment_bytes)
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise


def _append(segment: Segment, line: bytes) -> None:
    end = segment.used + len(line) + 1
    segment.memory[segment.used : end] = line + b"\n"
    segment.used = end


def _unwritable(directory: Path, error: OSError) -> JournalUnwritable:
    return JournalUnwritable(
        f"The journal in {directory} cannot be written ({error.strerror}): no request is sent that could not be "
        "booked. See GATEWAY_DATA_DIR.",
        retry_after_s=5,
    )


@dataclass(slots=True)
class DeadSegment:
    """A segment whose process is gone, locked by this process while it is read."""

    path: Path
    descriptor: int

    def lines(self) -> Iterator[bytes]:
        """Its whole lines, in the order in which they were written."""
        with open(self.descriptor, "rb", closefd=False) as file:
            content = file.read()
        for line in content.rstrip(b"\0").split(b"\n")[:-1]:
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
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # another process was faster
            continue
        except OSError as error:
            log.warning(
                "a segment of the journal cannot be opened; its entries are not booked",
                extra={"path": path.name, "error": error.strerror},
            )
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

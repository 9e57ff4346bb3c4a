"""Takes usage records of past months out of the ledger into files, and reads those files.

Theory of operation. A month's records are written to a file beside its final name, which is synced to the disk, read
back and compared with what was written: how many, their sums, and a digest over all values. Only then the file gets
its name, a manifest beside it, and a row of ``UsageArchive``. Records are deleted by the ids that the file holds,
after the file was read and compared once more; a record that came late is in no file and stays. The daily sums are
not touched: reports go on to show the month. A deletion that was interrupted is taken up by the next one.

This is the only code that deletes rows of the ledger. It keeps the month that is under way and the one before, which
limits and budgets in any time zone may still look at.
"""

import csv
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.models import Min, QuerySet

from accounting import parquet
from accounting.entries import Entry
from accounting.errors import AccountingError, ArchiveDamaged, ArchiveRefused
from accounting.exports import (
    COLUMNS,
    NAMES,
    Row,
    as_plain,
    csv_heading,
    csv_lines,
    portions,
)
from accounting.ledger import put_back
from accounting.models import UsageArchive, UsageRecord
from accounting.models.money import from_pico, to_pico

ArchivedRecord = Entry
Progress = Callable[[int, int], None]
SUFFIXES = {UsageArchive.Format.CSV.value: ".csv.gz", UsageArchive.Format.PARQUET.value: ".parquet"}
DELETE_PORTION = 500
csv.field_size_limit(1024 * 1024)
"""A cell of notes may be longer than the 131,072 characters that ``csv`` reads unasked: clients choose the names in them.
The limit is one for the whole process; what is uploaded is bounded by its size."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What two readings of the same records have in common. ``digest`` is over all values, in whatever format they lie."""

    records: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal
    digest: str


class Counting:
    """Adds up a tally while records pass by."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._records = self._prompt_tokens = self._completion_tokens = self._cost_pico = 0

    def through(self, rows: Iterable[list[Row]]) -> Iterator[list[Row]]:
        """The same records, counted."""
        for portion in rows:
            for row in portion:
                self._records += 1
                self._prompt_tokens += row[_PROMPT] or 0
                self._completion_tokens += row[_COMPLETION] or 0
                self._cost_pico += 0 if row[_COST] is None else to_pico(row[_COST])
                self._digest.update(orjson.dumps(as_plain(row), option=orjson.OPT_APPEND_NEWLINE))
            yield portion

    @property
    def tally(self) -> Tally:
        """What has passed by so far."""
        return Tally(
            self._records,
            self._prompt_tokens,
            self._completion_tokens,
            from_pico(self._cost_pico),
            self._digest.hexdigest(),
        )


def first_of_month(text: str) -> date:
    """The first day of a month such as 2026-08.

    Raises:
        ValueError: that is no month.
    """
    return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()


def next_month(month_on: date) -> date:
    """The first day of the month after."""
    return (month_on + timedelta(days=32)).replace(day=1)


def last_before(today: date) -> date:
    """The latest that ``--before`` may say: the first day of the month before the one under way."""
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)


def months_before(before_on: date, *, today: date) -> list[date]:
    """The months before a day that have records in the ledger.

    Raises:
        ArchiveRefused: the day is too late; the month under way and the one before stay.
    """
    if before_on > last_before(today):
        raise ArchiveRefused(
            f"The month under way and the one before stay in the ledger: --before can be "
            f"{last_before(today):%Y-%m} at most."
        )
    oldest_at = UsageRecord.objects.aggregate(at=Min("started_at"))["at"]
    if oldest_at is None:
        return []
    month_on = oldest_at.date().replace(day=1)
    months = []
    while month_on < before_on:
        if records_of(month_on).exists():
            months.append(month_on)
        month_on = next_month(month_on)
    return months


def records_of(month_on: date) -> QuerySet[UsageRecord]:
    """The month's records that are in the ledger."""
    began_at = datetime(month_on.year, month_on.month, 1, tzinfo=UTC)
    end_on = next_month(month_on)
    ended_at = datetime(end_on.year, end_on.month, 1, tzinfo=UTC)
    return UsageRecord.objects.filter(started_at__gte=began_at, started_at__lt=ended_at)


def pending(month_on: date) -> list[UsageArchive]:
    """The month's files whose records are still in the ledger, or some of them."""
    return list(UsageArchive.objects.filter(month_on=month_on, deleted_at=None).order_by("part"))


def write_month(
    month_on: date,
    *,
    kind: str,
    directory: Path,
    by: str,
    progress: Progress | None = None,
) -> UsageArchive:
    """Write the month's records to a file, and note it. Nothing is deleted.

    Raises:
        ArchiveRefused: a file of that name is there already.
        ArchiveDamaged: what was read back is not what was written.
        ParquetMissing: nothing here can write Parquet.
        OSError: the file cannot be written.
    """
    if kind == UsageArchive.Format.PARQUET:
        parquet.check_available()
    part = UsageArchive.objects.filter(month_on=month_on).count() + 1
    name = f"usage-{month_on:%Y-%m}" + (f"-{part}" if part > 1 else "") + SUFFIXES[kind]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory.resolve() / name
    if path.exists():
        raise ArchiveRefused(
            f"{path} is there already, and not known to the database. Move it away."
        )
    partial = path.with_name("partial-" + name)
    try:
        tally = _write(partial, kind, records_of(month_on), progress)
        check(partial, tally)
        archive = UsageArchive(
            month_on=month_on,
            part=part,
            format=kind,
            path=str(path),
            **asdict(tally),
            file_bytes=partial.stat().st_size,
            written_at=datetime.now(UTC),
            by=by,
        )
        _write_manifest(archive)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_directory(directory)
    archive.save(force_insert=True)
    return archive


def _write(
    path: Path, kind: str, records: QuerySet[UsageRecord], progress: Progress | None
) -> Tally:
    counting = Counting()
    rows = counting.through(_watched(portions(records), records.count(), progress))
    with path.open("wb") as out:
        if kind == UsageArchive.Format.PARQUET:
            parquet.write(out, rows)
        else:
            with gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0) as packed:
                packed.write(csv_heading())
                for portion in rows:
                    packed.write(csv_lines(portion, for_spreadsheets=False))
        out.flush()
        os.fsync(out.fileno())
    return counting.tally


def _watched(
    rows: Iterator[list[Row]], total: int, progress: Progress | None
) -> Iterator[list[Row]]:
    done = 0
    for portion in rows:
        yield portion
        done += len(portion)
        if progress is not None:
            progress(done, total)


def manifest_path(path: Path) -> Path:
    """The file beside an archive that says what it holds."""
    return path.with_name(path.name + ".json")


def _write_manifest(archive: UsageArchive) -> None:
    said = {
        "month": f"{archive.month_on:%Y-%m}",
        "part": archive.part,
        "format": str(archive.format),
        "records": archive.records,
        "prompt_tokens": archive.prompt_tokens,
        "completion_tokens": archive.completion_tokens,
        "cost_usd": f"{archive.cost_usd:f}",
        "digest": archive.digest,
        "file_bytes": archive.file_bytes,
        "written_at": archive.written_at.isoformat(),
        "by": archive.by,
    }
    with manifest_path(Path(archive.path)).open("w", encoding="utf-8") as out:
        json.dump(said, out, indent=1)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(path: Path) -> Tally:
    """What the manifest beside a file says that it holds.

    Raises:
        ArchiveDamaged: there is none, or it cannot be read.
    """
    try:
        said = json.loads(manifest_path(path).read_text(encoding="utf-8"))
        return Tally(
            int(said["records"]),
            int(said["prompt_tokens"]),
            int(said["completion_tokens"]),
            Decimal(said["cost_usd"]),
            str(said["digest"]),
        )
    except (OSError, ValueError, KeyError, TypeError, InvalidOperation) as error:
        raise ArchiveDamaged(f"{manifest_path(path)} cannot be read: {error}") from error


def tally_of(archive: UsageArchive) -> Tally:
    """What a file must hold."""
    return Tally(
        archive.records,
        archive.prompt_tokens,
        archive.completion_tokens,
        archive.cost_usd or Decimal(0),
        archive.digest,
    )


def read_tally(path: Path) -> Tally:
    """What a file holds.

    Raises:
        ArchiveDamaged: it cannot be read.
        ParquetMissing: nothing here can read Parquet.
    """
    counting = Counting()
    for _portion in counting.through(read_rows(path)):
        pass
    return counting.tally


def check(path: Path, expected: Tally) -> None:
    """Read a file and compare it with what it must hold.

    Raises:
        ArchiveDamaged: it is not what was written.
        ParquetMissing: nothing here can read Parquet.
    """
    found = read_tally(path)
    if found != expected:
        raise ArchiveDamaged(f"{path} is not what was written: {_unlike(found, expected)}.")


def _unlike(found: Tally, expected: Tally) -> str:
    unlike = [
        f"{name} {value} instead of {asdict(expected)[name]}"
        for name, value in asdict(found).items()
        if value != asdict(expected)[name]
    ]
    return ", ".join(unlike)


def read_rows(path: Path) -> Iterator[list[Row]]:
    """The records of an archive in their order, some thousand at a time.

    Raises:
        ArchiveDamaged: it cannot be read.
        ParquetMissing: nothing here can read Parquet.
    """
    try:
        if path.name.endswith(SUFFIXES[UsageArchive.Format.PARQUET]):
            yield from parquet.read(path)
        else:
            yield from _read_csv(path)
    except AccountingError:
        raise
    except (OSError, EOFError, ValueError, ArithmeticError, KeyError, csv.Error) as error:
        raise ArchiveDamaged(f"{path} cannot be read: {error}") from error


def _read_csv(path: Path) -> Iterator[list[Row]]:
    readers = [_READERS[column.kind] for column in COLUMNS]
    may_be_empty = [column.may_be_empty for column in COLUMNS]
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if tuple(next(lines, ())) != NAMES:
            raise ValueError("its columns are not those of usage records")
        portion: list[Row] = []
        for cells in lines:
            portion.append(
                tuple(
                    None if not cell and empty else read(cell)
                    for cell, empty, read in zip(cells, may_be_empty, readers, strict=True)
                )
            )
            if len(portion) >= DELETE_PORTION:
                yield portion
                portion = []
        yield portion


_READERS: dict[str, Callable[[str], Any]] = {
    "moment": datetime.fromisoformat,
    "usd": Decimal,
    "flag": lambda cell: cell == "true",
    "json": json.loads,
    "count": int,
    "text": str,
}
_PROMPT = NAMES.index("prompt_tokens")
_COMPLETION = NAMES.index("completion_tokens")
_COST = NAMES.index("cost_usd")
_id_of = itemgetter(NAMES.index("id"))


def read_records(path: Path) -> Iterator[ArchivedRecord]:
    """The records of an archive, as the ledger takes them.

    Raises:
        ArchiveDamaged: it cannot be read.
        ParquetMissing: nothing here can read Parquet.
    """
    for portion in read_rows(path):
        for row in portion:
            yield ArchivedRecord(**dict(zip(NAMES[:-1], row[:-1], strict=True)))


def delete_archived(archive: UsageArchive, *, progress: Progress | None = None) -> int:
    """Delete from the ledger the records that an archive holds; how many that were.

    Raises:
        ArchiveDamaged: the archive is not what was written; nothing is deleted.
        ParquetMissing: nothing here can read Parquet.
    """
    path = Path(archive.path)
    check(path, tally_of(archive))
    deleted = seen = 0
    for portion in read_rows(path):
        ids = [_id_of(row) for row in portion]
        for begin in range(0, len(ids), DELETE_PORTION):
            deleted += _delete(ids[begin : begin + DELETE_PORTION])
        seen += len(ids)
        if progress is not None:
            progress(seen, archive.records)
    archive.deleted_at = datetime.now(UTC)
    archive.save(update_fields=["deleted_at"])
    return deleted


def _delete(ids: Sequence[str]) -> int:
    """The ledger's rows have no delete path of the ORM; all names here come from the model."""
    table = UsageRecord._meta.db_table
    marks = ", ".join(["%s"] * len(ids))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'DELETE FROM "{table}" WHERE id IN ({marks})', list(ids))  # noqa: S608
        return int(cursor.rowcount)


def restore(
    archive: UsageArchive, *, path: Path | None = None, progress: Progress | None = None
) -> int:
    """Put an archive's records back into the ledger; how many were not there. The daily sums hold them already.

    Raises:
        ArchiveDamaged: the archive is not what was written; nothing is put back.
        ParquetMissing: nothing here can read Parquet.
    """
    path = path or Path(archive.path)
    check(path, tally_of(archive))
    put = seen = 0
    batch: list[ArchivedRecord] = []
    for record in read_records(path):
        batch.append(record)
        if len(batch) >= DELETE_PORTION:
            put += put_back(batch)
            seen += len(batch)
            batch = []
            if progress is not None:
                progress(seen, archive.records)
    put += put_back(batch)
    archive.path, archive.deleted_at = str(path.resolve()), None
    archive.save(update_fields=["path", "deleted_at"])
    return put


class Archives:
    """Reads archived records day after day; days are asked for in their order."""

    def __init__(self) -> None:
        self._known: dict[date, list[UsageArchive]] = {}
        for archive in UsageArchive.objects.order_by("month_on", "part"):
            self._known.setdefault(archive.month_on, []).append(archive)
        self._open: dict[str, Iterator[ArchivedRecord]] = {}
        self._next: dict[str, ArchivedRecord | None] = {}
        self._unreadable: dict[str, str] = {}

    def are_all_of(self, on: date) -> bool:
        """Whether no further archive of the day's month has been written."""
        month_on = on.replace(day=1)
        known = len(self._known.get(month_on, ()))
        return known == UsageArchive.objects.filter(month_on=month_on).count()

    def records_on(self, on: date) -> list[ArchivedRecord] | str:
        """The day's archived records, be they still in the ledger or not; a sentence where they cannot be read."""
        records: list[ArchivedRecord] = []
        for archive in self._known.get(on.replace(day=1), ()):
            if archive.path not in self._unreadable:
                try:
                    records.extend(self._take(archive.path, on))
                except AccountingError as error:
                    self._unreadable[archive.path] = error.message
            if archive.path in self._unreadable:
                return self._unreadable[archive.path]
        return records

    def _take(self, path: str, on: date) -> Iterator[ArchivedRecord]:
        if path not in self._open:
            self._open[path] = read_records(Path(path))
            self._next[path] = next(self._open[path], None)
        record = self._next[path]
        while record is not None and record.started_at.date() <= on:
            if record.started_at.date() == on:
                yield record
            record = self._next[path] = next(self._open[path], None)

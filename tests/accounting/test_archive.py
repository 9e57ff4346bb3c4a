"""Archiving: files are proven before a row is deleted, sums stay, and what was archived can be read and put back."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection

from accounting import archive, exports, parquet, recount
from accounting.errors import ArchiveDamaged, ArchiveRefused, ParquetMissing
from accounting.ledger import put_back, write_rows
from accounting.models import DailyUsage, UsageArchive, UsageRecord
from conversion.report import NOTE_CHARS_MAX, NOTES_MAX, Report
from tests.accounting.test_recount import book_adjustment
from tests.factories.accounting import make_entry

pytestmark = pytest.mark.django_db
AUGUST = date(2026, 8, 1)
KINDS = ["csv", "parquet"]
ODD = "=cmd|\"/c\n,\t'é💡"


@pytest.fixture
def summer():
    """Records of July and August, 40 days; texts that are hard to write down."""
    write_rows(
        make_entry(
            id=f"r-{number:04d}",
            started_at=datetime(2026, 7, 23, 23, 59, 59, 999_999, tzinfo=UTC)
            + timedelta(days=number % 40),
            session=ODD if number % 3 == 0 else "",
            notes=[["mapped", "top_k", ODD]] if number % 5 == 0 else [],
            prompt_tokens=None if number % 4 == 0 else number,
            completion_tokens=number,
            cost_usd=None if number % 4 == 0 else Decimal(number) / 7 / 10**6,
            cache_saved_usd=Decimal(-number) / 10**12,
            streamed=number % 2 == 0,
            ttft_ms=number,
        )
        for number in range(200)
    )
    book_adjustment(UsageRecord.objects.get(pk="r-0030"), Decimal("-0.25"), "run-1")
    book_adjustment(UsageRecord.objects.get(pk="r-0032"), Decimal("0.5"), "run-1")


def write(tmp_path: Path, kind: str = "csv", month_on: date = AUGUST) -> UsageArchive:
    return archive.write_month(month_on, kind=kind, directory=tmp_path, by="test")


def values(month_on: date = AUGUST) -> list[dict[str, object]]:
    return list(archive.records_of(month_on).order_by("started_at", "id").values())


@pytest.mark.usefixtures("summer")
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_holds_each_value_of_each_record(tmp_path, kind):
    expected = values()

    made = write(tmp_path, kind)

    path = Path(made.path)
    assert path.name == {"csv": "usage-2026-08.csv.gz", "parquet": "usage-2026-08.parquet"}[kind]
    rows = [row for portion in archive.read_rows(path) for row in portion]
    assert [dict(zip(exports.NAMES[:-1], row[:-1], strict=True)) for row in rows] == expected
    assert {row[0]: row[-1] for row in rows if row[-1]} == {
        "r-0030": Decimal("-0.25"),
        "r-0032": Decimal("0.5"),
    }
    assert made.records == len(expected)
    assert made.completion_tokens == sum(row["completion_tokens"] for row in expected)
    assert made.cost_usd == sum((row["cost_usd"] or Decimal(0) for row in expected), Decimal(0))
    assert made.file_bytes == path.stat().st_size
    assert archive.read_manifest(path) == archive.tally_of(made)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, path.name + ".json"]
    assert UsageRecord.objects.count() == 200


@pytest.mark.usefixtures("summer")
def test_both_formats_have_the_same_digest(tmp_path):
    made = write(tmp_path)
    UsageArchive.objects.all().delete()

    assert write(tmp_path, "parquet").digest == made.digest


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_notes_as_a_request_can_cause_are_written_and_read_back(tmp_path, kind):
    report = Report()
    for _ in range(NOTES_MAX + 1):
        # Names that a client chose, of characters that JSON writes as six.
        report.dropped("\x01" * NOTE_CHARS_MAX, "\x01" * NOTE_CHARS_MAX)
    notes = [[note.kind, note.path, note.why] for note in report.notes]
    write_rows([make_entry(started_at=datetime(2026, 8, 3, tzinfo=UTC), notes=notes)])

    made = write(tmp_path, kind)

    [record] = archive.read_records(Path(made.path))
    assert record.notes == notes


@pytest.mark.usefixtures("summer")
@pytest.mark.parametrize("kind", KINDS)
def test_deleting_leaves_sums_as_they_are_and_the_count_reads_the_file(tmp_path, kind):
    sums = list(DailyUsage.objects.order_by("pk").values())
    made = write(tmp_path, kind)

    assert archive.delete_archived(made) == made.records

    assert not values()
    assert UsageRecord.objects.count() == 200 - made.records
    assert list(DailyUsage.objects.order_by("pk").values()) == sums
    assert made.deleted_at
    assert recount.look() == recount.Findings(days=40, differences=(), unknown=())


@pytest.mark.usefixtures("summer")
def test_a_deletion_that_stopped_half_way_still_adds_up_and_is_taken_up_again(tmp_path):
    made = write(tmp_path)
    ids = [row["id"] for row in values()]
    archive._delete(ids[:50])

    assert not recount.look().differences
    assert archive.pending(AUGUST) == [made]
    assert archive.delete_archived(made) == len(ids) - 50
    assert not archive.pending(AUGUST)
    assert not recount.look().differences


@pytest.mark.usefixtures("summer")
def test_sums_of_archived_days_are_repaired_from_the_file(tmp_path):
    sums = list(DailyUsage.objects.order_by("pk").values())
    archive.delete_archived(write(tmp_path))
    DailyUsage.objects.filter(on__month=8).delete()

    recount.look(repair=True)

    assert list(DailyUsage.objects.order_by("pk").values()) == sums


@pytest.mark.usefixtures("summer")
def test_days_whose_archive_is_elsewhere_are_told_and_left_alone(tmp_path):
    sums = list(DailyUsage.objects.order_by("pk").values())
    made = write(tmp_path)
    archive.delete_archived(made)
    Path(made.path).rename(tmp_path / "elsewhere")

    found = recount.look(repair=True)

    assert len(found.unknown) == 31
    assert "usage-2026-08.csv.gz" in found.unknown[0].reason
    assert not found.differences
    assert list(DailyUsage.objects.order_by("pk").values()) == sums


@pytest.mark.usefixtures("summer")
@pytest.mark.parametrize("repair", [False, True])
def test_a_month_that_is_archived_while_it_is_counted_still_adds_up(tmp_path, repair):
    sums = list(DailyUsage.objects.order_by("pk").values())

    def archive_meanwhile(done: int, _total: int) -> None:
        if done == 20:  # in the middle of August
            archive.delete_archived(write(tmp_path))

    found = recount.look(repair=repair, progress=archive_meanwhile)

    assert found == recount.Findings(days=40, differences=(), unknown=())
    assert list(DailyUsage.objects.order_by("pk").values()) == sums


@pytest.mark.usefixtures("summer")
def test_a_record_that_comes_late_stays_and_gets_a_file_of_its_own(tmp_path):
    first = write(tmp_path)
    late = make_entry(id="late", started_at=datetime(2026, 8, 3, tzinfo=UTC))
    write_rows([late])
    archive.delete_archived(first)

    assert [row["id"] for row in values()] == ["late"]
    second = write(tmp_path)
    assert (second.part, second.records) == (2, 1)
    assert second.path.endswith("usage-2026-08-2.csv.gz")
    archive.delete_archived(second)
    assert not recount.look().differences


@pytest.mark.usefixtures("summer")
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_archived_can_be_put_back(tmp_path, kind):
    before, sums = values(), list(DailyUsage.objects.order_by("pk").values())
    made = write(tmp_path, kind)
    archive.delete_archived(made)

    assert archive.restore(made) == made.records

    assert values() == before
    assert list(DailyUsage.objects.order_by("pk").values()) == sums
    assert archive.restore(made) == 0
    assert archive.pending(AUGUST) == [made]


@pytest.mark.usefixtures("summer")
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_deleted_when_the_file_is_damaged(tmp_path, kind):
    made = write(tmp_path, kind)
    path = Path(made.path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"nonsense" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ArchiveDamaged, match=path.name):
            archive.delete_archived(made)
    path.unlink()
    with pytest.raises(ArchiveDamaged, match=path.name):
        archive.delete_archived(made)

    assert UsageRecord.objects.count() == 200


@pytest.mark.usefixtures("summer")
def test_a_file_with_one_changed_value_is_told_apart(tmp_path):
    made = write(tmp_path)
    path = Path(made.path)
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress(text.replace(",openai_chat,", ",openai_chit,", 1).encode()))

    with pytest.raises(ArchiveDamaged, match="digest"):
        archive.delete_archived(made)


@pytest.mark.usefixtures("summer")
def test_what_is_not_read_back_as_written_is_not_kept(tmp_path, monkeypatch):
    real = exports.csv_lines
    monkeypatch.setattr(archive, "csv_lines", lambda rows, **_: real(rows[1:]))  # a disk that lies

    with pytest.raises(ArchiveDamaged):
        write(tmp_path)

    assert not UsageArchive.objects.exists()
    assert [path.name for path in tmp_path.glob("usage-*.gz")] == []


@pytest.mark.usefixtures("summer")
def test_a_file_that_is_there_is_not_written_over(tmp_path):
    (tmp_path / "usage-2026-08.csv.gz").write_text("mine")

    with pytest.raises(ArchiveRefused, match="there already"):
        write(tmp_path)

    assert (tmp_path / "usage-2026-08.csv.gz").read_text() == "mine"


@pytest.mark.usefixtures("summer")
def test_the_month_under_way_and_the_one_before_stay():
    today = date(2026, 9, 20)
    assert archive.months_before(date(2026, 8, 1), today=today) == [date(2026, 7, 1)]
    with pytest.raises(ArchiveRefused, match="2026-08 at most"):
        archive.months_before(date(2026, 9, 1), today=today)
    assert archive.months_before(date(2026, 9, 1), today=date(2026, 10, 1)) == [
        date(2026, 7, 1),
        AUGUST,
    ]
    assert archive.months_before(date(2026, 1, 1), today=today) == []


def test_an_empty_ledger_has_nothing_to_archive():
    assert archive.months_before(date(2026, 1, 1), today=date(2026, 9, 20)) == []


@pytest.mark.usefixtures("summer")
def test_without_pyarrow_a_sentence_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(ParquetMissing, match=r"make setup EXTRAS=parquet"):
        write(tmp_path, "parquet")
    with pytest.raises(ParquetMissing):
        list(parquet.read(tmp_path / "x.parquet"))


def test_a_manifest_that_cannot_be_read_is_damaged(tmp_path):
    with pytest.raises(ArchiveDamaged):
        archive.read_manifest(tmp_path / "none.csv.gz")
    (tmp_path / "bad.csv.gz.json").write_text(json.dumps({"records": 1}))
    with pytest.raises(ArchiveDamaged):
        archive.read_manifest(tmp_path / "bad.csv.gz")


def test_putting_nothing_back_is_nothing():
    assert put_back([]) == 0


def test_only_the_archive_deletes_from_the_ledger():
    """The ledger has no delete path but this one."""
    root = Path(archive.__file__).parents[1]
    told = [
        path.name
        for room in ("accounting", "llmgateway", "routing", "conversion")
        for path in (root / room).rglob("*.py")
        if "DELETE FROM" in path.read_text()
    ]

    assert told == ["archive.py"]
    assert connection.vendor

"""roll_up_usage, archive_usage and verify_archive, as an operator types them."""

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounting import archive, ledger
from accounting.ledger import write_rows
from accounting.models import DailyUsage, UsageArchive, UsageRecord
from tests.accounting.test_ledger import leave_segment
from tests.factories.accounting import make_entry, make_usage

pytestmark = pytest.mark.django_db


def run(*words: object) -> str:
    out = io.StringIO()
    call_command(*map(str, words), stdout=out)
    return out.getvalue()


def fails(*words: object, match: str) -> str:
    out = io.StringIO()
    with pytest.raises(CommandError, match=match):
        call_command(*map(str, words), stdout=out)
    return out.getvalue()


def spoil() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounting_dailyusage SET attempts = 7, cost_usd = cost_usd - 1")


def test_sums_that_are_right_are_told_in_a_line():
    make_usage(cost_usd=Decimal("0.1"))

    told = run("roll_up_usage")

    assert told == "1 days, 0 differences, 0 days made anew, 0 not compared.\n"


def test_what_differs_is_told_and_fails():
    make_usage(cost_usd=Decimal("0.1"), session="s-1")
    spoil()

    told = fails("roll_up_usage", "--verify", match="--repair makes them anew")

    assert "2026-11-20  daily usage, attempts: 7 instead of 1 (team=alder" in told
    assert "cost_usd: 0.099999999999 USD instead of 0.100000000000 USD" in told
    assert "session=s-1" in told


def test_repair_makes_them_right():
    make_usage(cost_usd=Decimal("0.1"))
    spoil()

    assert "1 days made anew" in run("roll_up_usage", "--repair")
    assert DailyUsage.objects.get().attempts == 1
    assert " 0 differences" in run("roll_up_usage")


def test_days_can_be_chosen_and_found_as_json():
    for day in (18, 19, 20):
        make_usage(started_at=datetime(2026, 11, day, tzinfo=UTC))
    spoil()

    told = fails(
        "roll_up_usage", "--json", "--from", "2026-11-19", "--to", "2026-11-19", match="anew"
    )

    tree = json.loads(told)
    assert tree["days"] == 1
    assert {difference["on"] for difference in tree["differences"]} == {"2026-11-19"}


def test_many_differences_are_cut_short():
    write_rows(make_entry(session=str(number)) for number in range(40))
    spoil()

    assert "… and 30 more; --json has all." in fails("roll_up_usage", match="anew")


@pytest.fixture
def old_records():
    """Three records in each of the months from August to the one under way, as the clock has it."""
    months = [datetime(2025, month, 5, tzinfo=UTC) for month in (8, 9)]
    for at in (*months, datetime.now(UTC) - timedelta(seconds=1)):
        write_rows(
            make_entry(started_at=at, cost_usd=Decimal("0.5"), session=str(n)) for n in range(3)
        )


@pytest.mark.usefixtures("old_records")
def test_archiving_writes_a_file_for_each_month_and_deletes_nothing(tmp_path):
    told = run("archive_usage", "--before", "2025-10", "--out", tmp_path)

    assert "2025-08  3 records, 1.500000000000 USD, " in told  # 3 * 0.5
    assert (tmp_path / "usage-2025-08.csv.gz").exists()
    assert (tmp_path / "usage-2025-09.csv.gz").exists()
    assert UsageRecord.objects.count() == 9
    assert "2025-09  is archived already" in run(
        "archive_usage", "--before", "2025-10", "--out", tmp_path
    )


@pytest.mark.usefixtures("old_records")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_records_are_deleted_once_their_file_is_proven(tmp_path, kind):
    words = ("archive_usage", "--before", "2025-09", "--out", tmp_path, "--format", kind)
    run(*words)

    told = run(*words, "--delete")

    assert "2025-08  3 records deleted from the ledger." in told
    assert UsageRecord.objects.count() == 6
    assert DailyUsage.objects.count() == 9
    assert UsageArchive.objects.get().deleted_at
    assert "No usage records before 2025-09." in run(*words)
    assert " 0 differences" in run("roll_up_usage", "--to", "2025-08-31")


@pytest.mark.usefixtures("old_records")
def test_a_dry_run_only_tells(tmp_path):
    told = run("archive_usage", "--before", "2025-09", "--out", tmp_path, "--delete", "--dry-run")

    assert told == "2025-08  3 records in the ledger. Nothing was done.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("old_records")
def test_files_lie_in_the_data_folder_without_another_word(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    run("archive_usage", "--before", "2025-09")

    assert (tmp_path / "archives" / "usage-2025-08.csv.gz").exists()


@pytest.mark.usefixtures("old_records")
def test_the_last_months_cannot_be_archived():
    fails("archive_usage", "--before", f"{datetime.now(UTC):%Y-%m}", match="at most")


def test_a_month_is_written_as_year_and_month():
    fails("archive_usage", "--before", "2025-13", match="no month such as")


@pytest.mark.usefixtures("old_records")
def test_nothing_is_deleted_while_a_journal_holds_attempts_from_then(settings, tmp_path):
    settings.JOURNAL_DIR = tmp_path / "journal"
    entry = make_entry(started_at=datetime(2025, 8, 6, tzinfo=UTC))
    leave_segment(tmp_path, ledger._encode(entry), b"damaged")
    words = ("archive_usage", "--before", "2025-09", "--out", tmp_path / "out")

    fails(*words, "--delete", match="1 attempts from then are still in the journal")
    assert UsageRecord.objects.count() == 9
    assert ledger.replay(settings.JOURNAL_DIR) == 1
    assert "4 records deleted" in run(*words, "--delete")


@pytest.mark.usefixtures("old_records")
def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    fails(
        "archive_usage",
        "--before",
        "2025-09",
        "--out",
        tmp_path / "file",
        match="cannot be written",
    )


@pytest.mark.usefixtures("old_records")
def test_archives_are_read_and_compared(tmp_path):
    assert run("verify_archive") == "No archive is known to the database.\n"
    run("archive_usage", "--before", "2025-10", "--out", tmp_path)

    told = run("verify_archive")
    assert told.count("ok  ") == 2
    first = tmp_path / "usage-2025-08.csv.gz"
    first.write_bytes(first.read_bytes()[:-20])
    told = fails("verify_archive", match="1 archives are not what they were")
    assert "WRONG" in told
    assert "ok     " in told


@pytest.mark.usefixtures("old_records")
def test_a_file_alone_is_compared_with_the_manifest_beside_it(tmp_path):
    run("archive_usage", "--before", "2025-09", "--out", tmp_path)
    UsageArchive.objects.all().delete()

    assert "3 records, 1.500000000000 USD" in run(
        "verify_archive", tmp_path / "usage-2025-08.csv.gz"
    )


@pytest.mark.usefixtures("old_records")
def test_a_file_that_was_moved_is_put_back(tmp_path):
    run("archive_usage", "--before", "2025-09", "--out", tmp_path, "--delete")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in tmp_path.glob("usage-*"):
        path.rename(elsewhere / path.name)

    told = run("verify_archive", elsewhere / "usage-2025-08.csv.gz", "--restore")

    assert "2025-08  3 records put back into the ledger." in told
    assert UsageRecord.objects.count() == 9
    assert Path(UsageArchive.objects.get().path).parent == elsewhere
    assert archive.pending(datetime(2025, 8, 1, tzinfo=UTC).date())


@pytest.mark.usefixtures("old_records")
def test_what_is_not_of_this_ledger_is_not_put_back(tmp_path):
    fails("verify_archive", "--restore", match="which files")
    run("archive_usage", "--before", "2025-09", "--out", tmp_path)
    UsageArchive.objects.all().delete()

    fails(
        "verify_archive",
        tmp_path / "usage-2025-08.csv.gz",
        "--restore",
        match="not an archive of this",
    )

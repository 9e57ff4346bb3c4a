"""The ledger: every attempt ends in exactly one row, whatever the database does meanwhile."""

import itertools
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Sum

from accounting import archive, entries, journal, recount, snapshot
from accounting import ledger as ledger_module
from accounting.entries import Entry
from accounting.errors import JournalUnwritable, LedgerImmutable
from accounting.journal import CLOSING_BYTES
from accounting.keys import make_secret
from accounting.ledger import Ledger, replay, write_rows
from accounting.models import UsageRecord
from accounting.pricing import PriceTag
from conversion.usage import Usage
from tests.factories.accounting import make_entry, make_usage
from tests.waiting import PATIENCE_S, wait_until

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PRICE = PriceTag(
    pk=7,
    valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
    prompt_usd_per_mtok=Decimal(3),
    completion_usd_per_mtok=Decimal(15),
    cache_read_usd_per_mtok=Decimal("0.3"),
    cache_write_5m_usd_per_mtok=Decimal("3.75"),
    cache_write_1h_usd_per_mtok=Decimal(6),
    reasoning_usd_per_mtok=Decimal(15),
    request_usd=Decimal(0),
)


@pytest.fixture
def ledger(transactional_db: None, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger whose thread writes."""
    made = Ledger(tmp_path / "journal")
    made.start()
    yield made
    made.close()


def book(ledger: Ledger, entry: Entry, usage: Usage | None = None) -> Entry:
    """An attempt from its begin to its end."""
    segment = ledger.open_entry(entry)
    ledger.settle(entry, segment, usage or Usage())
    return entry


def booked(ledger: Ledger, entry: Entry, usage: Usage | None = None) -> UsageRecord:
    book(ledger, entry, usage)
    ledger.flush(PATIENCE_S)
    return UsageRecord.objects.get(pk=entry.id)


def segments(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "journal").glob("*.jsonl"))


def take_table_away() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounting_usagerecord RENAME TO elsewhere")


def give_table_back() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE elsewhere RENAME TO accounting_usagerecord")


def leave_segment(tmp_path: Path, *lines: bytes) -> Path:
    """What a process that is gone left behind."""
    (tmp_path / "journal").mkdir(exist_ok=True)
    path = tmp_path / "journal" / "1-abcdef01-000001.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def line_of(entry: Entry) -> bytes:
    return ledger_module._encode(entry)


def test_a_settled_attempt_becomes_a_row_with_all_that_is_known(ledger):
    entry = make_entry(
        status="succeeded",
        duration_ms=1500,
        ttft_ms=300,
        answered_model="claude",
        upstream_id="gen-1",
        upstream_status=200,
        finish_reason="stop",
        answer_bytes=2000,
        agent="explorer",
        session="s-1",
        notes=[["mapped", "top_k", "not known there"]],
    )
    usage = Usage(
        prompt_tokens=100,  # 70 uncached + 20 cache-read + 10 cache-write
        completion_tokens=30,
        cache_read_tokens=20,
        cache_write_tokens=10,
        cache_write_1h_tokens=4,
        reasoning_tokens=7,
        cost_usd=Decimal("0.000123456789"),
    )

    row = booked(ledger, entry, usage)

    for name in ledger_module.COLUMNS:
        assert getattr(row, name) == getattr(entry, name), name
    assert row.prompt_tokens == 100
    assert row.cost_usd == Decimal("0.000123456789")
    assert row.cost_source == "provider"
    assert row.price_id is None
    assert row.tokens_estimated is False
    assert str(row) == entry.id


@pytest.fixture
def priced() -> Iterator[Callable[[PriceTag], None]]:
    """Puts a price for every test's model in force."""
    held = snapshot.current()

    def put(price: PriceTag) -> None:
        model = ("openrouter", "anthropic/claude-sonnet-4.5")
        snapshot.put_in_force(snapshot.KeyRing(number=-1, by_digest={}, prices={model: (price,)}))

    yield put
    snapshot.put_in_force(held)


def test_without_a_figure_of_the_providers_the_price_in_force_decides(ledger, priced):
    priced(PRICE)
    usage = Usage(prompt_tokens=100, completion_tokens=10, estimated=True)
    row = booked(ledger, make_entry(started_at=NOW), usage)

    assert row.cost_usd == Decimal("0.00045")  # (100 * 3 + 10 * 15) / 1 000 000
    assert row.cost_source == "price_book"
    assert row.price_id == 7
    assert row.tokens_estimated is True


def test_images_of_the_prompt_are_in_its_cost(ledger, priced):
    priced(replace(PRICE, image_usd=Decimal("0.002")))
    usage = Usage(prompt_tokens=100, completion_tokens=10)

    # 0.00045 for the tokens + 3 * 0.002
    assert booked(ledger, make_entry(prompt_images=3), usage).cost_usd == Decimal("0.00645")
    assert booked(ledger, make_entry(prompt_images=0), usage).cost_usd == Decimal("0.00045")


def test_what_caches_saved_is_booked_beside_the_providers_own_figure(ledger, priced):
    priced(PRICE)
    usage = Usage(
        prompt_tokens=1000,
        completion_tokens=10,
        cache_read_tokens=900,
        cost_usd=Decimal("0.5"),
    )
    row = booked(ledger, make_entry(), usage)

    assert row.cost_usd == Decimal("0.5")
    assert (row.cost_source, row.price_id) == ("provider", None)
    assert row.cache_saved_usd == Decimal("0.00243")  # 900 * (3 - 0.3)


def test_caches_can_have_saved_less_than_nothing(ledger, priced):
    priced(PRICE)
    usage = Usage(prompt_tokens=1000, completion_tokens=10, cache_write_tokens=1000)

    assert booked(ledger, make_entry(), usage).cache_saved_usd == Decimal("-0.00075")


def test_what_caches_saved_is_not_known_without_a_price_or_beyond_a_columns_range(ledger, priced):
    usage = Usage(prompt_tokens=2_000_000_000, completion_tokens=10, cache_read_tokens=900_000_000)

    assert booked(ledger, make_entry(), usage).cache_saved_usd is None
    priced(replace(PRICE, prompt_usd_per_mtok=Decimal(900_000)))
    assert booked(ledger, make_entry(), usage).cache_saved_usd is None


def test_unknown_usage_is_unpriced_and_not_zero(ledger):
    row = booked(ledger, make_entry())

    assert row.cost_usd is None
    assert row.cost_source == "unpriced"
    assert row.prompt_tokens is None


def test_what_is_written_is_deleted_from_the_journal_when_the_ledger_closes(ledger, tmp_path):
    booked(ledger, make_entry())
    assert len(segments(tmp_path)) == 1

    ledger.close()
    assert segments(tmp_path) == []
    assert not ledger.is_writing


def test_closing_writes_what_is_waiting(ledger, tmp_path):
    entries = [book(ledger, make_entry()) for _ in range(1200)]  # more than two batches
    ledger.close()

    assert UsageRecord.objects.count() == len(entries)
    assert ledger.waiting == 0
    assert segments(tmp_path) == []


def test_a_closed_ledger_can_start_again(ledger):
    booked(ledger, make_entry())
    ledger.close()
    ledger.close()
    ledger.start()
    ledger.start()
    booked(ledger, make_entry())

    assert UsageRecord.objects.count() == 2


def test_many_threads_book_every_attempt_once(ledger):
    def work() -> None:
        for _ in range(50):
            book(ledger, make_entry(), Usage(cost_usd=Decimal("0.000000000001")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.flush(PATIENCE_S)

    assert UsageRecord.objects.count() == 200
    total = UsageRecord.objects.aggregate(total=Sum("cost_usd"))["total"]
    assert total == Decimal("0.000000000200")


def test_attempts_may_be_settled_in_another_order_than_they_were_begun(ledger, tmp_path):
    entries = [make_entry() for _ in range(3)]
    held = [ledger.open_entry(entry) for entry in entries]
    assert ledger.waiting == 0

    for index in (2, 0, 1):
        ledger.settle(entries[index], held[index], Usage())
    ledger.flush(PATIENCE_S)

    assert set(UsageRecord.objects.values_list("pk", flat=True)) == {e.id for e in entries}


def test_flushing_does_not_wait_for_an_attempt_under_way(ledger):
    ledger.open_entry(make_entry())

    ledger.flush(timeout_s=0.1)
    assert UsageRecord.objects.count() == 0


def test_a_database_that_fails_is_tried_again_and_nothing_is_lost(ledger, tmp_path, caplog):
    booked(ledger, make_entry())
    take_table_away()
    try:
        book(ledger, make_entry())
        wait_until(lambda: "trying again" in caplog.text)
        book(ledger, make_entry())
        assert ledger.waiting == 2  # also the one that the thread has in hand
        with pytest.raises(TimeoutError, match="2 usage records are still waiting"):
            ledger.flush(timeout_s=0.05)
        assert ledger.is_writing
    finally:
        give_table_back()
    ledger.flush(PATIENCE_S)

    assert UsageRecord.objects.count() == 3
    ledger.close()
    assert segments(tmp_path) == []


def test_closing_while_the_database_fails_leaves_the_entries_to_the_next_start(
    transactional_db, tmp_path
):
    entry = make_entry()
    path = leave_segment(tmp_path, line_of(entry))
    ledger = Ledger(tmp_path / "journal")
    take_table_away()
    try:
        ledger.start()
        time.sleep(0.1)
        ledger.close()
        assert path.exists()
    finally:
        give_table_back()
    assert not ledger.is_writing

    ledger.start()
    wait_until(lambda: not path.exists())
    ledger.close()
    assert UsageRecord.objects.get().pk == entry.id


def test_settled_entries_stay_in_the_journal_when_the_ledger_closes_without_a_database(
    ledger, tmp_path, caplog
):
    booked(ledger, make_entry())
    take_table_away()
    try:
        entry = book(ledger, make_entry())
        wait_until(lambda: "trying again" in caplog.text)
        ledger.close()
    finally:
        give_table_back()

    [path] = segments(tmp_path)
    assert entry.id.encode() in path.read_bytes()
    assert ledger.waiting == 1


def test_a_row_that_the_database_refuses_holds_up_no_other(ledger, tmp_path, caplog):
    before, refused, after = make_entry(), make_entry(key_id=-1), make_entry()
    for entry in (before, refused, after):
        book(ledger, entry)
    wait_until(lambda: ledger.waiting == 1)

    assert set(UsageRecord.objects.values_list("pk", flat=True)) == {before.id, after.id}
    [record] = [r for r in caplog.records if "refused by the database" in r.message]
    assert record.id == refused.id
    ledger.close()
    [path] = segments(tmp_path)
    assert refused.id.encode() in path.read_bytes()


@pytest.mark.parametrize(
    "cost_usd", ["100000.01", "-100001", "9000001", "1e30", "1e400", "Infinity", "NaN"]
)
def test_an_amount_that_no_attempt_costs_is_no_cost(ledger, cost_usd):
    row = booked(ledger, make_entry(), Usage(prompt_tokens=1, cost_usd=Decimal(cost_usd)))

    assert row.cost_usd is None
    assert row.cost_source == "unpriced"


def test_the_largest_cost_is_kept(ledger):
    row = booked(ledger, make_entry(), Usage(cost_usd=Decimal("99999.999999999999")))

    assert row.cost_usd == Decimal("99999.999999999999")


def test_counts_that_no_column_holds_are_unknown(ledger):
    usage = Usage(
        prompt_tokens=2**31,
        completion_tokens=-1,
        cache_read_tokens=2**31 - 1,
        reasoning_tokens=10**30,
    )
    row = booked(ledger, make_entry(upstream_status=40_000), usage)

    assert row.prompt_tokens is None
    assert row.completion_tokens is None
    assert row.cache_read_tokens == 2**31 - 1
    assert row.reasoning_tokens is None
    assert row.upstream_status is None


def test_texts_are_cut_to_the_length_of_their_columns_and_lose_zero_bytes(ledger):
    long = "ä\0" * 1000
    entry = make_entry(
        alias=long,
        upstream_model=long,
        answered_model=long,
        upstream_id=long,
        agent=long,
        session=long,
        end_user=long,
        tags=long,
        error_message=long,
        notes=[["dropped", "a\0b", long]],
    )
    row = booked(ledger, entry)

    for name in (*entries._ASKED.names, *entries._ANSWERED.names):
        assert getattr(row, name) == "ä" * entries.TEXT_MAX[name]
    assert row.notes == [["dropped", "ab", "ä" * 1000]]


def test_notes_that_are_too_long_for_the_journal_still_reach_the_row(ledger, tmp_path):
    notes = [["dropped", f"messages.{number}", "x" * 100] for number in range(200)]
    row = booked(ledger, make_entry(notes=notes))

    assert row.notes == notes
    last = segments(tmp_path)[0].read_bytes().rstrip(b"\0").splitlines()[-1]
    assert len(last) < CLOSING_BYTES


def test_an_attempt_that_cannot_be_noted_is_not_made(tmp_path):
    (tmp_path / "journal").write_text("a file where a folder belongs")
    ledger = Ledger(tmp_path / "journal")

    with pytest.raises(JournalUnwritable):
        ledger.open_entry(make_entry())
    with pytest.raises(JournalUnwritable):
        ledger.check()


def test_the_journal_can_be_asked_before_the_first_attempt(tmp_path):
    ledger = Ledger(tmp_path / "journal")

    ledger.check()
    assert len(segments(tmp_path)) == 1


@pytest.mark.django_db
def test_writing_an_id_again_changes_nothing():
    first = make_entry(status="succeeded")
    again = make_entry(id=first.id, status="failed", cost_usd=Decimal(5))

    write_rows([first])
    write_rows([again, first])

    row = UsageRecord.objects.get()
    assert row.status == "succeeded"
    assert row.cost_usd is None


@pytest.mark.django_db
def test_an_id_twice_in_one_batch_is_written_once():
    entry = make_entry()
    write_rows([entry, entry])

    assert UsageRecord.objects.count() == 1


@pytest.mark.django_db
def test_no_rows_are_no_trouble():
    write_rows([])

    assert UsageRecord.objects.count() == 0


@pytest.mark.django_db
def test_the_sum_of_many_odd_amounts_is_exact():
    amounts = [Decimal(1) / Decimal(3 + number) for number in range(2000)]
    exact = [amount.quantize(Decimal("1e-12")) for amount in amounts]
    write_rows(make_entry(cost_usd=amount) for amount in amounts)

    assert UsageRecord.objects.aggregate(total=Sum("cost_usd"))["total"] == sum(exact)


@pytest.mark.django_db
def test_rows_have_no_way_to_be_changed_or_deleted():
    row = make_usage()
    row.status = "failed"

    for change in (
        row.save,
        row.delete,
        UsageRecord.objects.all().delete,
        lambda: UsageRecord.objects.update(status="failed"),
        lambda: UsageRecord.objects.create(id="2"),
        lambda: UsageRecord.objects.get_or_create(id="2"),
    ):
        with pytest.raises(LedgerImmutable):
            change()
    assert [record.status for record in UsageRecord.objects.all()] == ["succeeded"]


def open_line(**fields: object) -> Entry:
    return make_entry(status="interrupted", **fields)


@pytest.mark.django_db
def test_an_attempt_that_was_over_is_replayed_as_it_ended(tmp_path):
    entry = open_line()
    over = make_entry(
        id=entry.id, status="succeeded", cost_usd=Decimal("0.1"), cost_source="provider"
    )
    path = leave_segment(tmp_path, line_of(entry), line_of(over))

    assert replay(tmp_path / "journal") == 1

    row = UsageRecord.objects.get()
    assert row.status == "succeeded"
    assert row.cost_usd == Decimal("0.1")
    assert row.error == ""
    assert not path.exists()


@pytest.mark.django_db
def test_an_attempt_that_was_under_way_is_replayed_as_interrupted(tmp_path):
    leave_segment(tmp_path, line_of(open_line()))

    assert replay(tmp_path / "journal") == 1

    row = UsageRecord.objects.get()
    assert row.status == "interrupted"
    assert row.error == "ProcessKilled"
    assert "not known" in row.error_message
    assert row.cost_source == "unpriced"


@pytest.mark.django_db
def test_what_was_booked_already_is_replayed_without_effect(tmp_path):
    row = make_usage()
    leave_segment(tmp_path, line_of(make_entry(id=row.pk, status="failed")))

    replay(tmp_path / "journal")
    assert replay(tmp_path / "journal") == 0

    assert UsageRecord.objects.get().status == "succeeded"


@pytest.mark.django_db
def test_a_damaged_line_is_skipped_and_told(tmp_path, caplog):
    entry = open_line()
    leave_segment(tmp_path, b'{"id":"half', line_of(entry), b'{"id": 5}', b"\xff")

    assert replay(tmp_path / "journal") == 1

    assert UsageRecord.objects.get().pk == entry.id
    assert caplog.text.count("a damaged line of the journal was skipped") == 3


@pytest.mark.django_db
def test_a_segment_without_entries_is_deleted(tmp_path):
    path = leave_segment(tmp_path)

    assert replay(tmp_path / "journal") == 0
    assert not path.exists()


def test_a_segment_is_kept_while_the_database_cannot_take_it(transactional_db, tmp_path):
    path = leave_segment(tmp_path, line_of(open_line()))
    take_table_away()
    try:
        with pytest.raises(ledger_module.Error):
            replay(tmp_path / "journal")
    finally:
        give_table_back()

    assert path.exists()
    assert replay(tmp_path / "journal") == 1
    assert not path.exists()


@pytest.mark.django_db
def test_a_replayed_row_that_the_database_refuses_holds_up_no_other(tmp_path):
    good = open_line()
    path = leave_segment(tmp_path, line_of(open_line(key_id=-1)), line_of(good))

    replay(tmp_path / "journal")

    assert UsageRecord.objects.get().pk == good.id
    assert path.exists()  # what is in it is not booked


@pytest.mark.django_db
def test_a_journal_of_an_earlier_version_is_made_to_fit(tmp_path):
    leave_segment(tmp_path, line_of(open_line(alias="x" * 500, prompt_tokens=-5)))

    replay(tmp_path / "journal")

    row = UsageRecord.objects.get()
    assert row.alias == "x" * 200
    assert row.prompt_tokens is None


KILLED_CHILD = """
import os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from pathlib import Path
from accounting.ledger import Ledger
from conversion.usage import Usage
from tests.factories.accounting import make_entry
ledger = Ledger(Path(sys.argv[1]))
settled = make_entry(id="settled", status="succeeded")
ledger.settle(settled, ledger.open_entry(settled), Usage(prompt_tokens=3, completion_tokens=4))
ledger.open_entry(make_entry(id="under way", status="interrupted"))
print("noted", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_had_noted_is_booked_at_the_next_start(
    transactional_db, tmp_path, caplog
):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_CHILD, str(tmp_path / "journal")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    ledger = Ledger(tmp_path / "journal")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"noted\n"
        assert replay(tmp_path / "journal") == 0  # it lives
        process.send_signal(signal.SIGKILL)
        process.wait()
        ledger.start()
        wait_until(lambda: UsageRecord.objects.count() == 2)
        wait_until(lambda: segments(tmp_path) == [])
    finally:
        process.kill()
        process.communicate()
        ledger.close()

    rows = {row.pk: row for row in UsageRecord.objects.all()}
    assert rows["settled"].status == "succeeded"
    assert (rows["settled"].prompt_tokens, rows["settled"].completion_tokens) == (3, 4)
    assert rows["under way"].status == "interrupted"
    [record] = [r for r in caplog.records if "killed" in r.message]
    assert record.count == 2


def test_what_was_archived_is_not_booked_again_when_a_process_is_killed_that_lived_for_months(
    ledger, tmp_path, monkeypatch
):
    booked(ledger, make_entry(started_at=datetime(2026, 8, 3, tzinfo=UTC)))
    monkeypatch.setattr(journal, "RETIRE_AFTER_S", 0.0)  # a day goes by, and months
    ledger.tidy()
    booked(ledger, make_entry(id="newer", started_at=datetime(2026, 11, 3, tzinfo=UTC)))
    made = archive.write_month(date(2026, 8, 1), kind="csv", directory=tmp_path, by="test")
    assert archive.delete_archived(made) == 1

    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "journal", killed)
    replay(killed)

    assert UsageRecord.objects.get().pk == "newer"
    assert not recount.look().differences


def test_batches_are_not_larger_than_a_statement_takes(ledger):
    for _ in itertools.repeat(None, ledger_module.BATCH_MAX * 2 + 1):
        book(ledger, make_entry())
    ledger.flush(PATIENCE_S)

    assert UsageRecord.objects.count() == ledger_module.BATCH_MAX * 2 + 1


def test_an_attempt_has_a_line_in_the_log_without_anything_it_said(caplog):
    entry = make_entry(
        status="failed", error="UpstreamBroken", error_message="what the provider said"
    )
    with caplog.at_level("INFO", logger="accounting.attempts"):
        ledger_module.log_attempts([entry])
    [record] = caplog.records
    [fields] = record.lines

    assert (fields["request_id"], fields["team"], fields["status"]) == (
        entry.request_id,
        "alder",
        "failed",
    )
    assert "what the provider said" not in str(vars(record))


@pytest.mark.parametrize(
    ("status", "attempt", "is_told"),
    [
        ("succeeded", 1, False),
        ("client_closed", 1, False),
        ("succeeded", 2, True),
        ("failed", 1, True),
        ("interrupted", 3, True),
    ],
)
def test_an_attempt_that_its_requests_line_tells_all_of_has_none_of_its_own(
    caplog, status, attempt, is_told
):
    entry = make_entry(status=status, attempt=attempt)
    with caplog.at_level("INFO", logger="accounting.attempts"):
        ledger_module.log_attempts([entry])
    assert bool(caplog.records) == is_told

    caplog.clear()
    with caplog.at_level("DEBUG", logger="accounting.attempts"):
        ledger_module.log_attempts([entry])
    [record] = caplog.records
    assert [fields["attempt"] for fields in record.lines] == [attempt]


def test_the_lines_can_be_switched_off(caplog):
    with caplog.at_level("WARNING", logger="accounting.attempts"):
        ledger_module.log_attempts([make_entry()])

    assert caplog.records == []


def test_a_key_that_was_sent_for_a_name_is_in_no_row_and_no_journal(ledger, tmp_path):
    key = make_secret()
    entry = make_entry(
        alias=key, upstream_model=f"openrouter/{key}", session="sk-or-v1-planted-secret"
    )
    row = booked(ledger, entry)

    assert (row.alias, row.upstream_model, row.session) == (
        "[masked]",
        "openrouter/[masked]",
        "[masked]",
    )
    assert all(key.encode() not in path.read_bytes() for path in segments(tmp_path))

"""Request logs are written masked, in a thread of their own; they may be lost, and are deleted by their age only."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection

from accounting import request_logs, snapshot
from accounting.masking import make_mask
from accounting.models import MaskPattern, RequestLog
from accounting.request_logs import Capture, LateAnswer, LogEntry, RequestLogs, purge, row_of
from tests.factories.accounting import make_log_entry, make_request_log
from tests.waiting import PATIENCE_S, wait_until

SECRET = "sk-or-v1-planted-secret-0123456789abcdef"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def logs(transactional_db: None) -> Iterator[RequestLogs]:
    made = RequestLogs(body_bytes_max=1000, retention_days=14)
    made.start()
    yield made
    made.close()


def captured(*pieces: bytes, bytes_max: int = 1000) -> Capture:
    capture = Capture(bytes_max)
    for piece in pieces:
        capture.add(piece)
    return capture


def late(entry: LogEntry, body: bytes = b"no") -> LateAnswer:
    return LateAnswer(
        id=entry.id,
        bytes_max=1000,
        secrets=(SECRET,),
        headers=((":status", "502"), ("x-note", SECRET)),
        body=captured(body),
    )


def test_an_entry_becomes_a_row_with_what_crossed(logs):
    entry = make_log_entry(
        headers={"client_request": (("X-Api-Key", "gw-x"), ("user-agent", "sdk"))},
        bodies={"client_request": captured(b'{"a": 1}'), "client_answer": captured(b"x", b"yz")},
    )
    logs.put(entry)
    logs.flush(PATIENCE_S)

    row = RequestLog.objects.get(pk=entry.id)
    assert row.headers == {"client_request": [["X-Api-Key", "[masked]"], ["user-agent", "sdk"]]}
    assert [(body.name, body.text, body.size) for body in row.bodies] == [
        ("client_request", b'{"a": 1}', 8),
        ("client_answer", b"xyz", 3),
    ]
    assert (row.team, row.key_name, row.request_id) == ("alder", "laptop", entry.request_id)
    assert row.at == entry.at
    assert row.is_cut is False
    assert row.upstream_answer_bytes is None


def test_a_long_body_is_cut_and_says_so(logs):
    entry = make_log_entry(bodies={"client_answer": captured(b"ab" * 300, b"cd" * 300)})
    logs.put(entry)
    logs.flush(PATIENCE_S)

    row = RequestLog.objects.get()
    [body] = row.bodies
    assert (len(body.text), body.size, body.is_cut, row.is_cut) == (1000, 1200, True, True)


def test_no_more_of_a_body_is_held_than_is_looked_at():
    capture = captured(*[b"x" * 1000] * 1000, bytes_max=1000)

    assert capture.size == 1_000_000
    assert capture.held_bytes == len(capture.beginning) == 1000 + request_logs.MARGIN_BYTES


def test_secrets_are_masked_that_are_known_by_value_or_sent_in_a_header():
    entry = make_log_entry(
        secrets=("first-secret",),
        headers={"upstream_request": (("authorization", "Token second-secret"),)},
        bodies={"client_answer": captured(b"first-secret, second-secret, third")},
    )
    row = row_of(entry, ())

    assert row.bodies[0].text == b"[masked], [masked], third"


def test_configured_patterns_are_applied_from_the_picture_in_force(logs, monkeypatch):
    ring = snapshot.KeyRing(1, {}, {}, masks=(make_mask("patients", r"P-\d+", "[patient]"),))
    monkeypatch.setattr(snapshot._Held, "ring", ring)
    logs.put(make_log_entry(bodies={"client_request": captured(b"P-123 is ill")}))
    logs.flush(PATIENCE_S)

    assert RequestLog.objects.get().bodies[0].text == b"[patient] is ill"


@pytest.mark.django_db
def test_a_changed_pattern_is_in_the_next_picture():
    before = snapshot.version()
    MaskPattern.objects.create(name="off", pattern="x", enabled=False)
    MaskPattern.objects.create(name="second", pattern="b", position=2)
    MaskPattern.objects.create(name="first", pattern="a", replacement="[a]", position=1)
    ring = snapshot.build()

    assert ring.number == snapshot.version() > before
    assert [mask.replacement for mask in ring.masks] == [b"[a]", b"[masked]"]


def test_a_pattern_that_would_do_harm_cannot_be_saved():
    with pytest.raises(ValidationError, match="matches the empty text"):
        MaskPattern(name="all", pattern=".*").clean()


def test_what_the_client_was_told_at_last_goes_with_the_last_attempt(logs):
    together, apart = make_log_entry(), make_log_entry()
    logs.put(apart)
    logs.flush(PATIENCE_S)
    logs.put(together)
    logs.put(late(together))
    logs.put(late(apart, b"told: " + SECRET.encode()))
    logs.put(late(make_log_entry()))  # its attempt was dropped
    logs.flush(PATIENCE_S)

    assert RequestLog.objects.count() == 2
    for entry, text in ((together, b"no"), (apart, b"told: [masked]")):
        row = RequestLog.objects.get(pk=entry.id)
        assert row.bodies[-1].text == text
        assert row.headers["client_answer"] == [[":status", "502"], ["x-note", "[masked]"]]


def test_a_second_entry_of_an_id_changes_nothing(logs):
    entry = make_log_entry(team="alder")
    logs.put(entry)
    logs.put(make_log_entry(id=entry.id, team="birch"))
    logs.flush(PATIENCE_S)
    logs.put(make_log_entry(id=entry.id, team="birch"))
    logs.flush(PATIENCE_S)

    assert RequestLog.objects.count() == 1


def test_too_much_waiting_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(request_logs, "WAITING_BYTES_MAX", 3 * request_logs.ENTRY_BYTES)
    idle = RequestLogs(body_bytes_max=1000, retention_days=1)
    for _ in range(5):
        idle.put(make_log_entry())

    assert idle.dropped == 2
    with pytest.raises(TimeoutError, match="3 request logs"):
        idle.flush(timeout_s=0.01)


def test_an_entry_that_cannot_be_written_takes_no_other_with_it(logs, monkeypatch, caplog):
    monkeypatch.setattr(request_logs, "DATABASE_RETRY_S", 0.01)
    good, odd = make_log_entry(), make_log_entry(headers={"client_request": None})
    logs.put(odd)
    logs.put(good)
    logs.flush(PATIENCE_S)

    assert RequestLog.objects.get().pk == good.id
    assert logs.dropped == 1
    assert "a request log cannot be made" in caplog.text


def test_a_database_that_is_away_costs_logs_but_not_the_thread(logs, monkeypatch, caplog):
    monkeypatch.setattr(request_logs, "DATABASE_RETRY_S", 0.01)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounting_requestlog RENAME TO elsewhere")
    try:
        logs.put(make_log_entry(bodies={"client_request": captured(SECRET.encode())}))
        logs.flush(PATIENCE_S)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO accounting_requestlog")
    logs.put(make_log_entry())
    logs.flush(PATIENCE_S)

    assert logs.dropped == 1
    assert RequestLog.objects.count() == 1
    assert SECRET not in caplog.text


def test_what_is_waiting_is_written_at_the_end(transactional_db):
    logs = RequestLogs(body_bytes_max=1000, retention_days=14)
    logs.start()
    logs.start()  # a second call has no effect
    for _ in range(120):
        logs.put(make_log_entry())
    logs.close()
    logs.close()

    assert RequestLog.objects.count() == 120


def test_the_thread_purges_by_the_retention(transactional_db, monkeypatch):
    monkeypatch.setattr(request_logs, "PURGE_AFTER_S", 0.01)
    old = make_request_log(at=datetime.now(UTC) - timedelta(days=15))
    young = make_request_log(at=datetime.now(UTC) - timedelta(days=13))
    logs = RequestLogs(body_bytes_max=1000, retention_days=14)
    logs.start()
    wait_until(lambda: not RequestLog.objects.filter(pk=old.pk).exists())
    logs.close()

    assert RequestLog.objects.get() == young


@pytest.mark.django_db
def test_purging_goes_in_steps_and_spares_the_young(monkeypatch):
    monkeypatch.setattr(request_logs, "PURGE_ROWS", 2)
    for days in range(1, 8):
        make_request_log(at=NOW - timedelta(days=days))

    assert (
        purge(before=NOW - timedelta(days=2)) == 5
    )  # 3 to 7; the second is not before its own moment
    assert RequestLog.objects.count() == 2


@pytest.mark.django_db
def test_the_command_purges_and_says_how_many():
    make_request_log(at=datetime.now(UTC) - timedelta(days=20))
    make_request_log(at=datetime.now(UTC) - timedelta(days=3))
    out = StringIO()
    call_command("purge_request_logs", stdout=out)
    assert out.getvalue() == "1 request logs older than 14 days were deleted.\n"

    call_command("purge_request_logs", "--days", "0", stdout=out)
    assert not RequestLog.objects.exists()
    with pytest.raises(CommandError, match="negative"):
        call_command("purge_request_logs", "--days", "-1")


def test_nothing_that_is_held_shows_its_secrets():
    entry = make_log_entry(
        secrets=(SECRET,),
        headers={"client_request": (("x-api-key", SECRET),)},
        bodies={"client_request": captured(SECRET.encode())},
    )

    assert SECRET not in repr(entry) + repr(late(entry))
    assert str(RequestLog(id="1-1")) == "1-1"
    assert str(MaskPattern(name="patients")) == "patients"

"""Whether a process can serve, and what is missing if not."""

import sqlite3
import threading

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection

from accounting import ledger as ledger_module
from accounting import snapshot as keys_snapshot
from conversion.usage import Usage
from llmgateway import health
from llmgateway.runtime import Runtime, refresh_pictures
from routing import snapshot
from routing.models import ModelAlias
from tests.factories.accounting import make_entry
from tests.factories.routing import make_alias, make_provider
from tests.waiting import until


@pytest.fixture(autouse=True)
def nothing_in_force():
    """Each test begins as a new process does."""
    before = snapshot.in_force(), keys_snapshot.current()
    snapshot.put_in_force(None)
    yield
    snapshot.put_in_force(before[0])
    keys_snapshot.put_in_force(before[1])


@pytest.fixture
async def runtime(transactional_db, tmp_path):
    del transactional_db
    made = Runtime(tmp_path / "journal")
    yield made
    await made.stop()


async def told(runtime: Runtime) -> tuple[int, dict[str, object]]:
    report = await health.readiness(runtime)
    return report.status, orjson.loads(report.body)


def break_alias(alias: ModelAlias) -> None:
    ModelAlias.objects.filter(pk=alias.pk).update(match="regex", name="(")
    snapshot.bump()


def run_sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


async def test_a_serving_process_is_ready(runtime):
    await runtime.start()

    assert await told(runtime) == (
        200,
        {
            "status": "ready",
            "process": "ok",
            "database": "ok",
            "journal": "ok",
            "ledger": "ok",
            "configuration": "ok",
            "snapshot": snapshot.current().number,
            "warnings": [],
            "usage_records_waiting": 0,
            "request_logs_dropped": 0,
        },
    )


async def test_a_process_that_has_not_started_is_not(runtime):
    status, report = await told(runtime)

    assert status == 503
    assert report["status"] == "not ready"
    assert report["process"] == "new"
    assert report["ledger"] == "usage records are not being written"
    assert "no configuration could be put in force" in str(report["configuration"])
    assert "snapshot" not in report


async def test_a_process_that_stops_is_not(transactional_db, tmp_path):
    runtime = Runtime(tmp_path / "journal")
    await runtime.start()
    await runtime.stop()

    status, report = await told(runtime)

    assert status == 503
    assert report["process"] == "stopping"


async def test_a_warning_and_a_refused_picture_leave_it_ready(runtime):
    def configure() -> ModelAlias:
        make_provider(ca_bundle_pem="no certificate")
        return make_alias("name")

    alias = await sync_to_async(configure)()
    await runtime.start()
    await sync_to_async(break_alias)(alias)
    await runtime.refresh()

    status, report = await told(runtime)

    assert status == 200
    assert isinstance(report["warnings"], list)
    assert "CA bundle cannot be read" in report["warnings"][0]
    assert "missing )" in report["warnings"][1]


async def test_without_any_picture_it_is_not_ready_and_says_why(transactional_db, runtime):
    def configure() -> None:
        break_alias(make_alias("name"))
        refresh_pictures()

    await sync_to_async(configure)()
    await runtime.start()

    status, report = await told(runtime)

    assert status == 503
    assert "missing )" in str(report["configuration"])


async def test_a_journal_that_cannot_be_written_is_told(transactional_db, tmp_path):
    (tmp_path / "journal").write_text("a file where a folder belongs")
    runtime = Runtime(tmp_path / "journal")
    await runtime.start()
    try:
        status, report = await told(runtime)
    finally:
        await runtime.stop()

    assert status == 503
    assert "GATEWAY_DATA_DIR" in str(report["journal"])


async def test_records_that_wait_are_told_and_make_nothing_unready(runtime, monkeypatch):
    """Requests go on: the journal keeps their records until the database takes them."""
    await runtime.start()
    assert (await told(runtime))[1]["ledger"] == "ok"
    may_write = threading.Event()

    def write(_entries: object) -> set[str]:
        if not may_write.is_set():
            raise OperationalError("full") from sqlite3.OperationalError("/secret/place is full")
        return set()

    monkeypatch.setattr(ledger_module, "write_all_but_refused", write)
    entry = make_entry()
    runtime.ledger.settle(entry, runtime.ledger.open_entry(entry), Usage())
    await until(lambda: runtime.ledger.trouble)

    status, report = await told(runtime)
    assert (status, report["status"]) == (200, "ready")
    assert report["ledger"] == "usage records wait for the database (OperationalError, for 0 s)"
    assert report["usage_records_waiting"] == 1

    may_write.set()
    await until(lambda: not runtime.ledger.waiting)
    assert (await told(runtime))[1]["ledger"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_has_not_run_is_told():
    statement = "UPDATE django_migrations SET name = %s WHERE app = 'accounting' AND name = %s"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM django_migrations WHERE app = 'accounting' ORDER BY name DESC"
        )
        [name] = cursor.fetchone()
        cursor.execute(statement, ["elsewhere", name])
        try:
            assert health.check_database() == "1 migrations have not run: manage.py migrate"
        finally:
            with connection.cursor() as again:
                again.execute(statement, [name, "elsewhere"])
    assert health.check_database() == "ok"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_fails_is_told_without_its_address():
    run_sql("ALTER TABLE django_migrations RENAME TO elsewhere")
    run_sql("CREATE TABLE django_migrations (odd integer)")
    try:
        assert health.check_database() == "no answer (OperationalError)"
    finally:
        run_sql("DROP TABLE django_migrations")
        run_sql("ALTER TABLE elsewhere RENAME TO django_migrations")

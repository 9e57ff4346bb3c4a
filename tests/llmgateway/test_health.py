"""Whether the gateway says that it can serve, and what is missing when it cannot."""

import asyncio

from asgiref.sync import sync_to_async
from django.db import connection

from accounting.snapshot import KeyRing
from accounting.snapshot import put_in_force as put_keys_in_force
from llmgateway.health import check_database, readiness
from llmgateway.runtime import Runtime
from routing import snapshot
from routing.models import ModelAlias, Provider
from tests.fakes.upstream import FakeUpstream
from tests.llmgateway.conftest import ALIAS, SECRET
from tests.llmgateway.test_messages import ASK
from tests.serving import Serving


async def ready(gateway: Serving) -> tuple[int, dict]:
    answer = await gateway.http.get("/health/ready")
    assert SECRET not in answer.text
    return answer.status_code, answer.json()


async def test_a_gateway_that_serves_is_ready(gateway: Serving):
    status, report = await ready(gateway)

    assert status == 200
    assert report == {
        "status": "ready",
        "process": "ok",
        "database": "ok",
        "journal": "ok",
        "ledger": "ok",
        "configuration": "ok",
        "snapshot": snapshot.current().number,
        "warnings": [],
        "usage_records_waiting": 0,
    }


async def test_being_alive_needs_neither_a_key_nor_anything_else(gateway: Serving):
    del gateway.http.headers["x-api-key"]

    answer = await gateway.http.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "up"})
    assert (await ready(gateway))[0] == 200


async def test_a_journal_that_cannot_be_written_is_told_and_nothing_is_sent(
    provider: Provider, key: str, upstream: FakeUpstream, tmp_path
):
    from tests.serving import serving

    del provider
    (tmp_path / "journal").write_text("a file where the folder belongs")
    async with serving(tmp_path / "journal", key=key) as gateway:
        status, report = await ready(gateway)
        answer = await gateway.messages(ASK)

    assert (status, report["status"]) == (503, "not ready")
    assert "GATEWAY_DATA_DIR" in report["journal"]
    assert answer.status_code == 529
    assert answer.json()["error"]["type"] == "overloaded_error"
    assert answer.headers["retry-after"] == "5"
    assert upstream.requests == []


async def test_a_configuration_that_cannot_be_built_keeps_the_old_one_serving_and_is_told(
    gateway: Serving,
):
    def break_alias() -> None:
        # Past the form, which would have refused it.
        ModelAlias.objects.create(name="broken-(", match="regex")

    await sync_to_async(break_alias)()
    await asyncio.sleep(0.6)  # the watch looks every 0.25 s

    status, report = await ready(gateway)
    assert status == 200
    assert len(report["warnings"]) == 1
    assert "missing" in report["warnings"][0]
    assert (await gateway.messages(ASK)).status_code == 200

    def mend_alias() -> None:
        ModelAlias.objects.get(name="broken-(").delete()

    await sync_to_async(mend_alias)()
    await asyncio.sleep(0.6)

    assert (await ready(gateway))[1]["warnings"] == []


async def test_without_any_configuration_it_is_not_ready(gateway: Serving):
    held = snapshot.current()
    snapshot.put_in_force(None)
    snapshot.refuse("the reason")
    try:
        report = await readiness(gateway.runtime)
    finally:
        snapshot.put_in_force(held)

    assert report.status == 503
    assert b"no configuration could be put in force: the reason" in report.body


async def test_a_credential_that_cannot_be_opened_is_a_warning(
    gateway: Serving, provider: Provider
):
    def add_unreadable() -> None:
        provider.credentials.create(label="lost", sealed_secret="nonsense")

    await sync_to_async(add_unreadable)()
    await gateway.runtime.refresh()

    status, report = await ready(gateway)
    assert status == 200
    assert report["warnings"][0].startswith("Credential openrouter/lost: ")
    assert (await gateway.messages({**ASK, "model": ALIAS})).status_code == 200


async def test_before_it_starts_a_process_is_not_ready(transactional_db, tmp_path):
    put_keys_in_force(KeyRing(number=-1, by_digest={}, prices={}))
    runtime = Runtime(tmp_path / "journal")

    report = await readiness(runtime)
    await runtime.stop()

    assert report.status == 503
    assert b'"process":"new"' in report.body
    assert b"usage records are not being written" in report.body


def test_a_migration_that_has_not_run_is_told(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations WHERE app = 'accounting'")
        row = cursor.fetchone()
        cursor.execute("DELETE FROM django_migrations WHERE app = 'accounting'")
    try:
        assert check_database() == "1 migrations have not run: manage.py migrate"
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, '2026-01-01')",
                row,
            )
    assert check_database() == "ok"

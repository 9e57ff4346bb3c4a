"""The watch over the configuration, and the tasks that run beside requests."""

import asyncio
import gc
import logging
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from accounting import journal
from accounting import snapshot as keys_snapshot
from accounting.admission.values import BudgetPicture, Need, Rules, Used
from accounting.models import Budget
from conversion.errors import UpstreamBroken, UpstreamUnauthorized
from llmgateway import runtime as runtime_module
from llmgateway.runtime import WATCH_EVERY_S, Runtime, State, gently, reading, refresh_pictures
from llmgateway.tasks import spawn
from routing import snapshot as routing_snapshot
from routing.models import Credential, Deployment, ModelAlias
from tests.factories.accounting import make_key, make_team
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider
from tests.waiting import PATIENCE_S, assert_within, until


@pytest.fixture(autouse=True)
def nothing_in_force():
    """Each test begins as a new process does."""
    before = routing_snapshot.in_force(), keys_snapshot.current()
    routing_snapshot.put_in_force(None)
    keys_snapshot.put_in_force(keys_snapshot.KeyRing(number=-1, by_digest={}, prices={}))
    yield
    routing_snapshot.put_in_force(before[0])
    keys_snapshot.put_in_force(before[1])


@pytest.fixture
async def runtime(transactional_db, tmp_path):
    del transactional_db
    made = Runtime(tmp_path / "journal")
    await made.start()
    yield made
    await made.stop()


def break_alias(alias: ModelAlias) -> None:
    """As only a careless hand in the database could: pages and imports refuse such a pattern."""
    ModelAlias.objects.filter(pk=alias.pk).update(match="regex", name="(")
    routing_snapshot.bump()


@pytest.mark.django_db
def test_pictures_are_built_when_their_rows_have_changed_and_only_then():
    provider = make_provider()
    make_credential(provider)
    make_alias("name", make_deployment(provider))
    minted = make_key()

    assert refresh_pictures() is True
    assert set(routing_snapshot.current().exact) == {"name"}
    assert list(keys_snapshot.current().by_digest) == [minted.row.digest]
    picture, ring = routing_snapshot.current(), keys_snapshot.current()
    assert refresh_pictures() is False
    assert routing_snapshot.current() is picture
    assert keys_snapshot.current() is ring

    minted.row.enabled = False
    minted.row.save()
    assert refresh_pictures() is False
    assert keys_snapshot.current() is not ring
    make_alias("other")
    assert refresh_pictures() is True


@pytest.mark.django_db
def test_a_picture_that_cannot_be_built_leaves_the_old_one_and_is_tried_once(caplog):
    alias = make_alias("name")
    refresh_pictures()
    picture = routing_snapshot.current()
    break_alias(alias)

    for _ in range(3):
        assert refresh_pictures() is False

    assert routing_snapshot.current() is picture
    assert "missing )" in routing_snapshot.failure()
    assert caplog.text.count("cannot be put in force") == 1
    ModelAlias.objects.all().delete()
    assert refresh_pictures() is True
    assert routing_snapshot.failure() == ""


@pytest.mark.django_db
def test_a_first_picture_that_cannot_be_built_is_not_tried_four_times_a_second(caplog):
    break_alias(make_alias("name"))

    for _ in range(3):
        assert refresh_pictures() is False

    assert routing_snapshot.in_force() is None
    assert routing_snapshot.failure()
    assert caplog.text.count("cannot be put in force") == 1


async def test_a_process_serves_once_it_has_started(runtime):
    assert runtime.state is State.SERVING
    assert runtime.ledger.is_writing
    assert routing_snapshot.in_force() is not None
    await runtime.start()  # once more has no effect
    assert runtime.state is State.SERVING


async def test_an_edit_is_in_force_within_a_second(runtime):
    names = iter("abcdefgh")

    async def in_force_s() -> float:
        await sync_to_async(make_alias)(name := next(names))
        began_s = time.monotonic()
        await until(lambda: name in routing_snapshot.current().exact)
        return time.monotonic() - began_s

    await assert_within(1, in_force_s)


async def test_a_pool_whose_provider_was_edited_is_retired(runtime):
    row = await sync_to_async(make_provider)(base_url="http://127.0.0.1:1/v1")
    await until(lambda: "openrouter" in routing_snapshot.current().providers)
    pool = runtime.pools.of(routing_snapshot.current().providers["openrouter"])

    def edit() -> None:
        row.base_url = "http://127.0.0.1:2/v1"
        row.save()

    await sync_to_async(edit)()
    await until(lambda: pool.is_closed)


async def test_what_failed_is_asked_again_as_soon_as_it_is_edited(runtime):
    def make() -> tuple[Credential, Deployment]:
        provider = make_provider()
        credential = make_credential(provider)
        deployment = make_deployment(provider)
        make_alias("sonnet", deployment)
        return credential, deployment

    credential, deployment = await sync_to_async(make)()
    await until(lambda: "sonnet" in routing_snapshot.current().exact)
    cooldowns, now_s = runtime.live.cooldowns, time.monotonic()
    policy = routing_snapshot.current().providers["openrouter"].cooldown
    for _ in range(policy.after):
        cooldowns.failed(deployment.pk, UpstreamBroken("no"), policy, now_s)
    cooldowns.rest_credential(credential.pk, UpstreamUnauthorized("no"), now_s)

    await sync_to_async(make_alias)("opus")  # says nothing of either
    await until(lambda: "opus" in routing_snapshot.current().exact)
    assert cooldowns.is_skipped(deployment.pk, now_s)

    def edit() -> None:
        credential.seal("sk-or-another-secret")
        credential.save()

    await sync_to_async(edit)()
    await until(lambda: not cooldowns.rest_left_s(credential.pk, now_s))
    assert not cooldowns.is_skipped(deployment.pk, now_s)


async def test_a_provider_with_a_broken_bundle_does_not_end_the_watch(runtime):
    await sync_to_async(make_provider)(ca_bundle_pem="no certificate")
    await until(lambda: "openrouter" in routing_snapshot.current().providers)
    await sync_to_async(make_alias)("later")

    await until(lambda: "later" in routing_snapshot.current().exact)
    assert "CA bundle cannot be read" in routing_snapshot.current().warnings[0]


def rename_version_table(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


@pytest.mark.parametrize("table", ["routing_routingversion", "routing_modelalias"])
async def test_the_watch_outlives_a_database_that_fails(runtime, caplog, table):
    await sync_to_async(routing_snapshot.bump)()
    await sync_to_async(rename_version_table)(table, "elsewhere")
    try:
        await until(lambda: runtime.watch_failure == "OperationalError")
        await asyncio.sleep(0.3)
    finally:
        await sync_to_async(rename_version_table)("elsewhere", table)
    await until(lambda: runtime.watch_failure == "")

    assert caplog.text.count("the configuration cannot be read") == 1
    await sync_to_async(make_alias)("later")
    await until(lambda: "later" in routing_snapshot.current().exact)


@pytest.mark.parametrize("fault", ["raises", "hangs"])
async def test_ticks_and_figures_go_on_while_the_database_does_not_answer(
    transactional_db, tmp_path, monkeypatch, settings, fault
):
    settings.METRICS_DIR = str(tmp_path)  # as with several workers
    runtime = Runtime(tmp_path / "journal")
    await runtime.start()
    ticks, noted = [], []
    monkeypatch.setattr(runtime.gate, "tick", lambda: ticks.append(1), raising=False)
    monkeypatch.setattr(runtime, "note_metrics", lambda: noted.append(1))

    async def refresh() -> None:
        if fault == "raises":
            raise OperationalError("away")
        await asyncio.Event().wait()

    monkeypatch.setattr(runtime, "refresh", refresh)
    await asyncio.sleep(2 * WATCH_EVERY_S)  # the look under way is over
    before = len(noted)
    await until(lambda: len(noted) >= before + 3)
    assert len(ticks) >= 3
    await runtime.stop()


async def test_a_tick_that_fails_ends_no_further_ones(runtime, caplog, monkeypatch):
    calls = []

    def fail() -> None:
        calls.append(1)
        raise ValueError("odd")

    monkeypatch.setattr(runtime.gate, "tick", fail, raising=False)
    await until(lambda: len(calls) >= 3)
    assert caplog.text.count("what is due several times a second failed") == 1


async def test_a_stop_waits_for_no_part_that_does_not_end(
    transactional_db, tmp_path, monkeypatch, caplog
):
    runtime = Runtime(tmp_path / "journal")
    await runtime.start()
    closed = []
    close = runtime.ledger.close

    async def never() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise ValueError("odd")

    monkeypatch.setattr(runtime.checks, "stop", never)
    monkeypatch.setattr(runtime.gate, "close", fail, raising=False)
    monkeypatch.setattr(
        runtime.ledger, "close", lambda within_s: [close(within_s), closed.append(within_s)]
    )

    async with asyncio.timeout(PATIENCE_S):
        await runtime.stop()

    assert closed
    assert "did not end in time" in caplog.text
    assert "a part of the process failed at its end" in caplog.text


async def test_the_watch_books_what_other_processes_left(transactional_db, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_module, "REPLAY_EVERY_S", 0.0)
    runtime = Runtime(tmp_path / "journal")
    await runtime.start()
    await asyncio.sleep(0.1)  # the ledger's own replay, at the start, is over
    path = tmp_path / "journal" / "1-abcdef01-000001.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")

    await until(lambda: not path.exists())
    await runtime.stop()


async def test_a_day_old_segment_of_the_journal_is_retired(transactional_db, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_module, "REPLAY_EVERY_S", 0.0)
    monkeypatch.setattr(journal, "RETIRE_AFTER_S", 0.0)
    runtime = Runtime(tmp_path / "journal")
    await runtime.start()
    runtime.ledger.check()  # which makes one

    await until(lambda: not list((tmp_path / "journal").glob("*")))
    await runtime.stop()


async def test_a_budget_that_was_deleted_is_asked_for_without_an_error(
    transactional_db, tmp_path, caplog
):
    team = await sync_to_async(make_team)()
    row = await Budget.objects.acreate(team=team, amount_usd=Decimal(1), window="total")
    budget = BudgetPicture(row.pk, "alder", "the total budget of team alder", 100, "total", "UTC")
    runtime = Runtime(tmp_path / "journal")
    await runtime.start()
    rules = (Rules("alder", "team alder", budgets=(budget,)),)
    (await runtime.gate.admit(rules, Need("r", worst_pico=7))).settle(Used())
    await row.adelete()

    assert await runtime._read_spent(budget, budget.window_at(datetime.now(UTC))) == 0
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    await runtime.stop()


async def test_stopping_before_the_start_is_no_trouble(transactional_db, tmp_path):
    runtime = Runtime(tmp_path / "journal")
    await runtime.stop()

    assert runtime.state is State.STOPPING


async def test_a_background_task_has_a_name_and_gives_its_result():
    async def work() -> int:
        return 7

    task = spawn(work(), name="seven")
    assert task.get_name() == "seven"
    assert await task == 7


def test_work_beside_requests_leaves_the_interpreter_as_it_was():
    before = sys.getswitchinterval()

    with gently():
        assert sys.getswitchinterval() < before
        assert not gc.isenabled()

    assert sys.getswitchinterval() == before
    assert gc.isenabled()


@pytest.mark.django_db(transaction=True)
def test_a_picture_is_read_while_somebody_writes():
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer at a time")
    with reading(), CaptureQueriesContext(connection) as asked:
        keys_snapshot.build()

    assert asked.captured_queries[0]["sql"] == "BEGIN DEFERRED"
    assert connection.transaction_mode == "IMMEDIATE"


@pytest.mark.django_db
def test_keys_that_did_not_change_are_the_same_in_the_next_picture():
    changed = make_key(name="changed").row
    same = make_key(changed.team, "same")
    refresh_pictures()
    before = keys_snapshot.current().by_digest
    changed.enabled = False
    changed.save()

    refresh_pictures()

    now = keys_snapshot.current().by_digest
    assert now[same.row.digest] is before[same.row.digest]
    assert not now[changed.digest].enabled


async def test_a_background_task_that_fails_is_logged(caplog):
    async def fail() -> None:
        raise ValueError("reason")

    task = spawn(fail(), name="doomed")
    await asyncio.wait([task])
    await asyncio.sleep(0)

    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == "a background task failed"
    assert record.task == "doomed"
    assert "ValueError: reason" in caplog.text


async def test_a_background_task_that_is_cancelled_is_no_failure(caplog):
    task = spawn(asyncio.sleep(10), name="long")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)

    assert caplog.records == []

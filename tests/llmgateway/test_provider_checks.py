"""The loop that looks at providers beside the requests, and what /health/providers tells of it."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from llmgateway import health, provider_checks
from llmgateway.provider_checks import ProviderChecks
from llmgateway.runtime import Runtime
from routing import checks, snapshot
from routing.checks import Finding
from routing.models import ProviderCheck
from routing.providers.facts import ProviderState
from tests.factories.routing import SECRET, make_alias, make_credential, make_provider
from tests.fakes.upstream import SILENCE, FakeUpstream, json_answer
from tests.serving import serving
from tests.waiting import until

KEY = {"data": {"limit_remaining": 7.5, "is_free_tier": False}}
WELL = json_answer(KEY)
REFUSAL = json_answer({"error": {"message": "No such key", "code": 401}}, status=401)


@pytest.fixture(autouse=True)
def switched_on(settings):
    settings.PROVIDER_CHECKS = True
    before = snapshot.in_force()
    snapshot.put_in_force(None)
    yield
    snapshot.put_in_force(before)


@pytest.fixture
async def upstream():
    async with FakeUpstream(WELL) as fake:
        yield fake


@pytest.fixture
async def runtime(transactional_db, tmp_path):
    """Serving, and looking without waiting."""
    del transactional_db
    made = Runtime(tmp_path / "journal")
    made.checks = ProviderChecks(random.Random(1), tick_s=0.02, first_within_s=0.05)
    yield made
    await made.stop()


@sync_to_async
def add(slug: str, upstream: FakeUpstream, **fields):
    row = make_provider(slug, base_url=upstream.url, **fields)
    make_credential(row)
    return row


async def told(runtime: Runtime) -> dict[str, object]:
    report = await health.providers(runtime)
    assert report.status == 200
    return orjson.loads(report.body)


async def test_each_provider_is_looked_at_and_the_finding_told_and_kept(runtime, upstream):
    await add("router", upstream)
    await runtime.start()
    await until(lambda: "router" in runtime.checks.findings)

    report = await told(runtime)
    entry = report["providers"]["router"]
    assert report["status"] == "ok"
    assert (entry["status"], entry["problem"], entry["detail"]) == ("ok", "", "paid")
    assert (entry["credit_usd"], entry["kind"], entry["check_every_s"]) == (
        "7.5",
        "openrouter",
        300,
    )
    assert isinstance(entry["latency_ms"], int)
    assert datetime.fromisoformat(entry["checked_at"]) <= datetime.now(UTC)

    await until(lambda: "router" in runtime.checks._stored_at)
    assert await ProviderCheck.objects.filter(credit_usd=Decimal("7.5")).aexists()
    assert SECRET not in orjson.dumps(report).decode()


async def test_a_problem_is_shown_and_told_in_the_log_once_until_it_is_over(
    runtime, upstream, caplog
):
    upstream.default = REFUSAL
    row = await add("router", upstream, check_every_s=1)
    await runtime.start()
    await until(lambda: "router" in runtime.checks.findings)

    report = await told(runtime)
    assert report["status"] == "problem"
    assert report["providers"]["router"]["status"] == "problem"
    assert "No such key" in report["providers"]["router"]["problem"]
    assert "router" in snapshot.current().providers  # what is found stops nothing
    await until(lambda: len(upstream.requests) > 1)
    upstream.default = WELL
    await until(lambda: runtime.checks.findings["router"].state.problem == "")
    assert [r.message for r in caplog.records if hasattr(r, "provider")] == [
        "a provider has a problem",
        "a provider is well again",
    ]
    await until(lambda: not runtime.checks._under_way)
    assert (await ProviderCheck.objects.aget(provider=row)).problem == ""


async def test_a_slow_provider_holds_up_no_other(runtime, upstream):
    await add("fast", upstream)
    async with FakeUpstream(SILENCE) as silent:
        await add("slow", silent)
        await runtime.start()
        await until(lambda: silent.requests and "fast" in runtime.checks.findings)

        report = await told(runtime)
        assert report["providers"]["fast"]["status"] == "ok"
        assert report["providers"]["slow"]["status"] == "unknown"
        assert report["status"] == "ok"
        await runtime.checks.stop()
        assert runtime.checks.findings.keys() == {"fast"}
        await until(lambda: silent.requests[0].left_after_s is not None)


async def test_a_provider_that_is_never_to_be_checked_is_not(runtime, upstream):
    await add("never", upstream, check_every_s=0)
    await add("off", upstream, enabled=False)
    await add("often", upstream, check_every_s=1)
    await runtime.start()
    await until(lambda: len(upstream.requests) >= 2)

    report = await told(runtime)
    assert report["providers"].keys() == {"never", "often"}
    assert report["providers"]["never"]["status"] == "not checked"
    assert runtime.checks.findings.keys() == {"often"}


async def test_the_switch_in_the_environment_stops_all_of_it(runtime, upstream, settings):
    settings.PROVIDER_CHECKS = False
    await add("router", upstream, check_every_s=1)
    await runtime.start()
    await asyncio.sleep(0.2)

    assert upstream.requests == []
    assert (await told(runtime))["providers"]["router"]["status"] == "not checked"


async def test_an_edit_brings_the_next_look_forward(runtime, upstream):
    row = await add("router", upstream)
    await runtime.start()
    await until(lambda: "router" in runtime.checks.findings)
    looked = len(upstream.requests)
    await sync_to_async(make_alias)("no-matter")
    await asyncio.sleep(0.5)
    assert len(upstream.requests) == looked  # nothing about the provider has changed

    row.check_model = "gone"
    await row.asave()
    await until(lambda: "gone" in runtime.checks.findings["router"].state.problem)
    row.enabled = False
    await row.asave()
    await until(lambda: "router" not in runtime.checks.findings)


async def test_what_another_process_found_later_is_told_here_too(runtime, upstream):
    row = await add("router", upstream)
    await runtime.start()
    await until(lambda: "router" in runtime.checks.findings)
    later = Finding(ProviderState(problem="gone"), datetime.now(UTC) + timedelta(minutes=1))
    await until(lambda: not runtime.checks._under_way)
    await sync_to_async(checks.store)(row.pk, later)

    assert (await told(runtime))["providers"]["router"]["problem"] == "gone"


async def test_what_says_nothing_new_is_written_only_once_in_a_while(
    runtime, upstream, monkeypatch
):
    row = await add("router", upstream, check_every_s=1)
    await runtime.start()
    await until(lambda: "router" in runtime.checks._stored_at)
    first = await ProviderCheck.objects.aget(provider=row)
    finding = runtime.checks.findings["router"]
    await until(lambda: runtime.checks.findings["router"] is not finding)
    await until(lambda: not runtime.checks._under_way)
    assert (await ProviderCheck.objects.aget(provider=row)).checked_at == first.checked_at

    monkeypatch.setattr(provider_checks, "STORE_EVERY_S", 0.0)
    await until(lambda: runtime.checks._stored_at["router"] > first.checked_at)


async def test_the_loop_outlives_a_database_that_fails(runtime, upstream, caplog):
    await add("router", upstream)
    await runtime.start()
    await until(lambda: "router" in runtime.checks._stored_at)

    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    await sync_to_async(rename)("routing_providercheck", "elsewhere")
    try:
        report = await health.providers(runtime)
        assert report.status == 200
        assert "the database gives no answer" in orjson.loads(report.body)["status"]
        upstream.default = REFUSAL
        await add("other", upstream)
        await until(lambda: "other" in runtime.checks.findings)
        await until(lambda: "could not be stored" in caplog.text)
    finally:
        await sync_to_async(rename)("elsewhere", "routing_providercheck")
    await add("third", upstream)
    await until(lambda: "third" in runtime.checks._stored_at)


async def test_the_loop_outlives_whatever_a_round_brings(runtime, upstream, caplog, monkeypatch):
    def fail():
        raise ValueError("odd")

    await add("router", upstream)
    monkeypatch.setattr(provider_checks, "read_orders", fail)
    await runtime.start()
    await until(lambda: "providers cannot be checked for now" in caplog.text)
    await asyncio.sleep(0.1)
    assert caplog.text.count("providers cannot be checked for now") == 1
    monkeypatch.undo()
    await until(lambda: "router" in runtime.checks.findings)


async def test_a_process_that_does_not_serve_says_so(transactional_db, tmp_path):
    runtime = Runtime(tmp_path / "journal")
    report = await health.providers(runtime)
    await runtime.stop()

    assert report.status == 503
    assert orjson.loads(report.body) == {"status": "not serving", "providers": {}}


async def test_it_is_there_for_everybody_without_a_key(transactional_db, upstream, tmp_path):
    await add("router", upstream, check_every_s=0)
    async with serving(tmp_path / "journal") as gateway:
        answer = await gateway.http.get("/health/providers")

    assert answer.status_code == 200
    assert answer.json()["providers"]["router"]["status"] == "not checked"

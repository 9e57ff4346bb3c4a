"""Whether this process can serve: database, migrations, journal, configuration; and how its providers are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import orjson
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from accounting.errors import JournalUnwritable
from llmgateway.looks import SharedLook
from llmgateway.provider_checks import in_own_connection
from llmgateway.runtime import Runtime, State
from routing import snapshot
from routing.checks import Finding, stored_findings
from routing.models import Provider

OK = "ok"


@dataclass(frozen=True, slots=True)
class Readiness:
    """An HTTP status and the JSON that explains it."""

    status: int
    body: bytes


async def readiness(runtime: Runtime) -> Readiness:
    """200 when requests can be served, else 503; each part says what is wrong with it, without secrets."""
    held = snapshot.in_force()
    parts = {
        "process": OK if runtime.state is State.SERVING else runtime.state.value,
        "database": await _state_of_database(),
        "journal": _check_journal(runtime),
        "ledger": _check_ledger(runtime),
        "configuration": OK
        if held
        else "no configuration could be put in force: " + snapshot.failure(),
    }
    is_ready = all(state == OK for state in parts.values())
    trouble = runtime.ledger.trouble
    if trouble and runtime.ledger.waiting:  # requests go on: their records are safe in the journal
        parts["ledger"] = f"usage records wait for the database ({trouble})"
    report: dict[str, object] = {"status": "ready" if is_ready else "not ready", **parts}
    if held is not None:
        report["snapshot"] = held.number
        report["warnings"] = [*held.warnings, *([snapshot.failure()] if snapshot.failure() else [])]
    # A kind that is still loading makes nothing unready: its requests wait for it, within their own timeouts.
    report.update({name: state.value for name, state in runtime.preparations.items()})
    if settings.REDIS_URL:  # without it requests go on, as GATEWAY_REDIS_OUTAGE says
        report["redis"] = f"away ({runtime.gate.failure})" if runtime.gate.failure else OK
    report["usage_records_waiting"] = runtime.ledger.waiting
    report["request_logs_dropped"] = runtime.request_logs.dropped
    return Readiness(200 if is_ready else 503, orjson.dumps(report))


async def providers(runtime: Runtime) -> Readiness:
    """Each provider that is switched on, with what the last look at it found, by this process or another.

    200 also when providers have problems: the gateway itself is well. 503 when nothing is being served.
    """
    if runtime.state is not State.SERVING or snapshot.in_force() is None:
        return Readiness(503, orjson.dumps({"status": "not serving", "providers": {}}))
    try:
        rows, stored = await _providers.result()
    except (DatabaseError, TimeoutError) as error:
        report = {"status": f"the database gives no answer ({type(error).__name__})"}
        return Readiness(200, orjson.dumps({**report, "providers": {}}))
    found = {
        row.slug: _describe(row, newest(runtime.checks.findings.get(row.slug), stored.get(row.pk)))
        for row in rows
    }
    is_well = all(entry["status"] != "problem" for entry in found.values())
    return Readiness(
        200, orjson.dumps({"status": OK if is_well else "problem", "providers": found})
    )


def _read_providers() -> tuple[list[Provider], Mapping[int, Finding]]:
    return list(Provider.objects.filter(enabled=True)), stored_findings()


def newest(mine: Finding | None, stored: Finding | None) -> Finding | None:
    """The later of two findings."""
    if mine is None or stored is None:
        return mine or stored
    return stored if stored.checked_at > mine.checked_at else mine


def _describe(row: Provider, finding: Finding | None) -> dict[str, object]:
    state = finding.state if finding else None
    if state is not None:
        status = "problem" if state.problem else OK
    else:
        is_due = settings.PROVIDER_CHECKS and row.check_every_s
        status = "unknown" if is_due else "not checked"
    credit = state.credit_usd if state else None
    return {
        "status": status,
        "problem": state.problem if state else "",
        "detail": state.detail if state else "",
        "credit_usd": None if credit is None else f"{credit.normalize():f}",
        "latency_ms": state.latency_ms if state else None,
        "checked_at": finding.checked_at if finding else None,
        "kind": row.kind,
        "check_every_s": row.check_every_s,
    }


def check_database() -> str:
    """Whether the database answers and all migrations have run. Blocks; for a thread."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        return f"{len(missing)} migrations have not run: manage.py migrate" if missing else OK
    except DatabaseError as error:
        return f"no answer ({type(error).__name__})"
    finally:
        connection.close()


async def _state_of_database() -> str:
    try:
        return await _database.result()
    except TimeoutError:
        return f"no answer (silent for {_database.asked_for_s():.0f} s)"


_database = SharedLook(check_database)
_providers = SharedLook(partial(in_own_connection, _read_providers))


def _check_ledger(runtime: Runtime) -> str:
    return OK if runtime.ledger.is_writing else "usage records are not being written"


def _check_journal(runtime: Runtime) -> str:
    try:
        runtime.ledger.check()
    except JournalUnwritable as error:
        return error.message
    return OK

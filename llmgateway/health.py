"""Whether this process can serve: database, migrations, journal, configuration."""

import asyncio
from dataclasses import dataclass

import orjson
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from accounting.errors import JournalUnwritable
from llmgateway.runtime import Runtime, State
from routing import snapshot

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
        "database": await asyncio.to_thread(check_database),
        "journal": _check_journal(runtime),
        "ledger": OK if runtime.ledger.is_writing else "usage records are not being written",
        "configuration": OK
        if held
        else "no configuration could be put in force: " + snapshot.failure(),
    }
    is_ready = all(state == OK for state in parts.values())
    report: dict[str, object] = {"status": "ready" if is_ready else "not ready", **parts}
    if held is not None:
        report["snapshot"] = held.number
        report["warnings"] = [*held.warnings, *([snapshot.failure()] if snapshot.failure() else [])]
    # A kind that is still loading makes nothing unready: its requests wait for it, within their own timeouts.
    report.update({name: state.value for name, state in runtime.preparations.items()})
    report["usage_records_waiting"] = runtime.ledger.waiting
    return Readiness(200 if is_ready else 503, orjson.dumps(report))


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


def _check_journal(runtime: Runtime) -> str:
    try:
        runtime.ledger.check()
    except JournalUnwritable as error:
        return error.message
    return OK

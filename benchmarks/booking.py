"""``booking``: what a usage record costs the ledger's thread, among as many as there are and among none.

Records are booked through the ledger's own door in batches, rounds with the full database and an empty one in turn:
once in sessions that last as those of coding agents do, once each of a session of its own, which makes a new row of sums
each time. Told is the CPU of the process and of the database's server where that runs here, and the time that passes.
The records stay in the database: take one that was made for this, with ``benchmarks.million``.
"""

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.servers import ROOT, clean_environment
from benchmarks.sharing import a_database

SORTS = ("lasting", "each its own")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--full", type=Path, required=True, help="the data folder with records")
    parser.add_argument("--database", default="", help="its DATABASE_URL, if it is not SQLite")
    parser.add_argument("--records", type=int, default=10_000, help="of each sort and round")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace) -> None:
    """Book in turn, and print the least of the rounds."""
    with an_empty_one(options.database) as empty:
        ways = {"empty": empty, "full": {"GATEWAY_DATA_DIR": str(options.full), **url(options.database)}}  # fmt: skip
        told: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name, environment in ways.items():
                words = [sys.executable, "-m", "benchmarks.booking", str(options.records)]
                done = subprocess.run(
                    [*words, str(options.batch), str(number + 1)],
                    cwd=ROOT,
                    env={**clean_environment(), **environment},
                    check=True,
                    capture_output=True,
                    text=True,
                )
                told[name].append(json.loads(done.stdout.splitlines()[-1]))
    for sort in SORTS:
        row = {
            name: {what: min(each[sort][what] for each in rounds) for what in rounds[0][sort]}
            for name, rounds in told.items()
        }
        ratio = sum_of_cpu(row["full"]) / sum_of_cpu(row["empty"])
        print(json.dumps({"sessions": sort, **row, "ratio_of_cpu": round(ratio, 2)}))


def sum_of_cpu(row: dict[str, float]) -> float:
    """The process' and the server's."""
    return row["cpu_us"] + row["server_cpu_us"]


def url(database: str) -> dict[str, str]:
    """The variable that names a database, unless it is SQLite in the data folder."""
    return {"DATABASE_URL": database} if database else {}


@contextlib.contextmanager
def an_empty_one(database: str) -> Iterator[dict[str, str]]:
    """The environment of an empty database of the same sort, on the same server."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        empty = stack.enter_context(a_database(database)) if database else ""
        yield {"GATEWAY_DATA_DIR": folder, **url(empty)}


def book(count: int, batch: int, seed: int) -> dict[str, dict[str, float]]:
    """Microseconds for each record of each sort, in the database that the environment names."""
    from datetime import UTC, datetime, timedelta

    from django.db import connection
    from django.db.models import Max

    from accounting.ledger import write_rows
    from accounting.models import UsageRecord
    from benchmarks.records import days_until, records

    figures = {}
    for number, sort in enumerate(SORTS):
        # A day that has none yet, as each new one is: records come in the order of time.
        last_at = UsageRecord.objects.aggregate(at=Max("started_at"))["at"] or datetime.now(UTC)
        days = days_until(last_at.date() + timedelta(days=1), 1)
        # Another seed at each call: a record that is there already would not be booked.
        entries = list(records(count + batch, days, seed=time.time_ns() + seed + number))
        if sort != SORTS[0]:
            for entry in entries:
                entry.session = uuid.uuid4().hex
        write_rows(entries[:batch])  # opens the connection, prepares the statements
        server = server_of(connection)
        server_s, cpu_s, began = cpu_of(server), time.process_time(), time.perf_counter()
        left = iter(entries[batch:])
        while some := list(itertools.islice(left, batch)):
            write_rows(some)
        figures[sort] = {
            "cpu_us": round((time.process_time() - cpu_s) / count * 1e6, 1),
            "server_cpu_us": round((cpu_of(server) - server_s) / count * 1e6, 1),
            "passed_us": round((time.perf_counter() - began) / count * 1e6, 1),
        }
    return figures


def server_of(connection: Any) -> int:
    """The process of the database's server that serves this connection, if it runs here; else 0."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = int(cursor.fetchone()[0])
    return pid if Path(f"/proc/{pid}/stat").exists() else 0


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """One round, as a process of its own."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")

    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    count, batch, seed = map(int, sys.argv[1:])
    print(json.dumps(book(count, batch, seed)))


if __name__ == "__main__":
    main()

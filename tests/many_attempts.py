"""A hundred thousand attempts in the tables within seconds, and what a page takes to open then."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounting.models import DailyLatency, DailyUsage, HourlyTtft, HourlyUsage, UsageRecord
from tests.factories.accounting import make_usage

ATTEMPTS = 100_000
SUMS = 20_000
HOURLY = 6000
"""Some 35 of each hour that has any: as many providers with errors, or buckets of TTFT."""
TRIES = 3
MOMENTS = {
    "sqlite": (
        "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (n * 1.7) || ' seconds')",
        "date('now', '-' || (n % 14) || ' days')",
    ),
    "postgresql": ("now() - n * interval '1.7 seconds'", "current_date - n % 14"),
}
"""The moment and the day of row number n, by the database."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What it takes to open a page; ``cpu_ms`` is the processor's time in this process, of the quickest try.

    A clock would tell of whatever else the machine is busy with.
    """

    status: int
    queries: tuple[str, ...]
    cpu_ms: float


def write_many() -> None:
    """Attempts of the last two days, one every other second, and sums of two weeks in many rows."""
    make_usage(started_at=datetime.now(UTC), ttft_ms=400, prompt_tokens=100, completion_tokens=10)
    at, on = MOMENTS[connection.vendor]
    _multiply(UsageRecord, ATTEMPTS, id="'r' || n", request_id="'q' || n", started_at=at)
    _multiply(DailyUsage, SUMS, {"on": on}, id="'u' || n")
    _multiply(DailyLatency, SUMS, {"on": on}, id="'l' || n", bucket="n % 100")
    for model in (HourlyUsage, HourlyTtft):
        _multiply(model, HOURLY, {"on": on}, id="'h' || n", hour="n % 24")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _multiply(
    model: type[models.Model], count: int, named: Mapping[str, str] | None = None, **given: str
) -> None:
    """Copies of one row of the table, past the ORM, with some columns as expressions of their number n."""
    columns = {**(named or {}), **given}
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    names = [field.attname for field in model._meta.concrete_fields]
    values = ", ".join(columns.get(name, f"one.{quote(name)}") for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(map(quote, names))}) "
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
            f"SELECT {values} FROM (SELECT * FROM {table} LIMIT 1) AS one, numbers"
        )


def measured(address: str) -> Measured:
    """What an administrator's page takes."""
    client = Client()
    client.force_login(User.objects.create_superuser("measuring"))
    client.get(address)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(address)
    asked = tuple(query["sql"] for query in queries)  # the next request forgets them
    times = []
    for _ in range(TRIES):
        began = time.thread_time()
        client.get(address)
        times.append((time.thread_time() - began) * 1000)
    return Measured(answer.status_code, asked, min(times))

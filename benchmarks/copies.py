"""Ten million usage records in minutes: those that the ledger wrote, again and again, each time some days later.

The ledger's rows are copied in SQL, with ids, moments and sessions of their own, their sums day by day through the
door that the ledger's own go through, so that ``roll_up_usage`` finds nothing. Indexes are made anew at the end.
"""

from datetime import date, timedelta
from typing import Any

from django.db import connection, models, transaction

from accounting import rollups
from accounting.models import (
    DailyLatency,
    DailyUsage,
    HourlyTtft,
    HourlyUsage,
    UsageRecord,
)
from accounting.rollups import COUNTS, HOUR_COUNTS, WORDS, Key, Sums

TABLE = UsageRecord._meta.db_table
STAMPED = {
    "sqlite": (
        "strftime('%%Y-%%m-%%d %%H:%%M:%%S', started_at, '+{days} days') || substr(started_at, 20)",
        "printf('%%014x', (CAST(strftime('%%s', started_at) AS INTEGER) + {days} * 86400) * 1000000"
        " + CAST(substr(started_at || '000000', 21, 6) AS INTEGER))",
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = %s",
    ),
    "postgresql": (
        "started_at + interval '{days} days'",
        "lpad(to_hex((extract(epoch FROM started_at) * 1000000)::bigint + {days} * 86400000000), 14, '0')",
        "SELECT indexname, indexdef FROM pg_indexes WHERE indexdef NOT LIKE '%% UNIQUE %%' AND tablename = %s",
    ),
}
"""The moment some days later, the same as benchmarks/records.py begins ids with it, and the indexes that may go."""


def multiply(times: int, days: list[date], report: Any = None) -> None:
    """Add what is there ``times`` times, each time as many days later than the time before.

    Nothing may be adjusted yet.
    """
    with connection.cursor() as cursor:
        indexes = _droppable(cursor)
        for name, _statement in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(f'SELECT max(started_at), count(*) FROM "{TABLE}"')
        last, count = cursor.fetchone()
        for number in range(1, times + 1):
            with transaction.atomic():
                cursor.execute(_copying(number, len(days)), [last])
            if report is not None:
                report((number + 1) * count, (times + 1) * count)
        for _name, statement in indexes:
            cursor.execute(statement)
    for number in range(1, times + 1):
        for on in days:
            with transaction.atomic():
                rollups.add_sums(_sums_moved(on, number, len(days)))


def _droppable(cursor: Any) -> list[tuple[str, str]]:
    *_expressions, asking = STAMPED[connection.vendor]
    cursor.execute(asking, [TABLE])
    found: list[tuple[str, str]] = cursor.fetchall()
    return found


def _sums_moved(on: date, number: int, days: int) -> Sums:
    """The sums of a day, as those of another."""
    moved = on + timedelta(days=number * days)
    session = 1 + WORDS.index("session")
    usage = {
        (*key[:session], _session(number, key[session]), *key[session + 1 :]): counts
        for key, counts in _kept(DailyUsage, on, moved, len(COUNTS)).items()
    }
    latency = {key: count for key, (count,) in _kept(DailyLatency, on, moved, 1).items()}
    hours = _kept(HourlyUsage, on, moved, len(HOUR_COUNTS))
    hours_ttft = {key: count for key, (count,) in _kept(HourlyTtft, on, moved, 1).items()}
    return Sums(usage, latency, hours, hours_ttft)


def _kept(model: type[models.Model], on: date, moved: date, counts: int) -> dict[Key, list[int]]:
    """The rows of a day as they lie in the database, under another day; columns: id, day, words, counts."""
    names = ", ".join(f'"{field.attname}"' for field in model._meta.concrete_fields[2:])
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT {names} FROM "{model._meta.db_table}" WHERE "on" = %s',
            [str(on)],
        )
        return {(moved, *row[:-counts]): [int(n) for n in row[-counts:]] for row in cursor}


def _session(number: int, session: str) -> str:
    return session and f"{number:02x}{session[2:]}"


def _copying(number: int, days: int) -> str:
    moment, stamp, _indexes = (
        text.format(days=number * days) for text in STAMPED[connection.vendor]
    )
    changed = {
        "id": f"{stamp} || substr(id, 15)",
        "request_id": f"'req_' || {stamp} || substr(request_id, 19)",
        "started_at": moment,
        "session": f"CASE session WHEN '' THEN '' ELSE '{number:02x}' || substr(session, 3) END",
    }
    names = [field.attname for field in UsageRecord._meta.concrete_fields]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changed.get(name, f'"{name}"') for name in names)
    # All names come from the model, all expressions from above.
    return (
        f'INSERT INTO "{TABLE}" ({columns}) SELECT {values} FROM "{TABLE}" WHERE started_at <= %s'
    )

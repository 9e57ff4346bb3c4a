"""What must also hold on PostgreSQL, in processes of their own, with a database that is thrown away.

Skipped where nothing listens, unless GATEWAY_TEST_SERVICES=required says that it must.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from accounting import keys
from tests.processes import ROOT
from tests.services import POSTGRES_URL, a_database, needs_postgres

pytestmark = needs_postgres


class Installation:
    """The gateway's own commands and code, on a database of its own."""

    def __init__(self, url: str, data_dir: str) -> None:
        self._environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("GATEWAY_", "DATABASE_", "REDIS_", "COV_"))
            },
            "DATABASE_URL": url,
            "GATEWAY_DATA_DIR": data_dir,
            "DJANGO_SETTINGS_MODULE": "llmgateway.settings",
        }

    def _run(self, *words: str) -> str:
        run = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def manage(self, *words: str) -> str:
        """What a management command prints."""
        return self._run("manage.py", *words)

    def python(self, program: str) -> list[str]:
        """The lines that a program prints, with Django set up."""
        return self._run("-c", f"import django\ndjango.setup()\n{program}").splitlines()


@pytest.fixture
def installation(migrated_database: str, tmp_path: Path) -> Iterator[Installation]:
    """Migrated from nothing, and a test's own: the server copies the migrated one, which costs next to nothing."""
    with a_database(copied_from=migrated_database) as name:
        yield Installation(f"{POSTGRES_URL}/{name}", str(tmp_path))


def test_all_migrations_run_from_nothing_and_match_the_models(installation: Installation):
    listed = installation.manage("showmigrations", "accounting", "routing")

    assert "[X]" in listed
    assert "[ ]" not in listed
    assert installation.manage("makemigrations", "--check", "--dry-run").strip() == (
        "No changes detected"
    )


def test_tables_that_are_written_for_each_attempt_have_no_index_that_nobody_reads(
    installation: Installation,
):
    lines = installation.python("""
from django.db import connection

with connection.cursor() as cursor:
    cursor.execute("SELECT tablename, indexdef LIKE '%pattern_ops%' FROM pg_indexes ORDER BY 1")
    rows = cursor.fetchall()
names = ("usagerecord", "dailyusage", "dailylatency", "hourlyusage", "hourlyttft", "requestlog")
written = {f"accounting_{name}" for name in names}
print(written <= {table for table, _is_pattern in rows})
print(sorted({table for table, is_pattern in rows if is_pattern} & written))
""")

    assert lines == ["True", "[]"]


def test_an_entry_that_is_written_twice_is_one_row(installation: Installation):
    lines = installation.python("""
from decimal import Decimal
from accounting.ledger import write_rows
from accounting.models import UsageRecord
from tests.factories.accounting import make_entry

entry = make_entry(id="twice", notes=[["left_out", "top_k", "not taken"]], cost_usd=Decimal("0.000000000001"))
write_rows([entry])
entry.status = "failed"
write_rows([entry, make_entry(id="other")])
row = UsageRecord.objects.get(pk="twice")
print(row.status, f"{row.cost_usd:f}", row.notes, row.started_at.isoformat())
print(UsageRecord.objects.filter(pk__in=["twice", "other"]).count())
""")

    assert lines == [
        "succeeded 0.000000000001 [['left_out', 'top_k', 'not taken']] 2026-11-20T12:00:00+00:00",
        "2",
    ]


def test_ids_of_sums_of_an_older_version_are_made_those_of_this_one(installation: Installation):
    lines = installation.python("""
from importlib import import_module
from django.apps import apps
from django.db import connection
from accounting import recount
from accounting.ledger import write_rows
from tests.accounting.test_recount import all_sums, take_back_ids
from tests.factories.accounting import make_entry

write_rows([make_entry(ttft_ms=300, session="one"), make_entry(ttft_ms=9, session="two")])
before = all_sums()
take_back_ids()
print(all_sums() == before)
migration = import_module("accounting.migrations.0014_sums_by_day")
with connection.schema_editor() as editor:
    migration.begin_with_day(apps, editor)
print(all_sums() == before, len(recount.look().differences))
""")

    assert lines == ["False", "True 0"]


def test_daily_sums_hold_when_two_processes_write_the_same_days_and_records(
    installation: Installation,
):
    lines = installation.python("""
import threading
from decimal import Decimal
from django.db import connection
from django.db.models import Sum
from accounting import rollups
from accounting.ledger import write_rows
from accounting.models import DailyLatency, DailyUsage, HourlyTtft, HourlyUsage, UsageRecord
from tests.factories.accounting import make_entry

def entries(numbers):
    return [
        make_entry(
            id=f"both-{n}", team="both", provider=f"both-{n % 2}", session=str(n % 7), ttft_ms=n, cost_usd=Decimal("0.1")
        )
        for n in numbers
    ]

def write(step):
    for begin in range(0, 400, 20):
        write_rows(entries(range(begin, begin + 20))[::step])  # both write all, one from behind
    connection.close()

threads = [threading.Thread(target=write, args=[step]) for step in (1, -1, 1)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(UsageRecord.objects.filter(team="both").count())
print(DailyUsage.objects.filter(team="both").count())
print(*DailyUsage.objects.filter(team="both").aggregate(a=Sum("attempts"), b=Sum("cost_usd")).values())
print(DailyLatency.objects.filter(team="both").aggregate(n=Sum("count"))["n"])
print(*HourlyUsage.objects.filter(provider__startswith="both").order_by("provider").values_list("hour", "requests", "cost_usd"))
from accounting import recount
print(len(recount.look().differences))
""")

    assert lines == [
        "400",
        "14",  # 7 sessions at 2 providers
        "400 40.000000000000",
        "400",
        "(12, 200, Decimal('20.000000000000')) (12, 200, Decimal('20.000000000000'))",
        "0",
    ]


def test_repairing_sums_while_records_are_written_leaves_them_right(installation: Installation):
    lines = installation.python("""
import threading
from datetime import date
from decimal import Decimal
from django.db import connection
from accounting import recount
from accounting.ledger import write_rows
from accounting.models import DailyUsage
from tests.factories.accounting import make_entry

begun = threading.Event()
def write(name):
    for n in range(60):
        write_rows([
            make_entry(id=f"live-{name}-{n}-{m}", team="live", session=str(m % 3), ttft_ms=m, cost_usd=Decimal("0.1"))
            for m in range(10)
        ])
        begun.set()
    connection.close()

on = date(2026, 11, 20)
recount.look(on, on, repair=True)
threads = [threading.Thread(target=write, args=[name]) for name in "ab"]
for thread in threads: thread.start()
begun.wait()
made = seen = 0
while any(thread.is_alive() for thread in threads):
    seen += len(recount.look(on, on).differences)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounting_dailyusage SET attempts = attempts + 1 WHERE team = 'live' AND session = '1'")
    made += len(recount.look(on, on, repair=True).repaired)
for thread in threads: thread.join()
found = recount.look(on, on)
print(seen, made > 0, len(found.differences))
print(sum(DailyUsage.objects.filter(team="live").values_list("attempts", flat=True)))
""")

    assert lines == ["0 True 0", "1200"]


def test_records_are_archived_deleted_and_put_back(installation: Installation, tmp_path):
    lines = installation.python(f"""
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from accounting import archive, recount
from accounting.ledger import write_rows
from accounting.models import UsageRecord
from tests.factories.accounting import make_entry

write_rows([
    make_entry(id=f"old-{{n}}", team="old", started_at=datetime(2026, 5, 1 + n, tzinfo=UTC), notes=[["a", "b"]],
               cost_usd=Decimal("0.1"), cache_saved_usd=Decimal("-0.1"), ttft_ms=n) for n in range(9)
])
for kind in ("csv", "parquet"):
    before = list(UsageRecord.objects.filter(team="old").order_by("id").values())
    made = archive.write_month(date(2026, 5, 1), kind=kind, directory=Path({str(tmp_path)!r}), by="test")
    print(archive.delete_archived(made), UsageRecord.objects.filter(team="old").count())
    print(len(recount.look(date(2026, 5, 1), date(2026, 5, 31)).differences))
    print(archive.restore(made), before == list(UsageRecord.objects.filter(team="old").order_by("id").values()))
    made.delete()
""")

    assert lines == ["9 0", "0", "9 True"] * 2


def test_a_repair_counts_the_rows_of_one_moment(installation: Installation, tmp_path):
    """Between the look at which archived records are still there and the sum over the rows, they are deleted."""
    lines = installation.python(f"""
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from django.db import connection
from accounting import archive, recount
from accounting.ledger import write_rows
from accounting.models import DailyUsage
from tests.factories.accounting import make_entry

on = date(2026, 4, 7)
write_rows([make_entry(id=f"moment-{{n}}", team="moment", started_at=datetime(2026, 4, 7, tzinfo=UTC)) for n in range(9)])
made = archive.write_month(date(2026, 4, 1), kind="csv", directory=Path({str(tmp_path)!r}), by="test")

def delete():
    archive.delete_archived(made)
    connection.close()

look = recount._not_there
def look_and_delete(archived):
    gone = look(archived)
    thread = threading.Thread(target=delete)
    thread.start()
    thread.join()
    return gone

recount._not_there = look_and_delete
print(len(recount.look(on, on, repair=True).differences))
print(DailyUsage.objects.get(team="moment").attempts)
""")

    assert lines == ["0", "9"]


def test_a_sum_of_odd_picodollars_is_exact(installation: Installation):
    lines = installation.python("""
from decimal import Decimal
from django.db.models import Sum
from accounting.models import UsageRecord
from accounting.models.money import from_pico
from accounting.ledger import write_rows
from tests.factories.accounting import make_entry

write_rows([
    make_entry(id=f"sum-{n}", team="sums", cost_usd=Decimal("0.1") + from_pico(2 * n + 1)) for n in range(300)
])
write_rows([
    make_entry(id=f"large-{n}", team="large", provider=f"large-{n}", cost_usd=Decimal(9_000_000)) for n in range(3)
])
for team in ("sums", "large"):
    print(UsageRecord.objects.filter(team=team).aggregate(total=Sum("cost_usd"))["total"])
""")

    # 300 * 0.1 + (1 + 3 + … + 599 = 300²) picodollars; and more than 64 bits hold: 3 * 9 million USD
    assert lines == ["30.000000090000", "27000000.000000000000"]


def test_what_a_client_or_provider_says_never_holds_up_the_ledger(installation: Installation):
    """PostgreSQL has no place for a zero byte, nor for a count beyond 32 bits; SQLite takes both."""
    lines = installation.python("""
import tempfile
from pathlib import Path
from accounting.ledger import Ledger
from accounting.models import UsageRecord
from conversion.usage import Usage
from tests.factories.accounting import make_entry

ledger = Ledger(Path(tempfile.mkdtemp()))
ledger.start()
odd = make_entry(id="odd", alias="a\\0b" * 200, error_message="\\0", notes=[["dropped", "a\\0b", "why"]])
plain = make_entry(id="plain")
ledger.settle(odd, ledger.open_entry(odd), Usage(prompt_tokens=10**30, completion_tokens=3))
ledger.settle(plain, ledger.open_entry(plain), Usage(prompt_tokens=1, completion_tokens=2))
ledger.flush(60)
ledger.close()
for row in UsageRecord.objects.filter(pk__in=["odd", "plain"]).order_by("id"):
    print(row.id, row.prompt_tokens, row.completion_tokens, len(row.alias), row.notes)
""")

    assert lines == [
        "odd None 3 200 [['dropped', 'ab', 'why']]",
        "plain 1 2 17 []",
    ]


def test_a_connection_that_the_server_ends_costs_no_record(installation: Installation):
    lines = installation.python("""
import tempfile, time
from pathlib import Path
from django.db import connection
from accounting.ledger import Ledger
from accounting.models import UsageRecord
from conversion.usage import Usage
from tests.factories.accounting import make_entry

def book(name):
    entry = make_entry(id=name)
    ledger.settle(entry, ledger.open_entry(entry), Usage())

ledger = Ledger(Path(tempfile.mkdtemp()))
ledger.start()
book("before")
ledger.flush(60)
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                   "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    print(cursor.rowcount)
book("after")
ledger.flush(60)
ledger.close()
print(UsageRecord.objects.filter(pk__in=["before", "after"]).count())
""")

    assert lines == ["1", "2"]


def test_a_key_can_be_made_and_a_picture_built(installation: Installation):
    installation.python("""
from accounting.models import Team
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider

Team.objects.create(slug="alder")
provider = make_provider()
make_credential(provider)
make_alias("claude-*", make_deployment(provider, "anthropic/claude-{1}", traits={"top_k": False}), match="wildcard")
""")

    secret = installation.manage("create_key", "--team", "alder", "--name", "laptop").strip()
    lines = installation.python(f"""
from datetime import UTC, datetime
from accounting import keys, snapshot as keys_snapshot
from routing import snapshot

keys_snapshot.put_in_force(keys_snapshot.build())
print(keys.authenticate(["{secret}"], now=datetime.now(UTC)).team)
picture = snapshot.build()
[alias] = picture.patterns
[target] = alias.routes[0].targets
print(alias.name, target.upstream_model, target.traits.top_k, len(target.credentials), len(picture.warnings))
print(picture.number == snapshot.version() > 0)
""")

    assert keys.is_well_formed(secret)
    assert lines == ["alder", "claude-* anthropic/claude-{1} False 1 0", "True"]


def test_the_reports_add_up(installation: Installation):
    lines = installation.python("""
from datetime import date
from decimal import Decimal
from accounting.ledger import write_rows
from accounting.principals import Principal
from accounting.report_query import DIMENSIONS, read_ask
from accounting.reports import breakdown
from tests.factories.accounting import make_entry

write_rows([make_entry(id=f"report-{n}", team="reports", cost_usd=Decimal("0.7")) for n in range(7)])
ask = read_ask({"from": "2026-11-20", "to": "2026-11-20"}, today=date(2026, 11, 20))
[table] = breakdown(ask, Principal("ada", is_staff=True), DIMENSIONS["team"]).tables
print(sum(row.values[1] or 0 for row in table.rows) == table.total.values[1])
print([row.values[1] for row in table.rows if row.values[0] == "reports"])
""")

    assert lines[0] == "True"
    assert lines[1] == "[Decimal('4.900000000000')]"  # 7 * 0.7


def test_changes_of_routing_at_the_same_time_are_versions_of_their_own(
    installation: Installation,
):
    lines = installation.python("""
from concurrent.futures import ThreadPoolExecutor
from django.db import connection
from routing import snapshot, versions
from routing.models import ConfigurationVersion, Provider

def change(number):
    with versions.changes_by(f"user-{number}", "Changed."):
        row = Provider.objects.get(slug=f"p{number}")
        row.retries_max = 9
        row.save()
    connection.close()

for number in range(8):
    Provider.objects.create(slug=f"p{number}", kind="demo")
with ThreadPoolExecutor(8) as pool:
    list(pool.map(change, range(8)))
first, *made = ConfigurationVersion.objects.order_by("number")
print([version.number for version in made], len({version.author for version in made}))
print({version.diff.count("+      max: 9") for version in made})
done = versions.roll_back(first, author="ada", seen_number=snapshot.version())
print(done.restored.rows, set(Provider.objects.values_list("retries_max", flat=True)))
Provider.objects.create(slug="after", kind="demo")
Provider.objects.all().delete()
snapshot.bump()
versions.record_others()
""")

    assert lines == ["[2, 3, 4, 5, 6, 7, 8, 9] 8", "{1}", "8 {2}"]


def test_the_audit_trail_is_one_chain_whatever_many_processes_and_threads_change(
    installation: Installation,
):
    """Each way that locks rows goes at once: saves, routing's versions, rotations, deletions; none waits for ever."""
    lines = installation.python("""
import subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from django.db import connection, transaction
from accounting import keys
from accounting.audit import trail
from accounting.models import AuditEntry, Price, Team, VirtualKey
from routing import versions
from routing.models import Provider
from tests.factories.accounting import make_key

def price(n):
    Price.objects.create(provider="p", upstream_model=f"m{n}", prompt_usd_per_mtok=1, completion_usd_per_mtok=1,
                         valid_from_at=datetime(2026, 1, 1, tzinfo=UTC), source="manual").delete()

def routing(n):
    with versions.changes_by(f"user-{n}"):
        row = Provider.objects.create(slug=f"audit-{n}", kind="demo")
        price(1000 + n)
        row.delete()

def past_versions(n):
    Provider.objects.create(slug=f"shell-{n}", kind="demo").delete()

def rotate(n):
    made = make_key(Team.objects.get(slug="audit"), f"key-{n}")
    keys.rotate(made.row, overlap=timedelta(0), now=datetime.now(UTC))

def both(n):
    with transaction.atomic():
        Team.objects.create(slug=f"t{n}")
        Provider.objects.create(slug=f"both-{n}", kind="demo")

def change(n):
    [price, routing, past_versions, rotate, both][n % 5](n)
    connection.close()

Team.objects.create(slug="audit")
with ThreadPoolExecutor(8) as pool:
    list(pool.map(change, range(60)))
verdict = trail.verify()
print(verdict.faults, verdict.entries == verdict.newest.number == AuditEntry.objects.count(), verdict.entries > 100)
""")

    assert lines == ["() True True"]


def test_the_audit_trail_is_kept_by_the_database(installation: Installation):
    lines = installation.python("""
from django.db import DatabaseError, connection, transaction
from accounting.audit import guard, trail
from accounting.audit.trail import Draft

trail.append([Draft("change", "accounting.team")])
print(guard.is_installed(connection))
for statement in ("UPDATE accounting_auditentry SET name = 'x'", "DELETE FROM accounting_auditentry",
                  "TRUNCATE accounting_auditentry"):
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError as error:
        print(str(error).splitlines()[0])
print(trail.verify().is_sound)
""")

    refusal = "Audit entries cannot be changed or deleted."
    assert lines == ["True", refusal, refusal, refusal, "True"]


def test_whatever_an_audit_entry_tells_is_read_back_as_it_was_sealed(installation: Installation):
    lines = installation.python("""
from django.db import transaction
from hypothesis import given, settings, strategies as st
from accounting.audit import actors, trail, values
from accounting.audit.trail import Draft

told = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12)

@settings(max_examples=200, deadline=None)
@given(name=st.text(max_size=300), after=st.dictionaries(st.text(), told, max_size=4))
def check(name, after):
    with transaction.atomic():
        begin = trail.newest().number if trail.newest() else 0
        actor = actors.Actor(name, "admin", address=name)
        trail.append([Draft("change", "accounting.team", "1", name, name, {}, values.plain(after))], actor=actor)
        assert trail.examine(trail.after(begin), begins=False).is_sound
        transaction.set_rollback(True)

check()
print("held")
""")

    assert lines == ["held"]


RECORDS_TO_RECOST = """
from decimal import Decimal
from accounting.ledger import write_rows
from tests.factories.accounting import make_entry, make_price
write_rows([
    make_entry(
        team="recosted", provider="recosted", prompt_tokens=1000, completion_tokens=100,
        cost_usd=Decimal("0.0045"), cost_source="price_book",
    )
    for _ in range(2500)
])
make_price(provider="recosted", upstream_model="anthropic/claude-sonnet-4.5", prompt_usd_per_mtok=Decimal(4))
"""


def test_two_recostings_at_once_book_a_difference_once(installation):
    installation.python(RECORDS_TO_RECOST)
    words = ("recost", "--from", "2026-11-20", "--to", "2026-11-20", "--team", "recosted", "--yes", "--json")  # fmt: skip
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _number: installation.manage(*words), range(2)))

    [told] = installation.python(
        "from django.db.models import Count, Sum\n"
        "from accounting.models import Adjustment\n"
        "sums = Adjustment.objects.filter(team='recosted').aggregate(\n"
        "    rows=Count('pk'), records=Count('record_id', distinct=True), usd=Sum('amount_usd'))\n"
        "print(sums['rows'], sums['records'], sums['usd'].normalize())"
    )
    assert told == "2500 2500 2.5"  # 2500 * 0.001
    installation.manage("roll_up_usage", "--verify")  # fails where the sums do not equal the rows


def test_the_admins_first_page_reads_little_beside_a_hundred_thousand_attempts(
    installation: Installation,
):
    status, count, cpu_ms, *plans = installation.python("""
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
from django.db import connection
from tests.many_attempts import measured, write_many

write_many()
found = measured("/admin/")
print(found.status)
print(len(found.queries))
print(found.cpu_ms)
with connection.cursor() as cursor:
    for query in found.queries:
        if '"accounting_usagerecord"' in query:
            cursor.execute(f"EXPLAIN {query}")
            print(*[line for (line,) in cursor.fetchall()])
""")

    assert (status, len(plans) > 0) == ("200", True)
    assert 10 < int(count) <= 30
    assert float(cpu_ms) < 300
    assert not [plan for plan in plans if "Seq Scan on accounting_usagerecord" in plan]

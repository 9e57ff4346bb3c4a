"""What must also hold on PostgreSQL, in processes of their own, with a database that is thrown away.

Skipped where nothing listens, unless GATEWAY_TEST_SERVICES=required says that it must.
"""

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from accounting import keys
from tests.processes import ROOT

HOST, PORT = "127.0.0.1", 5432
SERVER = f"postgres://root@{HOST}:{PORT}"


def is_listening() -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, PORT)) == 0


pytestmark = pytest.mark.skipif(
    os.environ.get("GATEWAY_TEST_SERVICES") != "required" and not is_listening(),
    reason=f"No PostgreSQL listens at {HOST}:{PORT}; GATEWAY_TEST_SERVICES=required makes this a failure.",
)


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
            timeout=90,
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


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Migrated from nothing."""
    name = f"llmgateway_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            made = Installation(f"{SERVER}/{name}", str(tmp_path_factory.mktemp("data")))
            made.manage("migrate", "-v0")
            yield made
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_all_migrations_run_from_nothing_and_match_the_models(installation: Installation):
    listed = installation.manage("showmigrations", "accounting", "routing")

    assert "[X]" in listed
    assert "[ ]" not in listed
    assert installation.manage("makemigrations", "--check", "--dry-run").strip() == (
        "No changes detected"
    )


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
write_rows([make_entry(id=f"large-{n}", team="large", cost_usd=Decimal(9_000_000)) for n in range(3)])
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
ledger.flush()
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
ledger.flush()
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                   "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    print(cursor.rowcount)
book("after")
ledger.flush()
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
from accounting.reports import read_period, usage_report
from tests.factories.accounting import make_entry

write_rows([make_entry(id=f"report-{n}", team="reports", cost_usd=Decimal("0.7")) for n in range(7)])
report = usage_report(read_period({"from": "2026-11-20", "to": "2026-11-20"}, today=date(2026, 11, 20)))
print(sum(line.totals.spend_usd for line in report.teams) == report.totals.spend_usd)
print([line.totals.spend_usd for line in report.teams if "reports" in str(line)])
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

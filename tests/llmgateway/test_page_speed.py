"""Every page of accounts stays fast on a ledger of 100,000 records: few questions, and none that reads a table to its end.

Goals, measured on a machine of two cores: 300 ms, 30 queries. A clock says little on a machine that does something else
beside, so the test counts what is the same in each run: queries, and the steps that SQLite's own machine takes for them
(a million take some 40 ms). The processor's time is bounded far above the goal, for what neither of them shows.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounting.models import UsageRecord
from tests import company
from tests.accounting.test_report_pages import ADDRESSES
from tests.admin_walk import addresses_of, name_of, pages_of

pytestmark = [
    pytest.mark.xdist_group("a company"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="It counts SQLite's steps."),
]
RECORDS = 100_000
QUERIES_MAX = 30
LIST_STEPS_MAX = 1_000_000
"""A list filtered by a rare word looks at each record once, and stops there."""
REPORT_STEPS_MAX = 3_000_000
"""A report sums up a month of daily sums."""
CPU_S_MAX = 1.5
STEPS = 1000
LISTS = (
    "teams", "projects", "members", "keys", "budgets", "alerts", "prices", "mask-patterns", "records", "adjustments", "logs",
    "audit", "tokens",
)  # fmt: skip


@pytest.fixture(scope="module")
def administrator(django_db_setup, django_db_blocker) -> Iterator[User]:
    """Of a company in the database, which is taken back when all pages were opened."""
    del django_db_setup
    with django_db_blocker.unblock(), transaction.atomic():
        yield company.found(records=RECORDS)
        transaction.set_rollback(True)


class Meter:
    """Opens pages, and says which ask too much."""

    def __init__(self, user: User) -> None:
        self.client = Client()
        self.client.force_login(user)
        self.faults: list[str] = []

    def open(self, address: str, *, steps_max: int) -> None:
        """Open a page; once more, twice at most, where it took too much: the first may have made what others find made."""
        for _ in range(3):
            told = self._told(address, steps_max)
            if not told:
                return
        self.faults.append(f"{address}: {told}")

    def _told(self, address: str, steps_max: int) -> str:
        began = time.process_time()
        with CaptureQueriesContext(connection) as queries, counted() as steps:
            answer = self.client.get(address)
        cpu_s = time.process_time() - began
        if answer.status_code != 200:
            return f"answered {answer.status_code}"
        if len(queries) > QUERIES_MAX:
            return f"{len(queries)} queries"
        if steps[0] > steps_max:
            return f"{steps[0]:,} steps of SQLite"
        return f"{cpu_s:.1f} s of the processor" if cpu_s > CPU_S_MAX else ""


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many steps SQLite takes meanwhile, to a thousand."""
    steps = [0]

    def count() -> int:
        steps[0] += STEPS
        return 0

    connection.ensure_connection()
    connection.connection.set_progress_handler(count, STEPS)
    try:
        yield steps
    finally:
        connection.connection.set_progress_handler(None, 0)


@pytest.mark.django_db
@pytest.mark.parametrize("page", pages_of("accounting", "auth", "api"), ids=name_of)
def test_admin_pages_ask_little(administrator, page):
    meter = Meter(administrator)
    for address in addresses_of(page, administrator, search="alder"):
        meter.open(address, steps_max=LIST_STEPS_MAX)

    assert meter.faults == []


@pytest.mark.django_db
def test_reports_ask_little(administrator):
    meter = Meter(administrator)
    month = f"{datetime.now(UTC):%Y-%m}"
    request_id = UsageRecord.objects.latest("started_at").request_id
    for address in (
        *ADDRESSES, "/admin/", f"/usage/statements/alder/{month}/", "/usage/audit/", "/usage/reconciliation/",
        "/usage/requests/", "/usage/requests/?team=alder", "/usage/requests/?status=failed", "/usage/requests/?model=unheard-of",
        f"/usage/requests/{request_id}/", f"/usage/requests/{request_id}/replay/", "/usage/live/", "/usage/teams/",
        "/usage/teams/alder/", "/admin/accounting/price/unpriced/", "/admin/accounting/price/export/",
    ):  # fmt: skip
        meter.open(address, steps_max=REPORT_STEPS_MAX)

    assert meter.faults == []


@pytest.mark.django_db
def test_the_api_asks_little(administrator):
    meter = Meter(administrator)
    for name in LISTS:
        meter.open(f"/api/{name}/", steps_max=LIST_STEPS_MAX)
    for address in ("/api/records/?team=alder", "/api/usage/", "/api/configuration/"):
        meter.open(address, steps_max=REPORT_STEPS_MAX)

    assert meter.faults == []


@pytest.mark.django_db
def test_a_page_that_asks_much_is_noticed(administrator):
    meter = Meter(administrator)
    meter.open("/usage/", steps_max=1000)
    meter.open("/usage/nothing/", steps_max=1000)
    with counted() as steps:
        UsageRecord.objects.exclude(status="unheard of").count()

    assert steps[0] > RECORDS
    assert [fault.rpartition(": ")[0] for fault in meter.faults] == ["/usage/", "/usage/nothing/"]

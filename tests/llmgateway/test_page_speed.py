"""Every page stays fast on a ledger of 100,000 records: few questions, none that reads a table to its end, little time.

Goals, on a machine of two cores: 300 ms, 30 queries. Queries and the steps that SQLite's own machine takes for them are
the same in each run (a million steps take some 40 ms); tests/page_meter.py tells how time is measured.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse

from accounting.models import Budget, UsageRecord, VirtualKey
from llmgateway.runtime import refresh_pictures
from routing.models import ConfigurationVersion, ModelAlias
from tests import company, page_meter
from tests.accounting.test_report_pages import ADDRESSES
from tests.admin_walk import addresses_of, name_of, pages_of
from tests.factories import many_routes
from tests.factories.routing import make_credential, make_provider
from tests.fakes.upstream import json_answer
from tests.page_meter import QUERIES_MAX, Meter, counted
from tests.routing.test_commands import running_upstream

pytestmark = [
    pytest.mark.uncovered,
    pytest.mark.timeout(600),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="It counts SQLite's steps."),
]
RECORDS = 100_000
MODELS = 400
WHOLE_MS = 3000
LIST_STEPS_MAX = 1_000_000
"""A list filtered by a rare word looks at each record once, and stops there."""
REPORT_STEPS_MAX = 3_000_000
"""A report sums up a month of daily sums."""
LISTS = (
    "teams", "projects", "members", "keys", "budgets", "alerts", "prices", "mask-patterns", "records", "adjustments", "logs",
    "audit", "tokens",
)  # fmt: skip
PAGES: Mapping[str, tuple[str, ...]] = {
    "index": ("/admin/",),
    "app_list": ("/admin/routing/", "/admin/accounting/", "/admin/auth/", "/admin/api/"),
    "explain": ("/admin/explain/", "/admin/explain/?key={key}&model=alias-000"),
    "first-steps": ("/admin/first-steps/", "/admin/first-steps/?step=models", "/admin/first-steps/?step=key"),
    "first-steps-request": ("/admin/first-steps/request/",),
    "search": ("/admin/search/?term=al",),
    "password_change": ("/admin/password_change/",),
    "password_change_done": ("/admin/password_change/done/",),
    "auth_user_password_change": ("/admin/auth/user/{user}/password/",),
    "jsi18n": ("/admin/jsi18n/",),
    "routing_transformation_preview_rows": ("/admin/routing/transformation/preview/all/",),
    "routing_configurationversion_roll_back": ("/admin/routing/configurationversion/{version}/roll-back/",),
    "accounting_virtualkey_rotate": ("/admin/accounting/virtualkey/rotate/?ids={key}",),
    "accounting_virtualkey_revoke": ("/admin/accounting/virtualkey/revoke/?ids={key}",),
    "accounting_virtualkey_upload": ("/admin/accounting/virtualkey/upload/",),
    "accounting_price_import_prices": ("/admin/accounting/price/import/",),
    "accounting_price_show_unpriced": ("/admin/accounting/price/unpriced/",),
    "accounting_price_export_csv": ("/admin/accounting/price/export/",),
    "live": ("/usage/live/",),
    "playground": ("/usage/playground/",),
    "playground-models": ("/usage/playground/models/?key={key}",),
    "budgets": ("/usage/budgets/?part=2",),
    "statement": ("/usage/statements/alder/{month}/",),
    "audit": ("/usage/audit/",),
    "reconciliation": ("/usage/reconciliation/",),
    "requests": (
        "/usage/requests/", "/usage/requests/?team=alder", "/usage/requests/?status=failed",
        "/usage/requests/?model=unheard-of", "/usage/requests/?error=UpstreamOverloaded",
    ),
    "request": ("/usage/requests/{request}/",),
    "replay": ("/usage/requests/{request}/replay/",),
    "teams": ("/usage/teams/",),
    "team": ("/usage/teams/alder/",),
    "team_rotate_key": ("/usage/teams/alder/keys/{key}/rotate/",),
    "team_revoke_key": ("/usage/teams/alder/keys/{key}/revoke/",),
    "mfa_index": ("/usage/second-factor/",),
}  # fmt: skip
"""Pages that are no model's own and no report, by the names of their addresses."""
ELSEWHERE = {
    "routing_provider_synchronise_models": "has a test of its own, with a provider that answers",
    "routing_provider_test_connection": "asks a provider, and leads back",
    "routing_modelalias_explain_route": "leads on",
    "routing_modelalias_add_route": "leads on",
    "routing_transformation_preview": "is sent a form",
    "routing_transformation_preview_all": "leads on",
    "accounting_usagerecord_open_request": "leads on",
    "accounting_usagerecord_explain_route": "leads on",
    "accounting_virtualkey_rotate_one": "leads on",
    "accounting_virtualkey_revoke_one": "leads on",
    "accounting_virtualkey_make_many": "leads on",
    "accounting_auditentry_export": "is a file",
    "records": "is a file",
    "request_body": "is a file",
    "playground-send": "is sent a form",
    "team_add_key": "is sent a form",
    "team_set_allowance": "is sent a form",
    "team_set_member": "is sent a form",
    "autocomplete": "is asked by the walk of each model",
    "view_on_site": "leads on",
    "login": "is for whom nobody knows yet",
    "logout": "is sent a form",
}
SIGN_IN = ("account_", "mfa_", "socialaccount_", "openid_connect_", "saml_")
"""How names of pages begin that show one small form, or lead on."""
OF_MODELS = ("_changelist", "_add", "_change", "_history", "_delete")


@pytest.fixture(scope="module")
def administrator(django_db_setup, django_db_blocker) -> Iterator[User]:
    """Of a company in the database, which is taken back when all pages were opened.

    Its pictures are in force, as in the processes that serve pages.
    """
    del django_db_setup
    with django_db_blocker.unblock(), transaction.atomic():
        user = company.found(records=RECORDS)
        many_routes.fill()
        refresh_pictures()
        yield user
        transaction.set_rollback(True)


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
    assert Budget.objects.count() > 2500
    for address in ADDRESSES:
        meter.open(address, steps_max=REPORT_STEPS_MAX)

    assert meter.faults == []


@pytest.mark.django_db
@pytest.mark.parametrize("name", PAGES)
def test_other_pages_ask_little(administrator, name):
    key = VirtualKey.objects.filter(team__slug="alder").earliest("pk")
    places = {
        "key": key.pk,
        "month": f"{datetime.now(UTC):%Y-%m}",
        "request": UsageRecord.objects.latest("started_at").request_id,
        "user": administrator.pk,
        "version": ConfigurationVersion.objects.earliest("pk").pk,
    }
    meter = Meter(administrator)
    for address in PAGES[name]:
        meter.open(address.format(**places), steps_max=REPORT_STEPS_MAX)

    assert meter.faults == []


@pytest.mark.django_db
def test_the_page_of_a_synchronisation_asks_little(administrator):
    with running_upstream() as fake:
        fake.default = json_answer(
            {"data": [{"id": f"a/model-{n}", "name": f"Model {n}", "context_length": 1000 + n} for n in range(MODELS)]}
        )  # fmt: skip
        row = make_provider("router", base_url=fake.url)
        make_credential(row)
        meter = Meter(administrator)
        meter.open(
            reverse("admin:routing_provider_synchronise_models", args=[row.pk]),
            steps_max=REPORT_STEPS_MAX,
        )

    assert meter.faults == []


def names_below(found: URLResolver, begin: str = "") -> Iterator[tuple[str, str]]:
    """The names and the addresses of all patterns."""
    for pattern in found.url_patterns:
        address = f"{begin}{pattern.pattern}"
        if isinstance(pattern, URLPattern):
            yield pattern.name or "", address
        else:
            yield from names_below(pattern, address)


def test_no_page_is_left_out():
    reports = {resolve(urlsplit(address).path).url_name for address in ADDRESSES}
    left = {
        name
        for name, address in names_below(get_resolver())
        if name
        and address.startswith(("admin/", "usage/"))
        and not name.endswith(OF_MODELS)
        and not (name.startswith(SIGN_IN) and name not in PAGES)
    }

    assert left - reports - PAGES.keys() == ELSEWHERE.keys()


@pytest.mark.django_db
def test_the_api_asks_little(administrator):
    meter = Meter(administrator)
    for name in LISTS:
        meter.open(f"/api/{name}/", steps_max=LIST_STEPS_MAX)
    for address in ("/api/records/?team=alder", "/api/usage/"):
        meter.open(address, steps_max=REPORT_STEPS_MAX)
    # All there is, as one file; no page shows that.
    meter.open("/api/configuration/", steps_max=REPORT_STEPS_MAX, goal_ms=WHOLE_MS)

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


@pytest.mark.django_db
def test_a_page_that_takes_far_too_long_is_noticed(administrator, monkeypatch):
    alias = ModelAlias.objects.get(name="alias-000")
    address = reverse("admin:routing_modelalias_change", args=[alias.pk])
    meter = Meter(administrator)
    meter.open(address, steps_max=LIST_STEPS_MAX)
    assert meter.faults == []

    opened = meter.get

    def opened_slowly(asked):
        until_s = time.thread_time() + 1.5
        while time.thread_time() < until_s:
            pass
        return opened(asked)

    monkeypatch.setattr(page_meter, "TRIES", 2)
    monkeypatch.setattr(meter, "get", opened_slowly)
    meter.open(address, steps_max=LIST_STEPS_MAX)
    (fault,) = meter.faults
    assert "ms of a quiet machine" in fault


@pytest.mark.django_db
def test_one_query_more_than_there_may_be_is_noticed(administrator, monkeypatch):
    meter = Meter(administrator)
    opened = meter.get

    def get_with(queries_n, address):
        with CaptureQueriesContext(connection) as queries:
            answer = opened(address)
            while len(queries) < queries_n:
                User.objects.exists()
        return answer

    for number in (QUERIES_MAX, QUERIES_MAX + 1):
        monkeypatch.setattr(meter, "get", partial(get_with, number))
        meter.open("/usage/live/", steps_max=LIST_STEPS_MAX)

    assert meter.faults == ["/usage/live/: 31 queries"]

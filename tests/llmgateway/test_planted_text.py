"""Text that would act on a page, a spreadsheet or a terminal is planted wherever a row of accounts holds any."""

import contextlib
import io
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import models
from django.test import Client

from accounting.models import (
    Adjustment,
    Budget,
    BudgetAlert,
    DailyUsage,
    MaskPattern,
    Membership,
    Price,
    Project,
    Team,
    UsageRecord,
    VirtualKey,
)
from accounting.request_logs import Capture
from llmgateway.api.models import ApiToken
from llmgateway.budget_watch import write_mails
from llmgateway.logs import JsonFormatter, LineFormatter
from tests.accounting.test_report_pages import ADDRESSES
from tests.admin_walk import addresses_of, name_of, pages_of
from tests.factories.accounting import make_key, make_request_log, make_usage
from tests.factories.routing import make_alias
from tests.planted import (
    FORMULAS,
    MARKUP,
    TERMINAL,
    faults_of_page,
    faults_of_sheet,
    faults_of_terminal,
    planted,
)

pytestmark = [pytest.mark.django_db, pytest.mark.uncovered]
NOW = datetime.now(UTC) - timedelta(seconds=5)
TEAM = "alder"
"""Short names are slugs: forms, files and the API let nothing else in."""
BODY = {
    "model": MARKUP,
    "messages": [{"role": "user", "content": f"{TERMINAL}{MARKUP}"}],
    "max_tokens": 9,
}


def texts_of(model: type[models.Model], number: int) -> dict[str, str]:
    """A planted text for each field that holds any, as long as it may be."""
    return {
        field.name: planted(number)[: field.max_length]
        for field in model._meta.concrete_fields
        if type(field) in (models.CharField, models.TextField)
        and not (field.choices or field.primary_key or field.unique)
    }


@pytest.fixture
def rows() -> User:
    """Rows of all models, six of each, every text planted; an administrator."""
    team = Team.objects.create(slug=TEAM, name=planted())
    for number in range(len(FORMULAS)):
        _plant(team, number)
    make_alias(MARKUP[:60])
    return User.objects.create_superuser("root", "root@example.com", "root")


def _plant(team: Team, number: int) -> None:
    text = planted(number)
    user = User.objects.create_user(f"{number}{text}", f"{number}@example.com", first_name=text, last_name=text)  # fmt: skip
    Group.objects.create(name=f"{text}{number}")
    Membership.objects.create(team=team, user=user, role="lead")
    project = Project.objects.create(team=team, slug=f"web-{number}", name=text)
    key = make_key(team, f"{text[:62]}{number}", owner=user, project=project).row
    VirtualKey.objects.filter(pk=key.pk).update(allowed_aliases=[text])
    ApiToken.objects.create(user=user, digest=f"{number}", **{**texts_of(ApiToken, number), "prefix": "x", "last_four": "y"})  # fmt: skip
    Price.objects.create(
        **texts_of(Price, number), provider=f"p{number}", prompt_usd_per_mtok=3, completion_usd_per_mtok=15, valid_from_at=NOW
    )  # fmt: skip
    MaskPattern.objects.create(name=f"{text[:62]}{number}", pattern=text, replacement=text)
    _plant_usage(key, user, number)
    budget = Budget.objects.create(key=key, amount_usd=Decimal(1))
    BudgetAlert.objects.create(
        budget=budget, window_began_at=NOW, threshold=80, spent_usd=1, amount_usd=1, at=NOW, told=[text], error=text
    )  # fmt: skip


def _plant_usage(key: VirtualKey, user: User, number: int) -> None:
    texts = texts_of(UsageRecord, number)
    kept = {
        name: texts[name]
        for name in (
            "key_name", "end_user", "agent", "session", "alias", "upstream_model",
            "answered_model", "upstream_id", "error", "error_message", "after_error",
        )
    }  # fmt: skip
    record = make_usage(
        **kept, started_at=NOW, team=TEAM, project=f"web-{number}", key_id=key.pk, member=user.username,
        tags=f",{texts['alias']},", status=["failed", "succeeded"][number % 2],
        notes=[["dropped", texts["alias"], texts["alias"]]],
        cost_usd=Decimal("0.5"), prompt_tokens=10, completion_tokens=10,
    )  # fmt: skip
    Adjustment.objects.create(
        record_id=record.pk, record_started_at=NOW, team=TEAM, key_id=key.pk, amount_usd=Decimal("-0.1"),
        reason=texts["alias"], run=texts["alias"][:36], by=texts["alias"], at=NOW,
    )  # fmt: skip
    body = Capture(4000)
    body.add(orjson.dumps(BODY))
    make_request_log(
        id=record.pk, request_id=record.request_id, at=NOW, team=TEAM, key_name=texts["key_name"], bytes_max=4000,
        headers={"client_request": (("user-agent", texts["alias"]), ("x-title", MARKUP))},
        bodies=dict.fromkeys(("client_request", "upstream_request", "upstream_answer", "client_answer"), body),
    )  # fmt: skip


def whole(answer) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return body.decode()


def faults_of(client: Client, address: str) -> list[str]:
    """What is wrong with one answer."""
    answer = client.get(address)
    text = whole(answer)
    kind = answer["Content-Type"].partition(";")[0]
    if answer.status_code not in (200, 302):
        return [f"{address}: {answer.status_code}"]
    if kind == "text/csv":
        return [f"{address}: {cell!r}" for cell in faults_of_sheet(text)]
    if kind == "text/html":
        return [f"{address}: {fault}" for fault in faults_of_page(text)]
    assert answer["X-Content-Type-Options"] == "nosniff"
    return []


def test_the_walk_would_see_what_is_planted():
    assert len(faults_of_page(f'<p title="{MARKUP}">{MARKUP}</p>')) > 2
    assert faults_of_page('<a x-data="{name: \'alert(1)\'}" href="javascript:alert(1)">')
    assert len(faults_of_sheet("a,=1+1,-1.5\n+1,-1+1,@x\n")) == 4
    assert faults_of_terminal(TERMINAL)
    assert planted(1) != planted(2)


@pytest.mark.parametrize("page", pages_of("accounting", "auth", "api"), ids=name_of)
def test_admin_pages_show_it_as_text(rows, page):
    client = Client()
    client.force_login(rows)
    found = [
        fault
        for address in addresses_of(page, rows, search=MARKUP, with_orders=False)
        for fault in faults_of(client, address)
    ]

    assert found == []


def report_addresses() -> list[str]:
    record = UsageRecord.objects.earliest("pk")
    request = f"/usage/requests/{record.request_id}/"
    key = VirtualKey.objects.earliest("pk").pk
    return [
        *ADDRESSES,
        "/usage/requests/", f"/usage/requests/?alias={MARKUP}", request, f"{request}?bodies=1", f"{request}replay/",
        "/usage/audit/", f"/usage/audit/?name={MARKUP}&actor={MARKUP}", "/usage/live/", "/usage/teams/", f"/usage/teams/{TEAM}/",
        f"/usage/teams/{TEAM}/keys/{key}/rotate/", f"/usage/teams/{TEAM}/keys/{key}/revoke/",
        "/usage/reconciliation/", f"/usage/sign-in/?next={MARKUP}", "/admin/", f"/admin/explain/?record={record.pk}",
        "/admin/accounting/price/unpriced/", f"/admin/accounting/virtualkey/revoke/?ids={key}",
        f"/admin/accounting/virtualkey/rotate/?ids={key}", "/admin/login/?next=" + MARKUP, "/api/docs/",
    ]  # fmt: skip


def test_reports_show_it_as_text(rows):
    client = Client()
    client.force_login(rows)
    found = [fault for address in report_addresses() for fault in faults_of(client, address)]

    assert found == []


def test_files_for_spreadsheets_calculate_none_of_it(rows):
    client = Client()
    client.force_login(rows)
    month = f"{NOW:%Y-%m}"
    addresses = [
        *(f"{address}{'&' if '?' in address else '?'}format=csv" for address in ADDRESSES if address[:5] != "/api/"),
        "/usage/requests/?format=csv", "/usage/audit/?format=csv", "/usage/records.csv",
        f"/usage/statements/{TEAM}/{month}/?format=csv", "/admin/accounting/price/export/",
        "/admin/accounting/auditentry/export/csv/",
    ]  # fmt: skip
    found = [fault for address in addresses for fault in faults_of(client, address)]

    assert found == []
    assert "'=1+1" in client.get("/usage/by/model/?format=csv").content.decode()


@pytest.mark.parametrize("name", ["export_usage", "export_prices"])
def test_files_of_commands_calculate_none_of_it(rows, name, tmp_path):
    file = tmp_path / "file.csv"
    if name == "export_prices":
        call_command(name, str(file))
    else:
        call_command(name, out=file, format="csv")
    text = file.read_bytes().decode()

    assert "1+1" in text
    assert faults_of_sheet(text) == []


COMMANDS = {
    "list_keys": {},
    "list_teams": {},
    "list_providers": {},
    "check_budgets": {},
    "roll_up_usage": {},
    "explain": {},
    "show_request": {"bodies": True},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminal_is_told_and_obeys_nothing(rows, name):
    record = UsageRecord.objects.latest("pk")
    words = [record.pk] if name == "show_request" else []
    more = {"record": record.pk} if name == "explain" else {}
    if name == "roll_up_usage":
        DailyUsage.objects.update(attempts=7)
    out = io.StringIO()
    with contextlib.suppress(CommandError):
        call_command(name, *words, stdout=out, **COMMANDS[name], **more)
    text = out.getvalue()

    assert text
    assert faults_of_terminal(text) == []


def test_an_alert_is_a_letter_of_one_subject(rows, settings, mailoutbox):
    settings.EMAIL_IS_SET_UP = True
    for key in VirtualKey.objects.all():
        VirtualKey.objects.filter(pk=key.pk).update(
            name=f"a\r\nBcc: all{key.name}"[:63] + str(key.pk)
        )
    for alert in BudgetAlert.objects.all():
        assert write_mails(alert, is_ending=lambda: False) == []

    assert len(mailoutbox) == len(FORMULAS) ** 2  # each alert to each lead
    for letter in mailoutbox:
        assert "a Bcc: all" in letter.subject
        assert faults_of_terminal(letter.subject) == []
        assert faults_of_terminal(letter.body) == []


@pytest.mark.parametrize("formatter", [JsonFormatter, LineFormatter])
def test_a_line_of_the_log_is_one_line_of_text(formatter):
    record = logging.makeLogRecord(
        {"msg": "asked", "name": "llmgateway", "levelname": "INFO", "levelno": 20, "alias": f"a\n{planted(4)}", "tags": "\x1b[31m"}
    )  # fmt: skip
    line = formatter().format(record)

    assert "\x1b" not in line
    assert "\n" not in line

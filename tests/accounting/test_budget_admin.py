"""The pages of budgets, alerts and members."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from accounting import snapshot
from accounting.models import Budget, BudgetAlert, Membership
from tests.factories.accounting import make_key, make_team, make_usage

pytestmark = pytest.mark.django_db

LIST = reverse("admin:accounting_budget_changelist")
ALERTS = reverse("admin:accounting_budgetalert_changelist")


def page_of(row: Budget) -> str:
    return reverse("admin:accounting_budget_change", args=[row.pk])


def form_of(**fields) -> dict[str, object]:
    least = {
        "team": make_team().pk,
        "amount_usd": "10",
        "window": "month",
        "time_zone": "Europe/Berlin",
        "hard": "on",
        "enabled": "on",
        "alert_thresholds": "50, 80 %, 100",
        "alert_emails": "",
    }
    return {**least, **fields}


@pytest.mark.parametrize("model", ["budget", "budgetalert", "membership"])
def test_every_list_opens_empty_and_says_what_to_do(admin_client, model):
    page = admin_client.get(reverse(f"admin:accounting_{model}_changelist"))

    assert page.status_code == 200
    assert "llmgw-empty" in page.content.decode()


def test_a_budget_is_entered_in_plain_words(admin_client):
    add = reverse("admin:accounting_budget_add")
    assert "Europe/Berlin" in admin_client.get(add).content.decode()

    admin_client.post(add, form_of(alert_emails="a@example.com\nb@example.com"))

    row = Budget.objects.get()
    assert (row.team, row.amount_usd, row.window) == (make_team(), 10, "month")
    assert (row.time_zone, row.hard, row.alert_thresholds) == ("Europe/Berlin", True, [50, 80, 100])
    assert row.alert_emails == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"amount_usd": "0"}, "Enter more than 0"),
        ({"team": ""}, "choose exactly one"),
        ({"alert_thresholds": "half"}, "Enter whole percentages"),
        ({"alert_thresholds": "2000"}, "Enter a list of whole percentages"),
        ({"alert_emails": "nobody"}, "is no e-mail address"),
        ({"time_zone": "Mars/Base"}, "Select a valid choice"),
        ({"webhook": "ftp://example.com/x"}, "Enter an address that begins with https://"),
    ],
    ids=lambda value: (
        "" if isinstance(value, str) else next(iter(value)) + next(iter(value.values()))
    ),
)
def test_what_cannot_be_is_told_at_its_field(admin_client, fields, why):
    page = admin_client.post(reverse("admin:accounting_budget_add"), form_of(**fields))

    assert why in page.content.decode()
    assert not Budget.objects.exists()


def test_a_second_budget_of_a_window_is_refused(admin_client):
    Budget.objects.create(team=make_team(), amount_usd=Decimal(1))

    page = admin_client.post(reverse("admin:accounting_budget_add"), form_of())

    assert "has a budget for that window already" in page.content.decode()


def test_a_webhook_is_written_and_never_read_back(admin_client):
    add = reverse("admin:accounting_budget_add")
    admin_client.post(add, form_of(webhook="https://hooks.example/T0/s3cret"))
    row = Budget.objects.get()
    assert row.alert_webhook_url == "https://hooks.example/T0/s3cret"
    page = admin_client.get(page_of(row)).content.decode()
    assert "https://hooks.example/…" in page
    assert "s3cret" not in page + admin_client.get(LIST).content.decode()

    admin_client.post(page_of(row), form_of(webhook=""))
    row.refresh_from_db()
    assert row.alert_webhook_url.endswith("s3cret")
    admin_client.post(page_of(row), form_of(webhook="", remove_webhook="on"))
    row.refresh_from_db()
    assert row.alert_webhook_url == ""


def test_lists_show_what_is_spent(admin_client):
    team = make_team()
    Budget.objects.create(team=team, amount_usd=Decimal(10), time_zone="Etc/GMT+3")
    Budget.objects.create(key=make_key(team).row, amount_usd=Decimal(1), window="total", hard=False)
    make_usage(cost_usd=Decimal("8.5"), started_at=datetime.now(UTC))

    page = admin_client.get(LIST).content.decode()

    assert "$8.50" in page
    assert "85.0 %" in page
    assert "width: 85%" in page
    assert "near" in page
    assert "never" in page
    team_page = reverse("admin:accounting_team_change", args=[team.pk])
    assert "85.0 %" in admin_client.get(team_page).content.decode()
    for row in Budget.objects.all():
        assert admin_client.get(page_of(row)).status_code == 200
        assert admin_client.get(page_of(row) + "?_popup=1").status_code == 200


def test_a_list_of_many_budgets_needs_no_query_for_each(
    admin_client, django_assert_max_num_queries
):
    for number in range(30):
        team = make_team(f"team-{number}")
        make_usage(team=team.slug, cost_usd=Decimal(number), started_at=datetime.now(UTC))
        Budget.objects.create(team=team, amount_usd=Decimal(100))

    with django_assert_max_num_queries(20):
        page = admin_client.get("/admin/accounting/budget/").content.decode()

    assert page.count("llmgw-meter") == 30
    assert "29.0 %" in page


def test_pages_say_that_nobody_can_be_written_to(admin_client, settings):
    assert "No mail server is set up" in admin_client.get(LIST).content.decode()
    settings.EMAIL_IS_SET_UP = True
    for address in (LIST, ALERTS, reverse("admin:accounting_budget_add")):
        assert "No mail server is set up" not in admin_client.get(address).content.decode()


@pytest.fixture
def alert():
    budget = Budget.objects.create(team=make_team(), amount_usd=Decimal(10))
    now = datetime.now(UTC)
    return BudgetAlert.objects.create(
        budget=budget,
        window_began_at=now,
        threshold=80,
        spent_usd=Decimal("8.25"),
        amount_usd=Decimal(10),
        at=now,
        attempts=6,
        error="<b>The webhook</b> at https://hooks.example/… does not answer.",
    )


def test_alerts_are_looked_at_and_sent_again(admin_client, alert):
    page = admin_client.get(ALERTS).content.decode()
    assert "failed" in page
    assert "$8.25 of $10.00" in page
    assert "<b>The webhook" not in page
    one = reverse("admin:accounting_budgetalert_change", args=[alert.pk])
    assert "80 %" in admin_client.get(one).content.decode()
    assert admin_client.post(one, {"attempts": "1"}).status_code == 403

    form = {"action": "send_again", "_selected_action": [alert.pk]}
    page = admin_client.post(ALERTS, form, follow=True).content.decode()

    assert "1 alert will be sent within seconds" in page
    alert.refresh_from_db()
    assert alert.attempts == 0


def test_the_dashboard_tells_of_alerts_that_were_given_up(admin_client, alert):
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "1 budget alert could not be sent: &lt;b&gt;The webhook" in page

    BudgetAlert.objects.update(attempts=1)  # is tried again by itself
    assert "could not be sent" not in admin_client.get(reverse("admin:index")).content.decode()


def inline(prefix: str, *rows: dict[str, object], initial: int = 0) -> dict[str, object]:
    form: dict[str, object] = {
        f"{prefix}-TOTAL_FORMS": len(rows),
        f"{prefix}-INITIAL_FORMS": initial,
        f"{prefix}-MIN_NUM_FORMS": 0,
        f"{prefix}-MAX_NUM_FORMS": 1000,
    }
    for number, row in enumerate(rows):
        form |= {f"{prefix}-{number}-{name}": value for name, value in row.items()}
    return form


def test_a_team_gets_people_projects_and_limits_on_one_page(admin_client):
    team, ada = make_team(), User.objects.create(username="ada")
    form = {
        "slug": "alder",
        "name": "",
        "enabled": "on",
        "requests_per_minute": "100",
        "keys_per_member_max": "3",
        **inline("memberships", {"user": ada.pk, "role": "lead", "team": team.pk}),
        **inline("projects", {"slug": "web", "tokens_per_minute": "9", "team": team.pk}),
        **inline("budgets"),
        **inline("keys"),
    }
    address = reverse("admin:accounting_team_change", args=[team.pk])

    assert admin_client.post(address, form).status_code == 302

    team.refresh_from_db()
    assert team.requests_per_minute == 100
    assert team.projects.get().tokens_per_minute == 9
    assert team.memberships.get().role == "lead"
    assert (
        "People" in admin_client.get(reverse("admin:accounting_team_changelist")).content.decode()
    )


def test_who_leaves_a_team_and_keeps_a_key_is_told(admin_client):
    team, ada = make_team(), User.objects.create(username="ada")
    member = Membership.objects.create(team=team, user=ada)
    make_key(team, owner=ada)
    address = reverse("admin:accounting_membership_delete", args=[member.pk])

    page = admin_client.post(address, {"post": "yes"}, follow=True).content.decode()
    assert "Still accepted, though their owners are gone: alder/laptop." in page

    member = Membership.objects.create(team=team, user=ada)
    form = {"action": "delete_selected", "_selected_action": [member.pk], "post": "yes"}
    address = reverse("admin:accounting_membership_changelist")
    page = admin_client.post(address, form, follow=True).content.decode()
    assert "Still accepted, though their owners are gone: alder/laptop." in page


def test_a_users_page_has_the_teams_and_warns_of_keys_that_stay(admin_client):
    team, ada = make_team(), User.objects.create(username="ada")
    member = Membership.objects.create(team=team, user=ada)
    make_key(team, owner=ada)
    address = reverse("admin:auth_user_change", args=[ada.pk])
    assert "memberships-0-role" in admin_client.get(address).content.decode()
    before = snapshot.version()
    row = {"id": member.pk, "user": ada.pk, "team": team.pk, "role": "auditor"}
    form = {
        "username": "ada2",
        "password": "",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        **inline("memberships", row, initial=1),
    }

    page = admin_client.post(address, form, follow=True).content.decode()

    assert "Still accepted, though their owners are gone: alder/laptop." in page  # not active
    ada.refresh_from_db()
    assert ada.username == "ada2"
    assert snapshot.version() > before  # pictures of keys hold the name
    assert ada.memberships.get().role == "auditor"
    before = snapshot.version()
    admin_client.post(reverse("admin:auth_user_delete", args=[ada.pk]), {"post": "yes"})
    assert snapshot.version() > before
    assert admin_client.get(reverse("admin:auth_user_add")).status_code == 200

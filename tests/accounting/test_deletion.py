"""What the page says that asks before it deletes."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounting.admin.deletion import NAMES_MAX
from accounting.models import Budget, BudgetAlert, Membership, Project, Team
from tests.factories.accounting import make_key, make_team

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def team(django_user_model):
    """With more projects than are named, a person, a key and budgets that people were told of."""
    row = make_team()
    Membership.objects.create(team=row, user=django_user_model.objects.create_user("ada"))
    for number in range(NAMES_MAX + 5):
        project = Project.objects.create(team=row, slug=f"project-{number}")
    key = make_key(row).row
    for holder in ({"team": row}, {"project": project}, {"key": key}):
        budget = Budget.objects.create(amount_usd=Decimal(10), **holder)
        BudgetAlert.objects.create(
            budget=budget, window_began_at=NOW, threshold=80, spent_usd=8, amount_usd=10, at=NOW
        )
    return row


def test_what_goes_with_a_team_is_counted_and_its_first_named(admin_client, team):
    page = admin_client.get(reverse("admin:accounting_team_delete", args=[team.pk]))
    text = page.content.decode()

    for words in ("1 team", "25 projects", "and 5 more", "1 API key", "3 budgets", "3 budget alerts"):  # fmt: skip
        assert words in text
    assert "ada in alder" in text
    assert "alder/project-3<" in text


def test_it_takes_the_same_few_queries_however_much_goes(
    admin_client, team, django_assert_max_num_queries
):
    with django_assert_max_num_queries(20):
        admin_client.get(reverse("admin:accounting_team_delete", args=[team.pk]))


def test_alerts_go_with_their_budget(admin_client, team):
    budget = Budget.objects.get(team=team)
    address = reverse("admin:accounting_budget_delete", args=[budget.pk])

    assert "your account doesn" not in admin_client.get(address).content.decode()
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert not Budget.objects.filter(pk=budget.pk).exists()
    assert admin_client.post(
        reverse("admin:accounting_team_delete", args=[team.pk]), {"post": "yes"}
    ).status_code == 302  # fmt: skip
    assert not Team.objects.exists()


def test_what_one_may_not_delete_keeps_what_it_belongs_to(client, team, django_user_model):
    user = django_user_model.objects.create_user("carl", is_staff=True)
    user.user_permissions.set(permissions("view_team", "delete_team", "delete_membership"))
    client.force_login(user)
    address = reverse("admin:accounting_team_delete", args=[team.pk])
    text = client.get(address).content.decode()

    assert "your account doesn" in text
    assert "API key" in text
    assert client.post(address, {"post": "yes"}).status_code == 403
    assert Team.objects.exists()


def permissions(*names):
    return Permission.objects.filter(codename__in=names, content_type__app_label="accounting")

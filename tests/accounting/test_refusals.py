"""What a form says that is refused: at the field, with what to do."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from accounting.models import Budget, Membership, Price, Project, VirtualKey
from llmgateway.api.models import ApiToken
from tests.factories.accounting import make_key, make_price, make_team

pytestmark = pytest.mark.django_db
NO_TIERS = {"tiers-TOTAL_FORMS": "0", "tiers-INITIAL_FORMS": "0"}
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def errors_of(client, model: str, form: dict) -> dict[str, list[str]]:
    """By field, as the form of a new row is refused; above the form under __all__."""
    answer = client.post(reverse(f"admin:{model}_add"), form)
    assert answer.status_code == 200, answer.status_code
    return answer.context["adminform"].form.errors


def test_a_second_project_key_or_membership_of_a_name(admin_client):
    key = make_key().row
    team, user = key.team, User.objects.create_user("ada")
    Project.objects.create(team=team, slug="web")
    Membership.objects.create(team=team, user=user)
    project = errors_of(admin_client, "accounting_project", {"team": team.pk, "slug": "web"})
    second = errors_of(admin_client, "accounting_virtualkey", {"team": team.pk, "name": key.name})
    member = {"team": team.pk, "user": user.pk, "role": "lead"}

    assert project == {
        "slug": [
            "This team has a project with that short name already. Choose another short name, or change that project."
        ]
    }
    assert second == {
        "name": [
            "This team has a key with that name already. Choose another name, or rotate that key."
        ]
    }
    assert "Change their role there" in str(
        errors_of(admin_client, "accounting_membership", member)["user"]
    )
    assert (Project.objects.count(), VirtualKey.objects.count()) == (1, 1)


def test_a_second_budget_for_a_window(admin_client):
    team = make_team()
    Budget.objects.create(team=team, amount_usd=5)
    form = {"team": team.pk, "amount_usd": "1", "window": "month", "time_zone": "UTC"}

    assert errors_of(admin_client, "accounting_budget", form) == {
        "window": [
            "This team has a budget for that window already. Change that budget, or choose another window."
        ]
    }


def test_a_budget_for_two_stands_above_the_form(admin_client):
    key = make_key().row
    form = {
        "team": key.team_id,
        "key": key.pk,
        "amount_usd": "1",
        "window": "day",
        "time_zone": "UTC",
    }

    assert "choose exactly one" in str(
        errors_of(admin_client, "accounting_budget", form)["__all__"]
    )


def test_a_second_price_from_a_moment(admin_client):
    row = make_price(valid_from_at=datetime(2026, 1, 1, tzinfo=UTC))
    form = {
        "provider": row.provider, "upstream_model": row.upstream_model, "source": "manual", "valid_from_at_0": "2026-01-01",
        "valid_from_at_1": "00:00:00", "prompt_usd_per_mtok": "-3", "completion_usd_per_mtok": "15", "request_usd": "0",
        "image_usd": "0", **NO_TIERS,
    }  # fmt: skip
    errors = errors_of(admin_client, "accounting_price", form)
    assert errors == {
        "prompt_usd_per_mtok": ["Ensure this value is greater than or equal to 0."],
        "valid_from_at": [
            "There is a price for this model from that moment already. Change that price, or choose another moment: a price "
            "is in force until the next one's."
        ],
    }
    assert Price.objects.count() == 1


@pytest.mark.parametrize("model", ["accounting_virtualkey", "api_apitoken"])
def test_an_end_that_has_passed(admin_client, admin_user, model):
    form = {"team": make_team().pk, "name": "ci", "user": admin_user.pk, "scope": "read"}
    past = {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
    future = {"expires_at_0": f"{TOMORROW:%Y-%m-%d}", "expires_at_1": "00:00:00"}

    assert "has passed" in str(errors_of(admin_client, model, {**form, **past})["expires_at"])
    made = admin_client.post(reverse(f"admin:{model}_add"), {**form, **future})
    assert "no-store" in made["Cache-Control"]


def test_an_expired_key_can_still_be_renamed(admin_client):
    row = make_key(expires_at=datetime(2020, 1, 1, tzinfo=UTC)).row
    form = {
        "team": row.team_id, "name": "old", "enabled": "on", "expires_at_0": "2020-01-01", "expires_at_1": "00:00:00",
    }  # fmt: skip
    answer = admin_client.post(reverse("admin:accounting_virtualkey_change", args=[row.pk]), form)

    assert answer.status_code == 302


def test_a_second_token_of_a_name(admin_client, admin_user):
    ApiToken.objects.create(user=admin_user, name="ci", digest="d", prefix="p", last_four="l")
    form = {"user": admin_user.pk, "name": "ci", "scope": "read"}

    assert "Choose another name." in str(errors_of(admin_client, "api_apitoken", form)["name"])


@pytest.mark.parametrize("limit", ["0", "-5", "many"])
def test_limits_that_allow_nothing(admin_client, limit):
    form = {"team": make_team().pk, "name": "ci", "tokens_per_minute": limit}
    errors = errors_of(admin_client, "accounting_virtualkey", form)

    assert list(errors) == ["tokens_per_minute"]

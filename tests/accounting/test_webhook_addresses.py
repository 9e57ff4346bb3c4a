"""A budget's webhook is an address that the gateway calls: the page and every other way in refuse what it would not."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounting.models import Budget
from tests.factories.accounting import make_team

pytestmark = pytest.mark.django_db

METADATA = "http://169.254.169.254/latest/meta-data/"
FORM = {
    "amount_usd": "10",
    "window": "month",
    "time_zone": "UTC",
    "enabled": "on",
    "alert_thresholds": "80",
    "alert_emails": "",
}


def test_the_page_says_so_at_the_field(admin_client):
    fields = {**FORM, "team": make_team().pk, "webhook": METADATA}
    page = admin_client.post(reverse("admin:accounting_budget_add"), fields)
    assert "link-local" in page.content.decode()
    assert not Budget.objects.exists()


def test_the_row_says_so_and_an_address_inside_is_taken():
    row = Budget(team=make_team(), amount_usd=Decimal(10), alert_webhook_url=METADATA)
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert list(caught.value.message_dict) == ["alert_webhook_url"]
    row.alert_webhook_url = "http://10.1.2.3:9000/hook"
    row.full_clean()


def test_a_budget_with_a_webhook_from_before_the_rule_can_still_be_edited(admin_client):
    row = Budget.objects.create(
        team=make_team(), amount_usd=Decimal(10), alert_webhook_url=METADATA
    )
    page = reverse("admin:accounting_budget_change", args=[row.pk])
    admin_client.post(page, {**FORM, "team": row.team_id, "amount_usd": "20"})
    row.refresh_from_db()
    assert row.amount_usd == 20

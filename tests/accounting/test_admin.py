"""The admin pages of accounting: a key is shown once, records are looked at only."""

from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.urls import reverse

from accounting import keys
from accounting.models import Price, UsageRecord, VirtualKey
from tests.factories.accounting import make_key, make_team, make_usage

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", ["team", "project", "virtualkey", "price", "usagerecord"])
def test_every_list_opens_empty_and_says_what_to_do(admin_client, model):
    page = admin_client.get(reverse(f"admin:accounting_{model}_changelist"))

    assert page.status_code == 200
    assert "llmgw-note" in page.content.decode()


def make_key_by_form(admin_client, **fields):
    team = make_team()
    form = {"team": team.pk, "name": "laptop", "allowed_aliases": "[]", "enabled": "on", **fields}
    return admin_client.post(reverse("admin:accounting_virtualkey_add"), form)


def test_a_new_key_is_shown_in_the_answer_and_nowhere_else(admin_client):
    page = make_key_by_form(admin_client)
    row = VirtualKey.objects.get()
    text = page.content.decode()
    secret = next(
        word
        for word in text.replace("<", " ").replace(">", " ").split()
        if keys.is_well_formed(word)
    )

    assert keys.digest_of(secret) == row.digest
    assert "no-store" in page["Cache-Control"]
    assert "ANTHROPIC_AUTH_TOKEN" in text
    for address in (
        reverse("admin:accounting_virtualkey_changelist"),
        reverse("admin:accounting_virtualkey_change", args=[row.pk]),
        reverse("admin:accounting_team_change", args=[row.team_id]),
        reverse("admin:index"),
    ):
        assert secret not in admin_client.get(address).content.decode()
    assert all(
        secret not in entry.get_change_message() + entry.object_repr
        for entry in LogEntry.objects.all()
    )
    assert all(secret not in str(session.get_decoded()) for session in Session.objects.all())
    assert all(secret not in str(value) for value in VirtualKey.objects.values().get().values())


def test_a_second_key_of_a_name_is_refused_at_its_field(admin_client):
    make_key_by_form(admin_client)
    page = make_key_by_form(admin_client)

    assert "has a key with that name already" in page.content.decode()
    assert VirtualKey.objects.count() == 1


def test_editing_a_key_does_not_make_a_new_secret(admin_client):
    row = make_key().row
    form = {
        "team": row.team_id,
        "name": "renamed",
        "allowed_aliases": '["claude-*"]',
        "enabled": "on",
    }
    admin_client.post(reverse("admin:accounting_virtualkey_change", args=[row.pk]), form)
    digest = row.digest
    row.refresh_from_db()

    assert (row.name, row.digest, row.allowed_aliases) == ("renamed", digest, ["claude-*"])


def test_switching_keys_off_says_how_many(admin_client):
    rows = [make_key(name="one").row, make_key(name="two").row]
    page = admin_client.post(
        reverse("admin:accounting_virtualkey_changelist"),
        {"action": "switch_off", "_selected_action": [row.pk for row in rows]},
        follow=True,
    )

    assert "2 API keys switched off" in page.content.decode()
    assert not VirtualKey.objects.filter(enabled=True).exists()


def test_records_are_looked_at_only(admin_client):
    row = make_usage(cost_usd=Decimal("0.0012345"), notes=[["dropped", "top_k", "<b>no</b>"]])
    address = reverse("admin:accounting_usagerecord_change", args=[row.pk])
    page = admin_client.get(address).content.decode()

    assert "$0.001234" in page or "$0.001235" in page
    assert "top_k" in page
    assert "<b>no</b>" not in page
    assert admin_client.post(address, {"team": "birch"}).status_code == 403
    assert admin_client.get(reverse("admin:accounting_usagerecord_add")).status_code == 403
    assert (
        admin_client.post(
            reverse("admin:accounting_usagerecord_delete", args=[row.pk]), {"post": "yes"}
        ).status_code
        == 403
    )
    assert UsageRecord.objects.count() == 1


def test_an_unpriced_record_reads_unpriced(admin_client):
    make_usage()
    page = admin_client.get(reverse("admin:accounting_usagerecord_changelist")).content.decode()

    assert "unpriced" in page
    assert "$0" not in page


def test_records_are_found_by_request_id(admin_client):
    wanted, other = make_usage(), make_usage()
    page = admin_client.get(
        reverse("admin:accounting_usagerecord_changelist"), {"q": wanted.request_id}
    ).content.decode()

    assert wanted.pk in page
    assert other.pk not in page


def test_a_list_of_many_records_asks_few_questions(admin_client, django_assert_max_num_queries):
    for _ in range(60):
        make_usage()
    with django_assert_max_num_queries(12):
        admin_client.get(reverse("admin:accounting_usagerecord_changelist"))


def test_prices_and_teams_can_be_edited(admin_client):
    price = {
        "provider": "openrouter",
        "upstream_model": "m",
        "valid_from_at_0": "2026-01-01",
        "valid_from_at_1": "00:00:00",
        "source": "manual",
        "prompt_usd_per_mtok": "3",
        "completion_usd_per_mtok": "15",
        "request_usd": "0",
    }
    assert admin_client.post(reverse("admin:accounting_price_add"), price).status_code == 302
    assert Price.objects.get().prompt_usd_per_mtok == 3
    team = make_team()
    for address in (
        reverse("admin:accounting_team_change", args=[team.pk]),
        reverse("admin:accounting_team_changelist"),
        reverse("admin:accounting_price_changelist"),
        reverse("admin:accounting_project_add"),
        reverse("admin:auth_user_changelist"),
    ):
        assert admin_client.get(address).status_code == 200


def test_the_dashboard_says_what_is_missing_and_then_what_happened(admin_client):
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "There is no provider yet" in page
    assert "No request yet" in page

    make_usage(cost_usd=Decimal("1.5"), team="alder")
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "No request yet" not in page

"""The admin pages of accounting: a key is shown once, records are looked at only."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.urls import reverse

from accounting import keys
from accounting.admin.page import INLINE_ROWS
from accounting.models import Membership, Price, Project, UsageRecord, VirtualKey
from tests.factories.accounting import make_key, make_team, make_usage

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", ["team", "project", "virtualkey", "price", "usagerecord"])
def test_every_list_opens_empty_and_says_what_to_do(admin_client, model):
    page = admin_client.get(reverse(f"admin:accounting_{model}_changelist"))

    assert page.status_code == 200
    assert "llmgw-empty" in page.content.decode()


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
        "image_usd": "0",
        "tiers-TOTAL_FORMS": "0",
        "tiers-INITIAL_FORMS": "0",
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


@pytest.fixture
def three_records():
    """One of another team, one of another key, one of another session."""
    key = make_key(make_team("alder"), "laptop").row
    other = make_key(make_team("alder"), "ci").row
    return (
        make_usage(team="birch", key_id=999, session="s1"),
        make_usage(team="alder", key_id=key.pk, key_name="laptop", session="s2"),
        make_usage(team="alder", key_id=other.pk, key_name="ci"),
    )


@pytest.mark.parametrize(
    ("word", "numbers"),
    [("birch", [0]), ("alder", [1, 2]), ("laptop", [1]), ("s2", [1]), ("lap", []), ("\0", [0, 1, 2])],
    ids=["team", "team of two", "key", "session", "part of a word", "nothing"],
)  # fmt: skip
def test_records_are_found_by_whole_words(admin_client, three_records, word, numbers):
    page = admin_client.get(reverse("admin:accounting_usagerecord_changelist"), {"q": word})
    found = page.context["cl"].result_list

    assert {row.pk for row in found} == {three_records[number].pk for number in numbers}


def test_records_are_found_by_their_own_number(admin_client, three_records):
    row = three_records[1]
    for word in (row.pk, row.request_id):
        page = admin_client.get(reverse("admin:accounting_usagerecord_changelist"), {"q": word})
        assert [found.pk for found in page.context["cl"].result_list] == [row.pk]


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        ({"from_0": "2026-11-20"}, [20, 21]),
        ({"to_0": "2026-11-20"}, [19, 20]),
        ({"from_0": "2026-11-20", "from_1": "13:00"}, [21]),
        ({"from_0": "2026-11-20", "to_0": "2026-11-20", "to_1": "12:00:00"}, [20]),
        ({"from_1": "12:00"}, [19, 20, 21]),
    ],
    ids=["since a day", "until a day", "since a time", "of an hour", "a time without a day"],
)
def test_records_are_found_by_when_they_began(admin_client, asked, days):
    for day in (19, 20, 21):
        make_usage(started_at=datetime(2026, 11, day, 12, tzinfo=UTC))
    page = admin_client.get(
        reverse("admin:accounting_usagerecord_changelist"),
        {f"started_at_{name}": value for name, value in asked.items()},
    )

    assert sorted(row.started_at.day for row in page.context["cl"].result_list) == days


def test_a_moment_that_cannot_be_read_is_told_and_left_out(admin_client):
    make_usage()
    page = admin_client.get(
        reverse("admin:accounting_usagerecord_changelist"), {"started_at_from_0": "<b>soon</b>"}
    )

    assert page.context["cl"].result_count == 1
    text = page.content.decode()
    assert "is no moment and was left out" in text
    assert "<b>soon" not in text


def team_form(team, **more):
    inlines = ("memberships", "projects", "budgets", "keys")
    ends = {f"{name}-{end}_FORMS": "0" for name in inlines for end in ("TOTAL", "INITIAL")}
    return {"slug": team.slug, "enabled": "on", "keys_per_member_max": "3", **ends, **more}


def test_the_page_of_a_large_team_asks_few_questions(
    admin_client, django_user_model, django_assert_max_num_queries
):
    team = make_team()
    for number in range(INLINE_ROWS + 5):
        user = django_user_model.objects.create_user(f"person-{number}")
        Membership.objects.create(team=team, user=user)
        make_key(team, f"key-{number}", owner=user)
        Project.objects.create(team=team, slug=f"project-{number}")
    with django_assert_max_num_queries(20):
        page = admin_client.get(reverse("admin:accounting_team_change", args=[team.pk]))

    assert "person-0" in page.content.decode()
    assert f"{INLINE_ROWS + 5} API keys" in page.content.decode()


def test_in_a_team_a_members_role_is_changed_and_nobody_becomes_somebody_else(
    admin_client, django_user_model
):
    team = make_team()
    ada, eve = (django_user_model.objects.create_user(name) for name in ("ada", "eve"))
    row = Membership.objects.create(team=team, user=ada)
    form = team_form(team) | {
        "memberships-TOTAL_FORMS": "1",
        "memberships-INITIAL_FORMS": "1",
        "memberships-0-id": row.pk,
        "memberships-0-team": team.pk,
        "memberships-0-user": eve.pk,
        "memberships-0-role": "lead",
    }
    address = reverse("admin:accounting_team_change", args=[team.pk])
    assert admin_client.post(address, form).status_code == 302
    row.refresh_from_db()

    assert (row.user, row.role) == (ada, "lead")


def test_the_list_of_teams_counts_people_and_keys_apart(admin_client, django_user_model):
    team = make_team()
    for name in ("ada", "eve"):
        Membership.objects.create(team=team, user=django_user_model.objects.create_user(name))
    for name in ("one", "two", "three"):
        make_key(team, name)
    VirtualKey.objects.filter(name="three").update(enabled=False)
    page = admin_client.get(reverse("admin:accounting_team_changelist"))
    (found,) = page.context["cl"].result_list

    assert (found.people_n, found.active_keys_n) == (2, 2)


@pytest.mark.parametrize("model", ["project", "membership", "virtualkey"])
def test_lists_are_narrowed_to_a_team(admin_client, django_user_model, model):
    for slug in ("alder", "birch"):
        team = make_team(slug)
        Project.objects.create(team=team, slug="web")
        Membership.objects.create(team=team, user=django_user_model.objects.create_user(slug))
        make_key(team)
    page = admin_client.get(
        reverse(f"admin:accounting_{model}_changelist"), {"team__id__exact": make_team("birch").pk}
    )

    assert [row.team.slug for row in page.context["cl"].result_list] == ["birch"]

"""Members' own pages: what they used, what holds for them, and the keys that a lead lets them make."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from accounting import keys, member_keys
from accounting.models import AuditEntry, Budget, Membership, Team, VirtualKey
from tests.factories.accounting import make_key, make_team, make_usage
from tests.factories.routing import make_alias

pytestmark = pytest.mark.django_db

PEOPLE = {"ada": ("alder", "lead"), "bob": ("alder", "member"), "eve": ("alder", "auditor"), "zoe": ("birch", "member")}  # fmt: skip
ADD = "/usage/teams/alder/keys/"
PAGE = "/usage/teams/alder/"
ALLOWANCE = "/usage/teams/alder/allowance/"


@pytest.fixture(autouse=True)
def people():
    for name, (team, role) in PEOPLE.items():
        user = User.objects.create_user(name)
        Membership.objects.create(user=user, team=make_team(team), role=role)


@pytest.fixture
def as_(client):
    def log_in(name: str):
        client.force_login(User.objects.get(username=name))
        return client

    return log_in


@pytest.fixture
def allowed():
    Team.objects.filter(slug="alder").update(members_may_make_keys=True, keys_per_member_max=2)


def test_members_make_no_keys_until_a_lead_lets_them(as_):
    assert as_("bob").post(ADD, {"name": "laptop"}).status_code == 403
    assert "Make a key" not in as_("bob").get(PAGE).content.decode()
    for name in ("bob", "eve"):
        answer = as_(name).post(
            ALLOWANCE, {"members_may_make_keys": "on", "keys_per_member_max": 2}
        )
        assert answer.status_code == 403
    assert as_("zoe").post(ALLOWANCE, {"keys_per_member_max": "2"}).status_code == 404

    answer = as_("ada").post(ALLOWANCE, {"members_may_make_keys": "on", "keys_per_member_max": "2"})
    assert answer.url == PAGE
    assert AuditEntry.objects.filter(
        kind="accounting.team", action="change", actor="ada", team="alder"
    ).exists()
    assert "Make a key" in as_("bob").get(PAGE).content.decode()
    answer = as_("bob").post(ADD, {"name": "laptop", "expires": "30d", "aliases": "demo"})
    row = VirtualKey.objects.get(name="laptop")
    assert keys.find(answer.context["secret"]) == row
    assert (row.owner.get_username(), row.allowed_aliases) == ("bob", ["demo"])
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("text", ["", "0", "101", "many", "-1"], ids=["nothing", "0", "101", "words", "below"])  # fmt: skip
def test_a_number_that_cannot_be_is_told_of(as_, text):
    answer = as_("ada").post(ALLOWANCE, {"keys_per_member_max": text})
    assert answer.status_code == 422
    assert "from 1 to 100" in answer.content.decode()


def test_a_members_key_is_their_own_whatever_they_send(as_, allowed):
    as_("bob").post(ADD, {"name": "mine", "owner": "ada", "rpm": "100000", "project": "secret"})
    row = VirtualKey.objects.get(name="mine")
    assert row.owner.get_username() == "bob"
    assert row.requests_per_minute is None
    assert row.default_project is None


def test_there_is_a_most_of_keys_and_revoked_ones_do_not_count(as_, allowed):
    client = as_("bob")
    for name in ("one", "two"):
        assert client.post(ADD, {"name": name}).status_code == 200
    answer = client.post(ADD, {"name": "three"})
    assert answer.status_code == 422
    assert "You have 2 keys" in answer.content.decode()
    one = VirtualKey.objects.get(name="one")
    client.post(reverse("accounting:team_revoke_key", args=["alder", one.pk]))
    assert client.post(ADD, {"name": "three"}).status_code == 200


def test_a_rotation_is_no_further_key(as_, allowed):
    client = as_("bob")
    for name in ("one", "two"):
        client.post(ADD, {"name": name})
    one = VirtualKey.objects.get(name="one")
    rotate = reverse("accounting:team_rotate_key", args=["alder", one.pk])
    assert client.post(rotate, {"overlap": "7d"}).status_code == 200
    bob = User.objects.get(username="bob")
    assert member_keys.own_open_keys(one.team, bob, now=datetime.now(UTC)).count() == 2


def test_auditors_and_outsiders_make_none(as_, allowed):
    assert as_("eve").post(ADD, {"name": "x"}).status_code == 403
    assert as_("zoe").post(ADD, {"name": "x"}).status_code == 404
    assert not VirtualKey.objects.exists()


def test_a_name_that_is_taken_is_told_of(as_, allowed):
    make_key(make_team("alder"), "taken")
    answer = as_("bob").post(ADD, {"name": "taken"})
    assert answer.status_code == 422
    assert VirtualKey.objects.filter(name="taken").count() == 1


def test_the_page_shows_what_one_used_what_is_left_and_what_holds(as_):
    alder, bob = make_team("alder"), User.objects.get(username="bob")
    Team.objects.filter(pk=alder.pk).update(requests_per_minute=77)
    key = make_key(alder, "of-bob", owner=bob)
    Budget.objects.create(key=key.row if hasattr(key, "row") else key, amount_usd=Decimal(10))
    now = datetime.now(UTC)
    for name, usd in (("bob", "2.5"), ("ada", "100")):
        make_usage(team="alder", member=name, cost_usd=Decimal(usd), started_at=now)
    make_usage(team="birch", member="bob", cost_usd=Decimal(900), started_at=now)
    used = member_keys.own_usage(alder, "bob", now=now)
    assert (used.requests, used.cost_usd) == (1, Decimal("2.5"))
    last_month = now.replace(day=1) - timedelta(days=1)
    make_usage(team="alder", member="bob", cost_usd=Decimal(7), started_at=last_month)
    assert member_keys.own_usage(alder, "bob", now=now).cost_usd == Decimal("2.5")

    text = as_("bob").get(PAGE).content.decode()
    assert "$2.50" in text
    assert "$100" not in text
    assert "77 requests per minute" in text
    assert "of-bob" in text
    assert "are left" in text


def test_the_page_has_models_and_lines_to_copy(as_):
    make_alias("sonnet-for-all")
    from routing import snapshot

    snapshot.put_in_force(snapshot.build())
    try:
        text = as_("bob").get(PAGE).content.decode()
    finally:
        snapshot.put_in_force(None)
    assert "<code>sonnet-for-all</code>" in text
    assert "YOUR-KEY" in text
    assert "http://testserver" in text


def test_a_lead_who_changes_a_role_takes_it_out_of_the_groups_hands(as_):
    row = Membership.objects.get(user__username="bob")
    Membership.objects.filter(pk=row.pk).update(origin="group")
    assert "by a group" in as_("ada").get(PAGE).content.decode()
    as_("ada").post("/usage/teams/alder/members/", {"user": "bob", "role": "member"})
    row.refresh_from_db()
    assert (row.role, row.origin) == ("member", "hand")

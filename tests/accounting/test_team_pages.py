"""A team's own pages: leads change keys and people, auditors look, members see their own, outsiders nothing."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from accounting import keys
from accounting.models import Budget, Membership, Project, VirtualKey
from tests.factories.accounting import make_key, make_team, make_usage

pytestmark = pytest.mark.django_db

ROLES = {"lead": "ada", "member": "bob", "auditor": "eve"}


@pytest.fixture
def team():
    """Alder with its people, a key for each of them and one of the team's; birch with its own."""
    team = make_team()
    Project.objects.create(team=team, slug="web")
    for role, name in ROLES.items():
        user = User.objects.create(username=name, email=f"{name}@example.com")
        Membership.objects.create(team=team, user=user, role=role)
        make_key(team, f"key-of-{name}", owner=user)
    make_key(team, "key-of-all")
    outsider = User.objects.create(username="zoe")
    Membership.objects.create(team=make_team("birch"), user=outsider, role="lead")
    User.objects.create(username="nobody")
    make_key(make_team("birch"), "key-of-birch")
    Budget.objects.create(team=team, amount_usd=Decimal(10))
    make_usage(cost_usd=Decimal("8.5"), started_at=datetime.now(UTC))
    return team


def page(name: str, *args: object) -> str:
    return reverse(f"accounting:{name}", args=args)


@pytest.fixture
def as_(client):
    def log_in(name: str):
        client.force_login(User.objects.get(username=name))
        return client

    return log_in


def key_of(name: str) -> VirtualKey:
    return VirtualKey.objects.get(name=f"key-of-{name}")


def secrets_in(answer) -> set[str]:
    words = re.findall(r"gw-[0-9A-Za-z]+", answer.content.decode())
    return {word for word in words if keys.is_well_formed(word)}


def posts(team) -> list[str]:
    pk = key_of("all").pk
    return [
        page("team_add_key", team.slug),
        page("team_rotate_key", team.slug, pk),
        page("team_revoke_key", team.slug, pk),
        page("team_set_member", team.slug),
    ]


FORM = {"name": "new", "overlap": "1d", "user": "nobody", "role": "lead"}


@pytest.mark.parametrize("name", ["zoe", "nobody"])
def test_an_outsider_is_told_the_same_as_of_a_team_that_is_not_there(as_, team, name):
    client = as_(name)
    for address in (page("team", "alder"), page("team", "cedar")):
        assert client.get(address).status_code == 404
    for address in posts(team):
        assert client.post(address, FORM).status_code == 404
    assert VirtualKey.objects.filter(team=team).count() == 4
    assert not VirtualKey.objects.exclude(revoked_at=None).exists()
    assert team.memberships.count() == 3


def test_whoever_has_not_signed_in_is_sent_to_do_so(client, team):
    for address in (page("teams"), page("team", "alder")):
        assert client.get(address).status_code == 302
    for address in posts(team):
        assert client.post(address, FORM).status_code == 302
    assert VirtualKey.objects.filter(team=team).count() == 4


def test_a_member_sees_their_own_keys_and_nothing_else_of_the_team(as_, team):
    text = as_("bob").get(page("team", "alder")).content.decode()

    assert "key-of-bob" in text
    for word in (
        "key-of-all",
        "key-of-ada",
        "key-of-birch",
        "ada@example.com",
        "$8.50",
        "Make a key",
    ):
        assert word not in text


def test_an_auditor_sees_the_team_and_changes_nothing_but_their_own_key(as_, team):
    client = as_("eve")
    text = client.get(page("team", "alder")).content.decode()
    for word in ("key-of-all", "key-of-bob", "ada@example.com", "$8.50", "85.0"):
        assert word in text
    assert "Make a key" not in text
    assert "key-of-birch" not in text

    for address in posts(team):
        assert client.post(address, FORM).status_code == 403
    assert VirtualKey.objects.filter(team=team).count() == 4
    assert client.post(page("team_revoke_key", "alder", key_of("eve").pk)).status_code == 302
    assert key_of("eve").revoked_at


def test_a_member_rotates_their_own_key_and_finds_no_other(as_, team):
    client = as_("bob")
    for other in ("all", "ada", "birch"):
        address = page("team_rotate_key", "alder", key_of(other).pk)
        assert client.post(address, {"overlap": "1d"}).status_code == 404
    address = page("team_rotate_key", "alder", key_of("bob").pk)
    assert "A new key in the place of alder/key-of-bob" in client.get(address).content.decode()

    answer = client.post(address, {"overlap": "1d"})

    (secret,) = secrets_in(answer)
    assert keys.find(secret) == key_of("bob")
    assert "no-store" in answer["Cache-Control"]
    assert secret not in client.get(page("team", "alder")).content.decode()


def test_a_lead_makes_a_key_that_is_shown_once(as_, team):
    client = as_("ada")
    form = {"name": "new", "owner": "bob", "project": "web", "expires": "90d", "rpm": "5"}
    answer = client.post(page("team_add_key", "alder"), {**form, "aliases": "claude-*, gpt-5"})

    (secret,) = secrets_in(answer)
    row = VirtualKey.objects.get(name="new")
    assert keys.digest_of(secret) == row.digest
    assert (row.team, row.owner, row.default_project) == (
        team,
        User.objects.get(username="bob"),
        Project.objects.get(),
    )
    assert (row.allowed_aliases, row.requests_per_minute) == (["claude-*", "gpt-5"], 5)
    assert "no-store" in answer["Cache-Control"]


def test_what_is_wrong_with_a_new_key_is_told_and_what_was_entered_stays(as_, team):
    form = {"name": "key-of-all", "owner": "zoe", "expires": "soon", "rpm": "x"}
    answer = as_("ada").post(page("team_add_key", "alder"), form)

    text = answer.content.decode()
    assert answer.status_code == 422
    assert "zoe is not a member of team alder" in text
    assert "has a key with that name already" in text
    assert 'value="soon"' in text
    assert VirtualKey.objects.filter(team=team).count() == 4


def test_a_lead_cannot_make_a_key_of_another_team(as_, team):
    form = {"name": "new", "team": "birch"}
    assert as_("ada").post(page("team_add_key", "birch"), form).status_code == 404
    as_("ada").post(page("team_add_key", "alder"), form)
    assert VirtualKey.objects.get(name="new").team == team


def test_a_lead_revokes_once_it_is_confirmed(as_, team):
    client = as_("ada")
    address = page("team_revoke_key", "alder", key_of("bob").pk)
    assert "Revoke for good" in client.get(address).content.decode()
    assert key_of("bob").revoked_at is None

    assert client.post(address).status_code == 302

    assert key_of("bob").revoked_at
    text = client.post(page("team_rotate_key", "alder", key_of("bob").pk)).content.decode()
    assert "was revoked: make a new one" in text


def test_an_overlap_must_be_one_that_may_be(as_, team):
    address = page("team_rotate_key", "alder", key_of("all").pk)
    for overlap, why in (("soon", "is no span of time"), ("99w", "from 0 to 90 days")):
        assert why in as_("ada").post(address, {"overlap": overlap}).content.decode()
    assert VirtualKey.objects.filter(team=team).count() == 4


def test_a_lead_puts_people_in_changes_their_role_and_takes_them_out(as_, team):
    client, address = as_("ada"), page("team_set_member", "alder")
    for role in ("member", "auditor", "auditor"):
        client.post(address, {"user": "nobody", "role": role})
        assert team.memberships.get(user__username="nobody").role == role
    client.post(address, {"user": "nobody", "role": "none"})

    assert not team.memberships.filter(user__username="nobody").exists()
    assert make_team("birch").memberships.count() == 1


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"user": "who", "role": "lead"}, "There is no user"),
        ({"user": "nobody", "role": "boss"}, "Choose a role"),
        ({"user": "ada", "role": "member"}, "Nobody can change their own role"),
    ],
    ids=["unknown", "no-role", "self"],
)
def test_a_wrong_role_or_person_is_told(as_, team, form, why):
    answer = as_("ada").post(page("team_set_member", "alder"), form)

    assert answer.status_code == 422
    assert why in answer.content.decode()
    assert team.memberships.get(user__username="ada").role == "lead"


def test_the_list_has_ones_own_teams_and_leads_to_the_only_one(as_, team):
    assert as_("ada").get(page("teams")).url == page("team", "alder")
    assert "You are in no team" in as_("nobody").get(page("teams")).content.decode()
    User.objects.filter(username="nobody").update(is_staff=True)
    text = as_("nobody").get(page("teams")).content.decode()
    assert page("team", "alder") in text
    assert page("team", "birch") in text
    assert "Make a key" in as_("nobody").get(page("team", "alder")).content.decode()


def test_a_team_that_is_switched_off_says_so(as_, team):
    team.enabled = False
    team.save()

    assert "switched off" in as_("ada").get(page("team", "alder")).content.decode()

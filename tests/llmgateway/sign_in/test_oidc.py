"""Sign-in by OpenID Connect: who is let in as whom, what groups make of them, and what is refused."""

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth.models import User
from django.test import Client

from accounting.audit import sign_ins
from accounting.models import AuditEntry, GroupGrant, Membership
from llmgateway.sign_in import configuration
from tests.factories.accounting import make_team
from tests.fakes.identity import CLIENT, SECRET, FakeIdentity, fake_identity
from tests.llmgateway.sign_in.people import PASSWORD, is_signed_in

pytestmark = pytest.mark.django_db

ADA = {
    "sub": "subject-1",
    "preferred_username": "ada",
    "email": "ada@alder.example",
    "email_verified": True,
    "groups": ["llm-alder"],
}


@pytest.fixture
def identity(settings, monkeypatch):
    monkeypatch.setattr(sign_ins, "_refusals", sign_ins.Refusals(1000))
    settings.STAFF_GROUPS, settings.SUPERUSER_GROUPS = ["llm-staff"], ["llm-root"]
    with fake_identity() as fake:
        fake.claims = dict(ADA)
        told = configuration.Oidc(fake.url, CLIENT, SECRET, "Example login")
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {"APPS": configuration.oidc_apps(told)},
            "saml": {"APPS": []},
        }
        yield fake


@pytest.fixture
def grants():
    for team, role in (("alder", "member"), ("birch", "auditor")):
        GroupGrant.objects.create(group=f"llm-{team}", team=make_team(team), role=role)
    GroupGrant.objects.create(group="llm-leads", team=make_team("alder"), role="lead")


def ways(client: Client) -> str:
    """Where the button on the page leads."""
    page = client.get("/usage/sign-in/", {"next": "/usage/teams/"}).content.decode()
    assert "Sign in with Example login" in page
    return page.split('class="go" href="')[1].split('"')[0]


def walk(client: Client, identity: FakeIdentity, **changed: str):
    """The whole way of a browser, there and back."""
    begun = client.get(ways(client))
    assert begun.status_code == 302, begun.content.decode()
    brought = {**identity.sign_in(begun.url), **changed}
    return client.get(come_back(identity), brought)


def come_back(identity: FakeIdentity) -> str:
    return f"/usage/sign-in/from/{configuration.provider_id('oidc', identity.url)}/"


def roles(name: str) -> dict[str, str]:
    rows = Membership.objects.filter(user__username=name)
    return dict(rows.values_list("team__slug", "role"))


def test_a_first_sign_in_makes_an_account_with_its_teams(client, identity, grants):
    answer = walk(client, identity)
    assert answer.url == "/usage/teams/"
    ada = User.objects.get(username="ada")
    assert (ada.email, ada.has_usable_password(), ada.is_staff) == (ADA["email"], False, False)
    assert roles("ada") == {"alder": "member"}
    assert Membership.objects.get().origin == "group"
    assert client.get("/usage/teams/birch/").status_code == 404
    assert client.get("/usage/teams/alder/").status_code == 200
    assert client.get("/admin/", follow=True).status_code == 403
    assert not SocialToken.objects.exists()

    made = AuditEntry.objects.get(kind="auth.user", action="create")
    assert made.actor == "Example login: sign-in of ada"
    put = AuditEntry.objects.get(kind="accounting.membership", action="create")
    assert (put.actor, put.team) == ("Example login: groups of ada", "alder")
    assert AuditEntry.objects.filter(action="sign in", actor="ada").exists()


def test_groups_are_followed_at_each_sign_in(client, identity, grants):
    walk(client, identity)
    client.logout()
    identity.claims["groups"] = ["llm-alder", "llm-leads", "llm-birch", "somebody elses"]
    walk(client, identity)
    assert roles("ada") == {"alder": "lead", "birch": "auditor"}
    client.logout()
    identity.claims["groups"] = ["llm-birch"]
    walk(client, identity)
    assert roles("ada") == {"birch": "auditor"}
    gone = AuditEntry.objects.get(kind="accounting.membership", action="delete")
    assert (gone.actor, gone.team) == ("Example login: groups of ada", "alder")


def test_memberships_given_by_hand_stay(client, identity, grants):
    walk(client, identity)
    client.logout()
    ada = User.objects.get(username="ada")
    Membership.objects.create(user=ada, team=make_team("birch"), role="lead")
    identity.claims["groups"] = []
    walk(client, identity)
    assert roles("ada") == {"birch": "lead"}
    client.logout()
    identity.claims["groups"] = ["llm-birch"]
    walk(client, identity)
    assert roles("ada") == {"birch": "lead"}


def test_who_is_in_no_group_is_told_so_kindly(client, identity, grants):
    identity.claims["groups"] = None
    walk(client, identity)
    page = client.get("/usage/")
    assert page.status_code == 403
    assert "you are in no team so far" in page.content.decode()
    assert roles("ada") == {}


def test_staff_follows_groups_there_and_back(client, identity, grants):
    identity.claims["groups"] = ["llm-staff"]
    walk(client, identity)
    assert (User.objects.get().is_staff, User.objects.get().is_superuser) == (True, False)
    client.logout()
    identity.claims["groups"] = ["llm-root"]
    walk(client, identity)
    assert client.get("/admin/").status_code == 200
    client.logout()
    identity.claims["groups"] = ["llm-alder"]
    walk(client, identity)
    assert (User.objects.get().is_staff, User.objects.get().is_superuser) == (False, False)


def test_groups_may_be_told_by_the_user_info_page_or_further_in(client, identity, grants, settings):
    settings.GROUPS_CLAIM = "realm_access.roles"
    identity.claims["groups"] = None
    identity.userinfo = {"realm_access": {"roles": ["llm-leads"]}}
    walk(client, identity)
    assert roles("ada") == {"alder": "lead"}


def test_the_subject_is_who_somebody_is_not_the_name_or_the_address(client, identity, grants):
    walk(client, identity)
    client.logout()
    identity.claims |= {"preferred_username": "ada2", "email": "new@alder.example"}
    walk(client, identity)
    assert list(User.objects.values_list("username", flat=True)) == ["ada"]
    client.logout()
    identity.claims |= {"sub": "subject-2", "preferred_username": "ada", "email": "x@alder.example"}
    walk(client, identity)
    assert set(User.objects.values_list("username", flat=True)) == {"ada", "ada-2"}


def test_another_provider_is_another_namespace_of_subjects(client, identity, grants, settings):
    walk(client, identity)
    told = configuration.Oidc("https://elsewhere.example", CLIENT, SECRET, "Other")
    other = configuration.oidc_apps(told)[0]["provider_id"]
    assert other != SocialAccount.objects.get().provider


def test_an_address_that_somebody_has_is_refused(client, identity, grants):
    ada = User.objects.create_user("old-ada", email="ADA@alder.example", password=PASSWORD)
    answer = walk(client, identity)
    assert answer.status_code == 403
    assert "ada@alder.example already" in answer.content.decode()
    assert not is_signed_in(client)
    assert not SocialAccount.objects.exists()
    assert roles("old-ada") == {}
    assert AuditEntry.objects.filter(action="refused", object_id=str(ada.pk)).exists()


@pytest.mark.parametrize(
    ("setting", "verified", "is_let_in"),
    [
        ("verified", True, True),
        ("verified", False, False),
        ("verified", "false", False),
        ("verified", None, False),
        ("trusted", None, True),
    ],
    ids=["verified", "unverified", "the word false", "not told", "trusted"],
)
def test_a_verified_address_joins_the_two_where_the_operator_says_so(
    client, identity, grants, settings, setting, verified, is_let_in
):
    settings.LINK_BY_EMAIL = setting
    old = User.objects.create_user("old-ada", email="ada@alder.example", password=PASSWORD)
    identity.claims["email_verified"] = verified
    walk(client, identity)
    assert is_signed_in(client) is is_let_in
    assert SocialAccount.objects.filter(user=old).exists() is is_let_in
    old.refresh_from_db()
    assert old.check_password(PASSWORD)
    assert not User.objects.exclude(pk=old.pk).exists()


def test_an_address_that_only_resembles_anothers_joins_nobody(client, identity, settings):
    settings.LINK_BY_EMAIL = "trusted"
    User.objects.create_user("kate", email="kate@alder.example", password=PASSWORD)
    identity.claims["email"] = "\N{KELVIN SIGN}ate@alder.example"
    assert walk(client, identity).status_code == 403
    assert not is_signed_in(client)
    assert not SocialAccount.objects.exists()


def test_staff_are_never_joined_by_an_address(client, identity, settings):
    settings.LINK_BY_EMAIL = "trusted"
    User.objects.create_superuser("root", email="ada@alder.example", password=PASSWORD)
    assert walk(client, identity).status_code == 403
    assert not is_signed_in(client)


def test_who_was_joined_keeps_being_staff_or_not(client, identity, grants, settings):
    settings.LINK_BY_EMAIL = "verified"
    User.objects.create_user("old-ada", email="ada@alder.example", password=PASSWORD)
    identity.claims["groups"] = ["llm-root"]
    walk(client, identity)
    assert not User.objects.get().is_staff


def test_only_people_of_the_named_domains_are_let_in(client, identity, settings):
    settings.SIGN_IN_DOMAINS = ["alder.example"]
    for email, verified in (
        ("ada@birch.example", True),
        ("ada@alder.example", False),
        (None, None),
    ):
        identity.claims |= {"email": email, "email_verified": verified}
        assert walk(client, identity).status_code == 403
    assert not User.objects.exists()
    identity.claims |= ADA
    walk(client, identity)
    assert is_signed_in(client)


def test_an_account_that_is_switched_off_stays_out(client, identity, grants):
    walk(client, identity)
    client.logout()
    User.objects.update(is_active=False)
    identity.claims["groups"] = ["llm-birch"]
    answer = walk(client, identity)
    assert answer.status_code == 403
    assert "switched off" in answer.content.decode()
    assert not is_signed_in(client)
    assert roles("ada") == {"alder": "member"}


def test_a_state_that_this_browser_did_not_begin_with_is_refused(client, identity):
    assert walk(client, identity, state="planted").status_code == 403
    begun = Client().get(ways(client))
    assert client.get(come_back(identity), identity.sign_in(begun.url)).status_code == 403
    assert not User.objects.exists()


def test_a_way_back_leads_in_once(client, identity):
    begun = client.get(ways(client))
    brought = identity.sign_in(begun.url)
    assert client.get(come_back(identity), brought).status_code == 302
    client.logout()
    assert client.get(come_back(identity), brought).status_code == 403
    assert not is_signed_in(client)


def other_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_text(identity: FakeIdentity) -> str:
    return (
        identity.key.public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        .hex()
    )


WRONGS = {
    "another key": lambda fake: setattr(fake, "signs_with", other_key()),
    "no signature": lambda fake: (
        setattr(fake, "signs_with", None),
        setattr(fake, "algorithm", "none"),
    ),
    "the public key as a secret": lambda fake: (
        setattr(fake, "signs_with", public_text(fake)),
        setattr(fake, "algorithm", "HS256"),
    ),
    "another audience": lambda fake: fake.claims.update(aud="somebody-else"),
    "another issuer": lambda fake: fake.claims.update(iss="https://elsewhere.example"),
    "over": lambda fake: fake.claims.update(exp=1_600_000_000),
    "no subject": lambda fake: fake.claims.update(sub=None),
    "for another party": lambda fake: fake.claims.update(azp="somebody-else"),
    "user info of another": lambda fake: fake.userinfo.update(sub="subject-9"),
    "no token": lambda fake: setattr(fake, "is_broken", True),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_what_does_not_hold_lets_nobody_in(client, identity, wrong):
    WRONGS[wrong](identity)
    answer = walk(client, identity)
    assert answer.status_code == 403
    assert "could not be finished" in answer.content.decode()
    assert not is_signed_in(client)
    assert not User.objects.exists()


def test_a_provider_that_says_to_be_another_is_not_asked(client, identity):
    identity.issuer_told = "https://elsewhere.example"
    assert client.get(ways(client)).status_code == 502


def test_a_provider_that_is_away_is_told_of(client, identity, settings):
    told = configuration.Oidc("http://127.0.0.1:9", CLIENT, SECRET, "Example login")
    apps = configuration.oidc_apps(told)
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": apps}, "saml": {"APPS": []}}
    answer = client.get(ways(client))
    assert answer.status_code == 502
    assert SECRET not in answer.content.decode()


def test_who_turns_back_is_told_so(client, identity):
    begun = client.get(ways(client))
    state = identity.sign_in(begun.url)["state"]
    answer = client.get(come_back(identity), {"error": "access_denied", "state": state})
    assert answer.status_code in (302, 403)
    assert not is_signed_in(client)


def test_nobody_can_join_an_account_to_the_one_that_is_signed_in(client, identity):
    bo = User.objects.create_user("bo", password=PASSWORD)
    client.force_login(bo)
    provider = configuration.provider_id("oidc", identity.url)
    begun = client.get(f"/usage/sign-in/to/{provider}/?process=connect&next=https://evil.example/")
    client.get(come_back(identity), identity.sign_in(begun.url))
    assert not SocialAccount.objects.filter(user=bo).exists()


def test_without_a_provider_there_is_no_way_to_one(client, settings):
    assert 'class="go"' not in client.get("/usage/sign-in/").content.decode()
    assert client.get("/usage/sign-in/to/oidc/").status_code == 404
    assert client.get("/usage/sign-in/from/oidc/").status_code == 404
    assert client.get("/usage/sign-in/saml/login/").status_code == 404
    assert jwt.__version__

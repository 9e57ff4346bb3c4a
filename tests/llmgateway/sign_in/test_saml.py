"""Sign-in by SAML: what the identity provider has signed lets in; what was changed, kept or made up does not."""

from datetime import timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from accounting.audit import sign_ins
from accounting.models import GroupGrant, Membership
from llmgateway.sign_in import configuration
from tests.factories.accounting import make_team
from tests.fakes.saml import ENTITY, FakeSaml
from tests.llmgateway.sign_in.people import is_signed_in

pytestmark = pytest.mark.django_db

ADA = {"username": ["ada"], "email": ["ada@alder.example"], "groups": ["llm-alder", "others"]}


@pytest.fixture
def identity(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(sign_ins, "_refusals", sign_ins.Refusals(1000))
    cache.clear()
    fake = FakeSaml(attributes=dict(ADA))
    path = tmp_path / "metadata.xml"
    path.write_text(fake.metadata())
    told = configuration.Saml(metadata_file=str(path), name="Example SAML")
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {"APPS": []},
        "saml": {"APPS": configuration.saml_apps(told)},
    }
    for team in ("alder", "birch"):
        GroupGrant.objects.create(group=f"llm-{team}", team=make_team(team), role="lead")
    yield fake
    cache.clear()


@pytest.fixture
def client():
    return Client(headers={"host": "testserver"})


def begin(client: Client) -> str:
    """Where the button leads: the provider's page, with the request."""
    page = client.get("/usage/sign-in/", {"next": "/usage/teams/"}).content.decode()
    assert "Sign in with Example SAML" in page
    answer = client.get(page.split('class="go" href="')[1].split('"')[0])
    assert answer.status_code == 302, answer.content.decode()
    return answer.url


def bring(client: Client, answer: str):
    """What the browser does with the provider's form."""
    sent = client.post("/usage/sign-in/saml/acs/", {"SAMLResponse": answer})
    return client.get(sent.url) if sent.status_code == 302 else sent


def test_a_signed_answer_lets_in_with_teams(client, identity):
    assert bring(client, identity.answer(begin(client))).url == "/usage/teams/"
    ada = User.objects.get()
    assert (ada.username, ada.email, ada.is_staff) == ("ada", "ada@alder.example", False)
    rows = Membership.objects.values_list("team__slug", "role", "origin")
    assert list(rows) == [("alder", "lead", "group")]
    assert SocialAccount.objects.get().provider == configuration.provider_id("saml", ENTITY)
    assert client.get("/usage/teams/birch/").status_code == 404


def test_groups_are_followed_and_the_subject_is_who_somebody_is(client, identity):
    bring(client, identity.answer(begin(client)))
    client.logout()
    identity.attributes = {"username": ["renamed"], "groups": ["llm-birch"]}
    bring(client, identity.answer(begin(client)))
    assert User.objects.get().username == "ada"
    assert Membership.objects.get().team.slug == "birch"


def refused(client: Client, answer: str) -> None:
    page = bring(client, answer)
    assert page.status_code in (400, 403)
    assert not is_signed_in(client)
    assert not User.objects.exists()


def test_an_answer_that_was_changed_is_refused(client, identity):
    address = begin(client)
    import base64

    xml = base64.b64decode(identity.answer(address))
    refused(client, identity.encoded(xml.replace(b"llm-alder", b"llm-birch")))
    assert b"llm-alder" in xml


def test_an_answer_without_a_signature_is_refused(client, identity):
    identity.is_signed = False
    refused(client, identity.answer(begin(client)))


def test_an_answer_that_somebody_else_signed_is_refused(client, identity):
    other = FakeSaml(attributes=dict(ADA))
    refused(client, other.answer(begin(client)))


def test_an_answer_that_is_over_is_refused(client, identity):
    identity.age = timedelta(hours=1)
    refused(client, identity.answer(begin(client)))


def test_an_answer_for_another_gateway_is_refused(client, identity):
    identity.audience = "https://elsewhere.example/"
    refused(client, identity.answer(begin(client)))


def test_an_answer_lets_in_once(client, identity):
    answer = identity.answer(begin(client))
    assert bring(client, answer).status_code == 302
    client.logout()
    assert bring(client, answer).status_code == 403
    assert not is_signed_in(client)


def test_an_answer_to_another_browsers_request_is_refused(client, identity):
    refused(Client(headers={"host": "testserver"}), identity.answer(begin(client)))


@pytest.mark.parametrize("asked", ["", "_made-up"], ids=["nobody", "made up"])
def test_an_answer_that_nobody_asked_for_is_refused(client, identity, asked):
    refused(client, identity.encoded(identity.xml(asked)))


@pytest.mark.parametrize(
    "text", ["", "no base64", "bm8geG1s", "A" * 300_000], ids=["nothing", "words", "no XML", "long"]
)
def test_what_is_no_answer_is_refused(client, identity, text):
    refused(client, text)


def test_the_metadata_for_the_provider_are_there(client, identity):
    answer = client.get("/usage/sign-in/saml/metadata/")
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "http://testserver/usage/sign-in/saml/acs/" in text
    assert client.get("/usage/sign-in/other/metadata/").status_code == 404
    assert client.get("/usage/sign-in/saml/sls/").status_code == 400
    assert client.get("/usage/sign-in/saml/acs/").status_code == 302
    assert client.get("/usage/sign-in/saml/acs/finish/").status_code == 403

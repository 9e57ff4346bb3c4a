"""What was edited between two snapshots, and what was not."""

import pytest

from routing import snapshot
from routing.amended import amended
from routing.models import Credential, Deployment, Provider
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows() -> tuple[Provider, Credential, Deployment, Deployment]:
    """A provider with a credential for all and one of a deployment's own; and another provider that nobody edits."""
    provider, other = make_provider("edited"), make_provider("other")
    credential = make_credential(provider)
    own = make_credential(provider, "own", "sk-own-1234567890")
    first, second = make_deployment(provider, "first"), make_deployment(provider, "second", credential=own)  # fmt: skip
    make_alias("exact", first, second)
    make_alias("some-*", make_deployment(other), second, match="wildcard")
    return provider, credential, first, second


def test_what_says_whom_a_request_reaches_amends_all_deployments(rows):
    provider, _credential, first, second = rows
    for edit in (
        {"base_url": "https://elsewhere.example/api/v1"},
        {"verify_tls": False},
        {"kind": "openai_compatible"},
    ):
        before = snapshot.build()
        Provider.objects.filter(pk=provider.pk).update(**edit)
        assert amended(before, snapshot.build()) == ({first.pk, second.pk}, set())


def test_a_secret_amends_its_credential_and_those_who_send_it(rows):
    _provider, credential, first, _second = rows
    before = snapshot.build()
    credential.seal("sk-or-another-secret")
    credential.save()
    assert amended(before, snapshot.build()) == ({first.pk}, {credential.pk})


def test_other_edits_amend_nothing(rows):
    provider, credential, first, _second = rows
    before = snapshot.build()
    Provider.objects.filter(pk=provider.pk).update(cooldown_after=2)
    Credential.objects.filter(pk=credential.pk).update(weight=7)
    make_credential(provider, "more", "sk-or-more-secrets")
    make_alias("new", make_deployment(make_provider("new")), first)
    assert amended(before, snapshot.build()) == (set(), set())

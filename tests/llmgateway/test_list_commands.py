"""What there is, for terminals and for programs."""

import json
from datetime import UTC, datetime

import pytest
from django.core.management import call_command

from accounting import keys
from accounting.models import Project
from routing.checks import Finding, store
from routing.providers.facts import ProviderState
from tests.factories.accounting import make_key, make_team
from tests.factories.routing import make_credential, make_deployment, make_provider

pytestmark = pytest.mark.django_db


def said(capsys, name: str, **options) -> str:
    call_command(name, **options)
    return capsys.readouterr().out


def told(capsys, name: str, **options) -> list:
    return json.loads(said(capsys, name, json=True, **options))


@pytest.mark.parametrize("name", ["list_keys", "list_teams", "list_providers"])
def test_nothing_is_said_so(capsys, name):
    assert said(capsys, name).startswith("There is no")
    assert told(capsys, name) == []


def test_keys_are_listed_without_their_secrets(capsys):
    minted = make_key(allowed_aliases=["claude-*"], expires_at=datetime(2099, 1, 1, tzinfo=UTC))
    gone = make_key(make_team("birch")).row
    keys.revoke(gone, now=datetime.now(UTC))

    text = said(capsys, "list_keys")
    assert "alder/laptop" in text
    assert "for claude-*" in text
    assert "until 2099-01-01T00:00" in text
    assert minted.secret not in text
    assert [tree["state"] for tree in told(capsys, "list_keys")] == ["on", "revoked"]
    assert [tree["team"] for tree in told(capsys, "list_keys", accepted=True)] == ["alder"]
    assert [tree["team"] for tree in told(capsys, "list_keys", team="birch")] == ["birch"]


def test_teams_are_listed_with_what_they_have(capsys):
    Project.objects.create(team=make_team(), slug="web")
    make_key()
    (tree,) = told(capsys, "list_teams")
    assert (tree["slug"], tree["projects"], tree["keys"], tree["people"]) == (
        "alder",
        ["web"],
        1,
        0,
    )
    assert said(capsys, "list_teams") == "alder  on   0 people, 1 keys  projects web\n"


def test_providers_are_listed_with_what_the_last_check_found(capsys):
    row = make_provider("router")
    make_credential(row)
    make_deployment(row)
    assert "not checked yet" in said(capsys, "list_providers")
    store(row.pk, Finding(ProviderState(problem="refuses the key"), datetime.now(UTC)))
    (tree,) = told(capsys, "list_providers")
    assert (tree["credentials"], tree["deployments"]) == (1, 1)
    assert "refuses the key" in tree["health"]
    assert "PROBLEM" in said(capsys, "list_providers")

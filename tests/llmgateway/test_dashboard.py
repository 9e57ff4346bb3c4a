"""The first page of the admin: what this process passes over for a while."""

import time

import pytest

from conversion.errors import UpstreamBroken, UpstreamUnauthorized
from llmgateway import current, dashboard
from routing.cooldown import Policy
from routing.live import Live
from tests.factories.routing import make_deployment, make_provider

pytestmark = pytest.mark.django_db


class Held:
    """A runtime, as far as the page looks at it."""

    def __init__(self) -> None:
        self.live = Live()


@pytest.fixture
def held(monkeypatch) -> Held:
    made = Held()
    monkeypatch.setattr(current, "held", lambda: made)
    return made


def sentences() -> str:
    return " ".join(concern.sentence for concern in dashboard.concerns())


def test_what_is_skipped_and_what_rests_is_told(held):
    deployment = make_deployment(make_provider(), "acme/large")
    credential = deployment.provider.credentials.get()
    now_s = time.monotonic()
    held.live.cooldowns.failed(
        deployment.pk, UpstreamBroken("no"), Policy(after=1, first_s=60), now_s
    )
    held.live.cooldowns.rest_credential(credential.pk, UpstreamUnauthorized("no"), now_s)

    assert "acme/large is skipped for " in sentences()
    assert "after 1 failures in a row (UpstreamBroken)" in sentences()
    assert "openrouter/main rests for " in sentences()


def test_nothing_is_told_while_all_is_well(held):
    make_deployment(make_provider())

    assert "skipped" not in sentences()
    assert "rests" not in sentences()


def test_only_those_that_need_a_credential_are_missed_one(held):
    make_provider("bare")
    make_provider("own", credential_mode="pass_through")
    make_provider("box", kind="ollama")

    assert "Provider bare has no credential." in sentences()
    assert "Provider own" not in sentences()
    assert "Provider box" not in sentences()

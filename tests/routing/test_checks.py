"""One look at a provider, and the row that keeps it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from routing import checks, snapshot
from routing.checks import Finding
from routing.models import ProviderCheck
from routing.providers.facts import ProviderState
from routing.upstream import lookups
from tests.factories.pictures import picture_credential, picture_provider
from tests.factories.routing import make_provider
from tests.fakes.upstream import SILENCE, FakeUpstream, json_answer

LIST = {"data": [{"id": "a/large"}, {"id": "b"}]}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
async def upstream():
    async with FakeUpstream() as fake:
        yield fake


def compatible(upstream: FakeUpstream, **fields):
    return picture_provider(upstream.url, kind="openai_compatible", **fields)


async def test_a_provider_that_answers_is_well(upstream):
    upstream.default = json_answer(LIST)
    state = await checks.look(compatible(upstream))

    assert state.problem == ""
    assert len(upstream.requests) == 1


async def test_the_model_to_check_for_must_be_in_the_list(upstream):
    upstream.default = json_answer(LIST)

    assert (await checks.look(compatible(upstream), "b")).problem == ""
    gone = await checks.look(compatible(upstream), "gone")
    assert gone.problem == "the model gone is not in its list"
    assert gone.latency_ms is not None


async def test_a_list_that_is_refused_is_a_problem_only_where_it_is_asked_for(upstream):
    health = json_answer({"data": {"limit_remaining": 5}})
    refusal = json_answer({"error": {"message": "No list today."}}, status=500)
    upstream.answers(health, refusal, health, refusal, refusal)

    assert (await checks.look(picture_provider(upstream.url))).problem == ""
    state = await checks.look(picture_provider(upstream.url), "b")
    assert state.problem.startswith("its models cannot be listed: ")


async def test_a_kind_without_a_list_is_not_asked_for_one():
    state = await checks.look(picture_provider(kind="demo", credentials=()), "demo-1")

    assert state.problem == ""


async def test_a_look_ends_whatever_the_provider_does(upstream, monkeypatch):
    monkeypatch.setattr(checks, "LOOK_S", 0.05)
    upstream.default = json_answer(LIST)
    upstream.answers(SILENCE)

    state = await checks.look(compatible(upstream))
    assert state.problem == "did not finish answering within 0.05 s"


async def test_a_bundle_that_cannot_be_read_is_a_problem(upstream):
    state = await checks.look(compatible(upstream, ca_bundle_pem="no certificate"))

    assert "CA bundle" in state.problem
    assert upstream.requests == []


async def test_what_nobody_thought_of_is_a_problem_and_is_logged(monkeypatch, caplog):
    async def fail(_provider):
        raise ValueError("odd")

    monkeypatch.setattr(lookups, "check", fail)
    state = await checks.look(picture_provider())

    assert state.problem == "could not be looked at (ValueError)"
    assert "a provider could not be looked at" in caplog.text


async def test_a_secret_that_the_provider_repeats_is_left_out(upstream):
    upstream.default = json_answer(
        {"error": {"message": "Who is correct-horse-battery?"}}, status=401
    )
    credentials = (picture_credential(secret="correct-horse-battery"),)
    state = await checks.look(compatible(upstream, credentials=credentials))

    assert state.problem == "Who is …?"


@pytest.mark.django_db
def test_the_last_finding_replaces_the_one_before():
    row = make_provider()
    number = snapshot.version()
    checks.store(row.pk, Finding(ProviderState(problem="p" * 900, detail="d" * 900), NOON))
    state = ProviderState(detail="paid", credit_usd=Decimal("2.25"), latency_ms=7)
    checks.store(row.pk, Finding(state, NOON))

    assert ProviderCheck.objects.count() == 1
    assert checks.stored_findings() == {row.pk: Finding(state, NOON)}
    assert snapshot.version() == number  # it is no part of the configuration
    assert str(row.last_check) == "openrouter: ok"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("1e30", None),
        ("7.1234567890123", "7.12345679"),
        ("0", "0"),
        ("99999999999.9", "99999999999.9"),
    ],
)
def test_a_credit_is_kept_as_far_as_its_column_holds_it(told, kept):
    row = make_provider()
    checks.store(row.pk, Finding(ProviderState(credit_usd=Decimal(told)), NOON))

    found = checks.stored_findings()[row.pk].state.credit_usd
    assert found == (None if kept is None else Decimal(kept))


@pytest.mark.django_db(transaction=True)
def test_a_finding_about_a_provider_that_is_gone_is_passed_over():
    row = make_provider()
    number = row.pk
    row.delete()
    checks.store(number, Finding(ProviderState(), NOON))

    assert checks.stored_findings() == {}


async def test_a_deleted_provider_takes_its_finding_along(transactional_db):
    def make_and_delete() -> None:
        row = make_provider()
        checks.store(row.pk, Finding(ProviderState(), NOON))
        row.delete()

    await sync_to_async(make_and_delete)()
    assert not await ProviderCheck.objects.aexists()


def test_a_state_is_told_in_a_line():
    assert checks.sentence(ProviderState(problem="gone")) == "PROBLEM: gone"
    assert (
        checks.sentence(ProviderState(detail="paid", credit_usd=Decimal("2.50"), latency_ms=7))
        == "ok, paid, 2.5 USD left, 7 ms"
    )

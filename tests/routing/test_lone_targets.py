"""A deployment that is chosen by hand is a target like those of routes, but for what an alias adds."""

import pytest

from routing import snapshot
from routing.lone_targets import plan_to, target_of
from routing.models import HeaderRule, ModelAlias
from routing.pictures import Snapshot
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider

pytestmark = pytest.mark.django_db


def held() -> Snapshot:
    return snapshot.build()


def test_it_is_asked_as_a_route_would_have_it_asked():
    deployment = make_deployment(make_provider(), context_window_tokens=1000, takes_images=False,
                                 parameters={"temperature": 0})  # fmt: skip
    make_alias("sonnet", deployment)
    now = held()
    routed = now.exact["sonnet"].routes[0].targets[0]
    lone = target_of(now, deployment)

    assert lone is not None
    for name in ("pk", "provider", "upstream_model", "traits", "overrides", "credentials", "facts",
                 "context_window_tokens", "header_rules", "request_edits", "response_edits"):  # fmt: skip
        assert getattr(lone, name) == getattr(routed, name)


def test_a_deployment_keeps_to_its_own_credential():
    provider = make_provider()
    make_credential(provider)
    second = make_credential(provider, "second", "sk-or-v1-another-secret-0123456789")
    free, bound = make_deployment(provider, "a"), make_deployment(provider, "b", credential=second)
    now = held()

    assert len(target_of(now, free).credentials) == 2
    assert [each.pk for each in target_of(now, bound).credentials] == [second.pk]


def test_the_rules_of_an_alias_do_not_hold():
    provider = make_provider()
    deployment = make_deployment(provider)
    make_alias("sonnet", deployment)
    common = {"action": "force", "value": "1"}
    HeaderRule.objects.create(name="x-provider", provider=provider, **common)
    HeaderRule.objects.create(name="x-alias", alias=ModelAlias.objects.get(), **common)
    lone = target_of(held(), deployment)

    assert [rule.name.lower() for rule in lone.header_rules] == ["x-provider"]


def test_a_provider_that_is_switched_off_has_no_target():
    deployment = make_deployment(make_provider(enabled=False))

    assert target_of(held(), deployment) is None


def test_the_plan_leads_there_and_nowhere_else():
    deployment = make_deployment(make_provider())
    now = held()
    target = target_of(now, deployment)
    plan = plan_to(now, target, alias="asked")

    assert (plan.alias, plan.targets, plan.session) == ("asked", (target,), "")
    assert plan.snapshot_number == now.number

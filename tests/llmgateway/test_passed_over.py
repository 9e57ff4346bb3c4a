"""Why the other aliases, routes and targets were not chosen."""

import time

import pytest

from conversion.errors import UpstreamBroken
from llmgateway.explanation import bystander
from llmgateway.passed_over import passed_over
from routing import snapshot
from routing.cooldown import Policy
from routing.models import (
    Credential,
    Deployment,
    FeatureFlag,
    Route,
    RouteTarget,
)
from tests.factories.routing import (
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)
from tests.llmgateway.conftest import two_targets


def test_what_is_passed_over_has_its_reason(told):
    alias = two_targets()
    first, second = alias.routes.get().targets.all()
    RouteTarget.objects.filter(pk=first.pk).update(only_with_tools=True)
    later = Route.objects.create(alias=alias, position=1)
    RouteTarget.objects.create(route=later, deployment=first.deployment)
    Route.objects.create(alias=alias, position=2, enabled=False)
    Route.objects.create(alias=alias, position=0, teams="birch").save()
    Route.objects.filter(teams="").filter(position=0).update(position=1)
    off = make_deployment(make_provider("off", enabled=False))
    RouteTarget.objects.create(route=second.route, deployment=off, position=9)
    make_alias("son*", second.deployment, match="wildcard")
    snapshot.bump()
    explained = told()

    assert explained.route == 2
    assert explained.passed_over == (
        "Route 1 is passed over: its team must be birch, and is none.",
        "Target direct: anthropic/claude-sonnet-4.5 is passed over: it is for requests with tools.",
        "The alias 'son*' matches too, but an exact name goes before patterns.",
        "Route 3 (direct: anthropic/claude-sonnet-4.5) is not looked at: one before it was taken.",
        "The route at position 2 is switched off.",
        "Target off: anthropic/claude-sonnet-4.5 is passed over: its provider is switched off.",
    )


@pytest.mark.parametrize(
    ("model", "fields", "reason"),
    [
        (Deployment, {"enabled": False}, "it is switched off"),
        (Credential, {"enabled": False}, "it has no credential that is switched on"),
    ],
)
def test_a_target_that_cannot_be_called_is_told(told, model, fields, reason):
    make_alias("sonnet", make_deployment(make_provider()))
    model.objects.update(**fields)
    snapshot.bump()
    explained = told()

    assert explained.refusal.error == "NoTarget"
    assert explained.refusal.status == 529
    assert (
        f"Target openrouter: anthropic/claude-sonnet-4.5 is passed over: {reason}."
        in explained.passed_over
    )


def test_a_target_that_cools_down_is_told(told):
    two_targets()
    runtime = bystander()
    first = Deployment.objects.get(provider__slug="direct")
    policy = Policy(after=1, first_s=100.0)
    runtime.live.cooldowns.failed(first.pk, UpstreamBroken("x"), policy, time.monotonic())
    explained = told(runtime=runtime)

    assert [target.provider for target in explained.targets] == ["second"]
    assert explained.passed_over == (
        "Target direct: anthropic/claude-sonnet-4.5 is passed over: it cools down for 100 s more after UpstreamBroken.",
    )


def test_all_that_cool_down_are_tried_and_say_so(told):
    make_alias("sonnet", make_deployment(make_provider()))
    runtime = bystander()
    pk = Deployment.objects.get().pk
    policy = Policy(after=1, first_s=100.0)
    runtime.live.cooldowns.failed(pk, UpstreamBroken("x"), policy, time.monotonic())
    runtime.live.latencies.note(pk, 320)
    explained = told(runtime=runtime)

    state = explained.targets[0].state
    assert state == "cooling down for 100 s more, after 1 failure in a row, the last UpstreamBroken"
    runtime.live.cooldowns.succeeded(pk)
    again = told(runtime=runtime)
    assert again.targets[0].state == "ready; its answers begin after 320 ms on average"


def test_a_switched_off_path_is_told(told):
    direct, litellm = (
        make_provider("direct"),
        make_provider("proxy", kind="litellm_proxy", base_url="http://l"),
    )
    make_alias("sonnet", make_deployment(direct), make_deployment(litellm))
    FeatureFlag.objects.create(name="litellm_fallback", enabled=False)
    explained = told()

    assert [target.provider for target in explained.targets] == ["direct"]
    assert explained.passed_over == (
        "Target proxy: anthropic/claude-sonnet-4.5 is passed over: the feature flags keep the request on the other path.",
    )


def test_an_alias_that_is_switched_off_is_told(told):
    two_targets(enabled=False)
    explained = told()

    assert explained.refusal.error == "ModelUnknown"
    assert explained.passed_over == ("The alias 'sonnet' is switched off.",)


def test_a_deployments_own_credential_must_be_switched_on(told):
    provider = make_provider()
    own = make_credential(provider, "own", enabled=False)
    make_alias("sonnet", make_deployment(provider, credential=own))
    make_credential(provider)

    assert "it has no credential that is switched on" in told().passed_over[-1]


def test_credentials_are_read_at_once_for_all_targets(told, django_assert_max_num_queries):
    alias = two_targets()
    route = alias.routes.get()
    for number in range(30):
        deployment = make_deployment(make_provider(f"p{number}"))
        Credential.objects.filter(provider=deployment.provider).update(enabled=number % 2 == 0)
        RouteTarget.objects.create(route=route, deployment=deployment, position=number + 2)
    with django_assert_max_num_queries(12):
        sentences = list(passed_over(None, None, alias.name, (), bystander().live))

    assert sum("no credential that is switched on" in sentence for sentence in sentences) == 15

"""Conditions, tiers, strategies and the LiteLLM bypass: which targets, in which order, and why."""

import random
from collections import Counter
from decimal import Decimal

import orjson
import pytest

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import UpstreamBroken
from routing import snapshot
from routing.cooldown import Policy
from routing.errors import ModelUnknown, NoTarget
from routing.live import Live
from routing.models import AgentType, FeatureFlag, ModelTier, Route, RouteTarget
from routing.planning import Question, make_plan
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider():
    return make_provider()


def ask(**body):
    least = {"model": "name", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    return read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps({**least, **body}))


def plan_for(name="name", **fields):
    fields.setdefault("dice", random.Random(1))
    fields.setdefault("call", ask())
    return make_plan(snapshot.build(), Question(name, **fields))


def models_for(name="name", **fields) -> list[str]:
    return [target.upstream_model for target in plan_for(name, **fields).targets]


def add_route(alias, *deployments, **fields) -> Route:
    route = Route.objects.create(alias=alias, position=alias.routes.count(), **fields)
    for position, deployment in enumerate(deployments):
        RouteTarget.objects.create(route=route, deployment=deployment, position=position)
    return route


# Conditions of routes


@pytest.mark.parametrize(
    ("condition", "who"),
    [
        ({"teams": "alder, oak*"}, {"team": "oaktree"}),
        ({"projects": "web"}, {"project": "web"}),
        ({"keys": "lap*"}, {"key": "laptop"}),
        ({"request_classes": "main"}, {"headers": {"x-claude-code-request-class": "main"}}),
        ({"header": "X-Env: prod*"}, {"headers": {"x-env": "Production"}}),
    ],
)
def test_a_route_is_there_for_those_it_names(provider, condition, who):
    alias = make_alias("name")
    add_route(alias, make_deployment(provider, "special"), **condition)
    add_route(alias, make_deployment(provider, "general"))

    assert models_for(**who) == ["special"]
    assert models_for() == ["general"]


def test_all_conditions_must_hold(provider):
    alias = make_alias("name")
    add_route(alias, make_deployment(provider, "special"), teams="alder", projects="web")
    trace: list[str] = []
    with pytest.raises(NoTarget, match="conditions"):
        plan_for(team="alder", project="app", trace=trace)

    assert models_for(team="alder", project="web") == ["special"]
    assert "Route 1 is passed over: its project must be web, and is app." in trace


def test_a_missing_header_is_told(provider):
    add_route(make_alias("name"), make_deployment(provider), header="x-env: prod")
    trace: list[str] = []
    with pytest.raises(NoTarget):
        plan_for(trace=trace)

    assert "Route 1 is passed over: the header x-env must be prod." in trace


# Agent types and tiers


def test_an_agent_type_goes_to_the_alias_of_its_tier(provider):
    make_alias("name", make_deployment(provider, "big"))
    small = make_alias("small", make_deployment(provider, "little"))
    tier = ModelTier.objects.create(slug="fast", alias=small)
    AgentType.objects.create(
        slug="summarizer", header="X-Llmgateway-Agent", value="Sum*", tier=tier
    )
    AgentType.objects.create(slug="off", value="*", tier=tier, enabled=False)
    trace: list[str] = []
    plan = plan_for(headers={"x-llmgateway-agent": "summary"}, trace=trace)

    assert [target.upstream_model for target in plan.targets] == ["little"]
    assert (plan.alias, plan.agent_type, plan.tier) == ("small", "summarizer", "fast")
    assert "Agent type summarizer has the tier fast, whose alias is small." in trace
    assert models_for(headers={"x-llmgateway-agent": "coder"}) == ["big"]


def test_an_agent_type_without_a_tier_can_be_a_condition(provider):
    alias = make_alias("name")
    add_route(alias, make_deployment(provider, "sub"), agent_types="subagent")
    add_route(alias, make_deployment(provider, "main"))
    AgentType.objects.create(slug="subagent", header="x-claude-code-agent-id")

    assert models_for(headers={"x-claude-code-agent-id": "a-1"}) == ["sub"]
    assert models_for() == ["main"]


# Conditions of targets, and what is known of models


@pytest.mark.parametrize(
    ("condition", "body", "fits"),
    [
        ({"prompt_tokens_over": 500}, {"system": "word " * 1000}, True),
        ({"prompt_tokens_over": 500}, {}, False),
        ({"prompt_tokens_at_most": 500}, {}, True),
        ({"prompt_tokens_at_most": 500}, {"system": "word " * 1000}, False),
        ({"only_with_tools": True}, {"tools": [{"name": "f"}]}, True),
        ({"only_with_tools": True}, {}, False),
        (
            {"only_with_images": True},
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            True,
        ),
        ({"only_with_images": True}, {}, False),
        ({"only_with_reasoning": True}, {"thinking": {"type": "adaptive"}}, True),
        ({"only_with_reasoning": True}, {"thinking": {"type": "disabled"}}, False),
    ],
)
def test_a_target_is_there_for_what_it_is_for(provider, condition, body, fits):
    make_alias("name", make_deployment(provider, "special"), make_deployment(provider, "general"))
    RouteTarget.objects.filter(deployment__upstream_model="special").update(**condition)
    snapshot.bump()
    trace: list[str] = []

    assert models_for(call=ask(**body), trace=trace) == (
        ["special", "general"] if fits else ["general"]
    )
    assert any("special is passed over" in sentence for sentence in trace) is not fits


def test_a_route_whose_targets_are_for_others_makes_room_for_the_next(provider):
    alias = make_alias("name")
    first = add_route(alias, make_deployment(provider, "long"))
    first.targets.update(prompt_tokens_over=1_000_000)
    add_route(alias, make_deployment(provider, "rest"))
    snapshot.bump()

    assert models_for() == ["rest"]


@pytest.mark.parametrize(
    ("fact", "body"),
    [
        ({"context_window_tokens": 10}, {}),
        ({"takes_tools": False}, {"tools": [{"name": "f"}]}),
        ({"takes_images": False}, {"messages": [{"role": "user", "content": [{"type": "image"}]}]}),
        ({"can_reason": False}, {"thinking": {"type": "enabled", "budget_tokens": 9}}),
    ],
)
def test_a_model_that_is_known_not_to_be_able_is_passed_over(provider, fact, body):
    weak = make_deployment(provider, "weak", **fact)
    make_alias("name", weak, make_deployment(provider, "able"))
    make_alias("alone", weak)

    assert models_for(call=ask(**body)) == ["able"]
    # Better to ask one that is said not to be able than nobody.
    assert models_for("alone", call=ask(**body)) == ["weak"]


def test_parameters_of_a_target_go_over_those_of_its_deployment(provider):
    deployment = make_deployment(provider, parameters={"temperature": 0.1, "seed": 1})
    make_alias("name", deployment)
    RouteTarget.objects.update(parameters={"temperature": 0.9})
    snapshot.bump()
    (target,) = plan_for().targets

    assert target.traits.parameters == {"temperature": 0.9, "seed": 1}


# Strategies


def routed(provider, *models, **route):
    alias = make_alias("name", *(make_deployment(provider, model) for model in models))
    alias.routes.update(**route)
    snapshot.bump()
    return {t.upstream_model: t.pk for t in plan_for().targets}


def test_a_session_keeps_to_the_target_that_its_weight_drew(provider):
    routed(provider, "a", "b", "c", strategy="weighted")
    first = Counter(models_for(session=f"s-{number}")[0] for number in range(150))

    assert set(first) == {"a", "b", "c"}
    assert min(first.values()) > 25
    assert {tuple(models_for(session="s-1", dice=random.Random(n))) for n in range(20)} == {
        tuple(models_for(session="s-1"))
    }


def test_the_quickest_comes_first_and_what_was_never_measured_before_all(provider):
    numbers = routed(provider, "slow", "quick", "new", strategy="lowest_latency")
    live = Live()
    live.latencies.note(numbers["slow"], 900)
    live.latencies.note(numbers["quick"], 1000)
    for _ in range(20):
        live.latencies.note(numbers["quick"], 100)

    assert models_for(live=live) == ["new", "quick", "slow"]
    assert live.latencies.mean_ms(numbers["quick"]) == pytest.approx(100, rel=0.2)


def test_a_session_stays_where_it_was_answered(provider):
    numbers = routed(provider, "slow", "quick", strategy="lowest_latency")
    live = Live()
    live.latencies.note(numbers["slow"], 900)
    live.latencies.note(numbers["quick"], 100)
    live.sessions.note(plan_for().route, "s-1", numbers["slow"])

    assert models_for(live=live, session="s-1") == ["slow", "quick"]
    assert models_for(live=live, session="s-2") == ["quick", "slow"]
    Route.objects.update(is_sticky=False)
    snapshot.bump()
    assert models_for(live=live, session="s-1") == ["quick", "slow"]


@pytest.mark.parametrize(
    ("body", "session", "conversation"),
    [
        ({"user": "u-1"}, "s-1", "s-1"),
        ({"prompt_cache_key": "c-1", "user": "u-1"}, "", "c-1"),
        ({"user": "u-1", "metadata": {"user_id": "m-1"}}, "", "u-1"),
        ({"metadata": {"user_id": "m-1"}}, "", "m-1"),
        ({"user": 5, "metadata": "odd"}, "", ""),
        ({}, "", ""),
    ],
)
def test_a_conversation_keeps_to_a_target_by_what_names_it(provider, body, session, conversation):
    routed(provider, "a", "b", strategy="weighted")
    plan = plan_for(call=ask(**body), session=session)

    assert plan.session == conversation
    Route.objects.update(is_sticky=False)
    snapshot.bump()
    assert plan_for(call=ask(**body), session=session).session == ""


def test_the_cheapest_comes_first_and_what_has_no_price_last(provider):
    routed(provider, "unknown", "dear", "cheap", strategy="lowest_cost")
    prices = {"dear": Decimal(5), "cheap": Decimal("0.5")}

    assert models_for(price_of=lambda target, needs: prices.get(target.upstream_model)) == [
        "cheap",
        "dear",
        "unknown",
    ]


def test_what_has_failed_lately_is_left_out_until_it_is_all_there_is(provider):
    numbers = routed(provider, "a", "b")
    live = Live()
    policy = Policy(after=1, first_s=100, longest_s=100)
    live.cooldowns.failed(numbers["a"], UpstreamBroken("no"), policy, live_now())

    assert models_for(live=live) == ["b"]
    live.cooldowns.failed(numbers["b"], UpstreamBroken("no"), Policy(1, 5, 5), live_now())
    assert models_for(live=live) == ["b", "a"]


def live_now() -> float:
    import time

    return time.monotonic()


# The LiteLLM bypass


@pytest.fixture
def both_paths():
    """A route whose LiteLLM target comes first by its position."""
    proxy = make_provider("proxy", kind="litellm_proxy")
    direct = make_provider("direct")
    make_alias("name", make_deployment(proxy, "behind"), make_deployment(direct, "direct"))


@pytest.mark.parametrize(
    ("bypass", "fallback", "order"),
    [
        (True, True, ["direct", "behind"]),
        (False, True, ["behind", "direct"]),
        (True, False, ["direct"]),
        (False, False, ["behind"]),
    ],
)
def test_the_flags_order_the_two_paths(both_paths, bypass, fallback, order):
    FeatureFlag.objects.create(name="bypass_litellm", enabled=bypass)
    FeatureFlag.objects.create(name="litellm_fallback", enabled=fallback)

    assert models_for() == order


def test_direct_comes_first_without_any_row(both_paths):
    assert models_for() == ["direct", "behind"]


def test_a_flag_may_be_off_for_a_team_alone(both_paths):
    FeatureFlag.objects.create(name="bypass_litellm", enabled=False, team="birch")

    assert models_for(team="birch") == ["behind", "direct"]
    assert models_for(team="alder") == ["direct", "behind"]


# Names without an alias


@pytest.fixture
def listed(settings):
    settings.RECOGNISE_MODELS = ["gone", "openrouter", "claude", "sdk", "proxy", "box"]
    for slug, kind in (
        ("openrouter", "openrouter"),
        ("claude", "anthropic"),
        ("sdk", "litellm_sdk"),
        ("proxy", "litellm_proxy"),
        ("box", "ollama"),
    ):
        make_credential(make_provider(slug, kind=kind))


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("box/qwen3:8b", [("box", "qwen3:8b")]),
        (
            "claude-sonnet-4-5-20250929",
            [
                ("openrouter", "anthropic/claude-sonnet-4.5"),
                ("claude", "claude-sonnet-4-5-20250929"),
                ("sdk", "anthropic/claude-sonnet-4-5-20250929"),
                ("proxy", "claude-sonnet-4-5-20250929"),
            ],
        ),
        (
            "gpt-5-mini",
            [
                ("openrouter", "openai/gpt-5-mini"),
                ("sdk", "openai/gpt-5-mini"),
                ("proxy", "gpt-5-mini"),
            ],
        ),
        (
            "gemini/gemini-2.5-pro",
            [
                ("openrouter", "google/gemini-2.5-pro"),
                ("sdk", "gemini/gemini-2.5-pro"),
                ("proxy", "gemini/gemini-2.5-pro"),
            ],
        ),
        (
            "bedrock/anthropic.claude-3",
            [("sdk", "bedrock/anthropic.claude-3"), ("proxy", "bedrock/anthropic.claude-3")],
        ),
        (
            "command-r",
            [
                ("openrouter", "cohere/command-r"),
                ("sdk", "cohere/command-r"),
                ("proxy", "command-r"),
            ],
        ),
    ],
)
def test_known_families_are_recognised_in_the_order_of_the_list(listed, name, targets):
    plan = plan_for(name)

    assert [(t.provider.slug, t.upstream_model) for t in plan.targets] == targets
    assert all(target.traits.model == target.upstream_model for target in plan.targets)


@pytest.mark.parametrize("name", ["unheard-of", "box/", "odd/gpt-5", "gone/model"])
def test_what_is_not_recognised_is_not_known(listed, name):
    with pytest.raises(ModelUnknown):
        plan_for(name)


def test_nothing_is_recognised_unless_it_is_asked_for(settings):
    settings.RECOGNISE_MODELS = []
    make_credential(make_provider())
    with pytest.raises(ModelUnknown):
        plan_for("claude-sonnet-4-5")

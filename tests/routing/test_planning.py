"""From a name to the targets that may answer, in the order to try them."""

import random
from collections import Counter

import pytest

from routing import planning, snapshot
from routing.errors import ModelUnknown, NoTarget
from routing.models import Deployment, Provider, RouteTarget
from routing.planning import Question, find_alias, make_plan
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider() -> Provider:
    row = make_provider()
    make_credential(row)
    return row


def models_for(name: str, *, seed: int = 1) -> list[str]:
    """The models to try, in order, by the rows as they are."""
    plan = make_plan(snapshot.build(), Question(name, dice=random.Random(seed)))
    return [target.upstream_model for target in plan.targets]


def test_targets_are_tried_in_their_order(provider):
    make_alias("name", *(make_deployment(provider, model) for model in ("c", "a", "b")))

    plan = make_plan(snapshot.build(), Question("name", dice=random.Random(1)))

    assert plan.alias == "name"
    assert plan.snapshot_number == snapshot.version()
    assert [target.upstream_model for target in plan.targets] == ["c", "a", "b"]


def test_an_exact_name_goes_before_a_regex_and_a_regex_before_a_wildcard(provider):
    make_alias("claude-opus", make_deployment(provider, "exact"))
    make_alias("claude-.*", make_deployment(provider, "regex"), match="regex")
    make_alias("claude-sonnet-*", make_deployment(provider, "narrow"), match="wildcard")
    make_alias("*", make_deployment(provider, "rest"), match="wildcard")

    assert models_for("claude-opus") == ["exact"]
    assert models_for("claude-sonnet-5") == ["regex"]
    assert models_for("gpt-5") == ["rest"]


def test_a_longer_pattern_goes_before_a_shorter_one(provider):
    make_alias("*", make_deployment(provider, "rest"), match="wildcard")
    make_alias("claude-*", make_deployment(provider, "wide"), match="wildcard")
    make_alias("claude-sonnet-*", make_deployment(provider, "narrow"), match="wildcard")

    assert models_for("claude-sonnet-5") == ["narrow"]
    assert models_for("claude-opus-5") == ["wide"]


def test_a_pattern_is_matched_by_the_whole_name(provider):
    make_alias("b+", make_deployment(provider, "regex"), match="regex")

    assert models_for("bb") == ["regex"]
    for name in ("abb", "bbc", "b\nb", ""):
        with pytest.raises(ModelUnknown):
            models_for(name)


def test_marks_of_regular_expressions_mean_nothing_in_a_wildcard(provider):
    make_alias("a.b*", make_deployment(provider, "x"), match="wildcard")

    assert models_for("a.b-1") == ["x"]
    with pytest.raises(ModelUnknown):
        models_for("axb-1")


def test_what_a_pattern_matched_is_filled_into_the_model(provider):
    make_alias("*/mini-*", make_deployment(provider, "{2}-of-{1}"), match="wildcard")
    make_alias(
        r"claude-(?P<family>[a-z]+)-(\d)(-beta)?",
        make_deployment(provider, "anthropic/claude-{family}-{2}{3}"),
        match="regex",
    )

    assert models_for("acme/mini-5") == ["5-of-acme"]
    assert models_for("claude-opus-4") == ["anthropic/claude-opus-4"]  # {3} did not match
    assert models_for("claude-opus-4-beta") == ["anthropic/claude-opus-4-beta"]


def test_a_filled_model_has_the_traits_of_its_own_name(provider):
    make_alias(
        "*",
        make_deployment(provider, "{1}", max_output_tokens=100, traits={"top_k": False}),
        match="wildcard",
    )
    picture = snapshot.build()

    [claude] = make_plan(picture, Question("anthropic/claude", dice=random.Random(1))).targets
    [llama] = make_plan(picture, Question("meta/llama", dice=random.Random(1))).targets

    assert claude.traits.model == "anthropic/claude"
    assert (claude.traits.cache_control, llama.traits.cache_control) == (True, False)
    assert claude.traits.max_output_tokens == llama.traits.max_output_tokens == 100
    assert claude.traits.top_k is llama.traits.top_k is False


def test_a_name_that_looks_like_a_placeholder_is_not_filled_in_twice(provider):
    make_alias("*-*", make_deployment(provider, "{1}/{2}"), match="wildcard")

    assert models_for("{2}-b") == ["{2}/b"]


def test_an_unknown_name_is_told_with_the_nearest_that_are_listed(provider):
    deployment = make_deployment(provider)
    make_alias("claude-sonnet-4-5", deployment)
    make_alias("claude-sonnet-4-6", deployment, visible=False)

    with pytest.raises(ModelUnknown, match=r"Did you mean claude-sonnet-4-5\? GET"):
        models_for("claude-sonet-4-5")
    with pytest.raises(ModelUnknown, match=r"GET /v1/models lists what is\."):
        models_for("zzz")


@pytest.mark.parametrize(
    "missing", ["route", "targets", "route switched off", "deployment", "provider"]
)
def test_an_alias_with_nothing_behind_it_says_where_to_mend_it(provider, missing):
    deployment = make_deployment(provider)
    alias = make_alias("name", deployment)
    if missing == "route":
        alias.routes.get().delete()
    elif missing == "targets":
        RouteTarget.objects.get().delete()
    elif missing == "route switched off":
        alias.routes.update(enabled=False)
    elif missing == "deployment":
        Deployment.objects.update(enabled=False)
    else:
        Provider.objects.update(enabled=False)

    with pytest.raises(NoTarget, match="Routing → Model aliases → name"):
        models_for("name")


def weighted(provider: Provider, **weights: int) -> None:
    alias = make_alias("name", *(make_deployment(provider, model) for model in weights))
    alias.routes.update(strategy="weighted")
    for target in RouteTarget.objects.select_related("deployment"):
        target.weight = weights[target.deployment.upstream_model]
        target.save()


def test_the_first_target_is_drawn_by_weight_and_the_others_keep_their_order(provider):
    weighted(provider, a=1, b=3, c=0)
    picture = snapshot.build()
    dice = random.Random(7)

    plans = [make_plan(picture, Question("name", dice=dice)).targets for _ in range(400)]

    orders = Counter("".join(target.upstream_model for target in plan) for plan in plans)
    assert set(orders) == {"abc", "bac"}  # c has no weight, and is never first
    assert 60 < orders["abc"] < 140  # 1 of 4


@pytest.mark.parametrize("weights", [{"a": 0, "b": 0}, {"a": 5}])
def test_weights_that_decide_nothing_leave_the_order(provider, weights):
    weighted(provider, **weights)

    assert models_for("name") == list(weights)


def test_finding_an_exact_alias_matches_no_groups(provider):
    make_alias("name", make_deployment(provider))

    alias, groups = find_alias(snapshot.build(), "name")

    assert (alias.name, groups) == ("name", {})


def test_what_patterns_say_of_a_name_is_remembered_and_no_more_than_so_many_names(
    provider, monkeypatch
):
    make_alias("claude-*", make_deployment(provider), match="wildcard")
    monkeypatch.setattr(planning, "NAMES_REMEMBERED", 2)
    picture = snapshot.build()

    found = find_alias(picture, "claude-opus")
    for name in ("claude-opus", "claude-haiku"):
        find_alias(picture, name)
    with pytest.raises(ModelUnknown, match="claud-opus"):
        find_alias(picture, "claud-opus")
    with pytest.raises(ModelUnknown):
        find_alias(picture, "x" * 201)

    assert found[1] == {"0": "claude-opus", "1": "opus"}
    assert picture.matched == {"claud-opus": None}  # the third name began anew
    assert find_alias(picture, "claude-opus") == found
    assert find_alias(picture, "claude-opus") is picture.matched["claude-opus"]


def test_a_name_of_absurd_length_is_neither_compared_nor_repeated(provider):
    make_alias("claude-opus", make_deployment(provider))

    with pytest.raises(ModelUnknown) as caught:
        models_for("claude-opus" * 100_000)

    assert len(caught.value.message) < 300


def test_a_lone_target_has_one_plan_for_all_requests(provider):
    make_alias("name", make_deployment(provider, "a"))
    picture = snapshot.build()

    plan = make_plan(picture, Question("name", dice=random.Random(1)))
    assert picture.lone == {"name": plan}
    assert make_plan(picture, Question("name", dice=random.Random(2), team="other")) == plan
    assert snapshot.build().lone == {}  # the next picture begins anew


def test_where_a_request_could_change_something_plans_are_made_for_each(provider):
    make_alias("two", make_deployment(provider, "a"), make_deployment(provider, "b"))
    make_alias("pattern-*", make_deployment(provider, "c"), match="wildcard")
    picky = make_alias("picky", make_deployment(provider, "d"))
    picky.routes.update(teams="alder")
    known = make_deployment(provider, "e")
    known.takes_tools = False
    known.save()
    make_alias("known", known)
    picture = snapshot.build()

    for name in ("two", "pattern-1", "known"):
        make_plan(picture, Question(name, dice=random.Random(1)))
    make_plan(picture, Question("picky", dice=random.Random(1), team="alder"))
    assert picture.lone == {}

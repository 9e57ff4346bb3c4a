"""How much of a plan who may see."""

import pytest

from accounting.models import Budget, Team
from llmgateway.explanation_asks import key_named
from llmgateway.playground.explaining import shown_plan
from llmgateway.runtime import refresh_pictures
from routing.models import Route
from tests.factories.accounting import make_key, make_team
from tests.llmgateway.conftest import two_targets

OTHER = "birch"


@pytest.fixture
def plan(told):
    """The plan of a request by alder: the first route is birch's, a pattern matches too, and there is a budget."""
    make_key()
    alias = two_targets()
    Route.objects.update(position=2)
    Route.objects.create(alias=alias, position=1, teams=[make_team(OTHER).slug])
    Budget.objects.create(team=Team.objects.get(slug="alder"), amount_usd=7, window="month")
    refresh_pictures()
    return told("sonnet", key=key_named("alder", "laptop"))


def words_of(plan) -> str:
    return " ".join((*plan.steps, *plan.passed_over))


def test_who_may_explain_sees_all_of_it(plan):
    shown = shown_plan(plan, sees_all=True, sees_team=True)

    assert shown.steps == plan.steps
    assert shown.passed_over == plan.passed_over
    assert [each.place for each in shown.targets] == ["tried first", "if those before fail"]


def test_others_see_no_name_of_another_team(plan):
    assert OTHER in words_of(shown_plan(plan, sees_all=True, sees_team=True))
    shown = words_of(shown_plan(plan, sees_all=False, sees_team=True))

    assert OTHER not in shown
    assert "Route 1 is passed over: a condition of it does not hold." in shown
    assert "is held to" in shown


def test_what_a_team_is_held_to_is_for_those_who_see_all_of_it(plan):
    assert "is held to" not in words_of(shown_plan(plan, sees_all=False, sees_team=False))

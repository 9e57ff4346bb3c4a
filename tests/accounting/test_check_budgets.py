"""manage.py check_budgets: how budgets stand, in lines and as JSON."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.management import call_command

from accounting.budget_states import BudgetState, state_of
from accounting.models import Budget, Project
from accounting.windows import window_of
from tests.factories.accounting import make_key, make_team, make_usage

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def check(*words: str) -> str:
    out = io.StringIO()
    call_command("check_budgets", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def budgets():
    team = make_team()
    project = Project.objects.create(team=team, slug="web")
    make_usage(cost_usd=Decimal("4.5"), started_at=datetime.now(UTC))
    return (
        Budget.objects.create(team=team, amount_usd=Decimal(5)),
        Budget.objects.create(project=project, amount_usd=Decimal(7), window="total", hard=False),
        Budget.objects.create(key=make_key(team).row, amount_usd=Decimal(1), enabled=False),
    )


def test_each_budget_that_is_on_gets_a_line(budgets):
    first, second = check().splitlines()

    assert first.startswith("alder, month, hard: $4.50 of $5.00 spent (90.0 %), anew on ")
    assert second == "alder/web, total, soft: $0 of $7.00 spent (0.0 %)"


def test_only_budgets_over_a_percentage_are_told_where_that_is_asked(budgets):
    assert len(check("--over", "90").splitlines()) == 1
    assert check("--over", "91") == ""


def test_json_has_all_digits(budgets):
    team, project = json.loads(check("--json"))

    assert (team["team"], team["project"], team["key"]) == ("alder", None, None)
    assert (team["spent_usd"], team["left_usd"], team["percent"]) == ("4.5", "0.5", "90.0")
    assert (team["state"], team["hard"]) == ("near", True)
    assert (project["project"], project["ends_at"], project["state"]) == ("web", None, "within")


def test_without_a_budget_it_says_so():
    assert check() == "No budget is switched on.\n"
    assert json.loads(check("--json")) == []


@pytest.mark.parametrize(
    ("spent", "word"), [("3.99", "within"), ("4", "near"), ("5", "spent"), ("6", "spent")]
)
def test_a_budget_stands_in_a_word(spent, word):
    state = BudgetState(Budget(amount_usd=Decimal(5)), window_of("day", "UTC", NOW), Decimal(spent))

    assert state.word == word
    assert BudgetState(Budget(enabled=False), state.window, Decimal(0)).word == "off"


def test_the_window_is_that_of_the_budgets_own_time_zone():
    budget = Budget(team=make_team(), amount_usd=Decimal(5), window="day", time_zone="Asia/Tokyo")

    state = state_of(budget, now=NOW)

    assert state.window.began_at == datetime(2026, 11, 19, 15, tzinfo=UTC)  # midnight there

"""Budgets on their page: what they say is spent is what the gateway holds against them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounting.budget_report import budget_page
from accounting.models import Budget, Project
from accounting.principals import Principal
from accounting.spending import spent_usd
from accounting.windows import window_of
from tests.factories.accounting import make_key, make_team, make_usage

STAFF = Principal("ada", is_staff=True)
# A Friday, in Berlin already Saturday.
NOW = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata")


@pytest.fixture
def spend(db):
    """Two keys of one team, one rotated into another, and spend around every edge of a window."""
    alder = make_team("alder")
    web = Project.objects.create(team=alder, slug="web")
    old, new, other = (make_key(alder, name).row for name in ("old", "new", "other"))
    new.rotated_from = old
    new.save(update_fields=["rotated_from"])
    for number, hours in enumerate(range(1, 24 * 70, 7)):
        key = (old, new, other)[number % 3]
        make_usage(
            started_at=NOW - timedelta(hours=hours),
            key_id=key.pk,
            project="web" if number % 2 else "",
            cost_usd=Decimal("0.000000000001") * (number * 7919 + 1),
        )
    return {"team": alder, "project": web, "key": new}


def row_of(page, place=0):
    table = page.tables[0]
    return dict(
        zip((column.name for column in table.columns), table.rows[place].values, strict=True)
    )


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("window", ["day", "week", "month", "total"])
@pytest.mark.parametrize("holder", ["team", "project", "key"])
def test_what_is_spent_is_what_counts_against_the_budget(spend, holder, window, zone):
    budget = Budget.objects.create(
        **{holder: spend[holder]}, amount_usd=Decimal(1), window=window, time_zone=zone
    )
    row = row_of(budget_page(STAFF, now=NOW))

    assert row["spent_usd"] == spent_usd(budget, window_of(window, zone, NOW))
    assert row["verdict"] == ("has no end" if window == "total" else row["verdict"])


def test_a_budget_that_will_not_last_says_so(spend):
    Budget.objects.create(team=spend["team"], amount_usd=Decimal("0.00000000001"))
    Budget.objects.create(project=spend["project"], amount_usd=Decimal(5))
    page = budget_page(STAFF, now=NOW)

    assert [row.values[1] for row in page.tables[0].rows] == ["used up", "on track"]
    [over] = [figure for figure in page.figures if figure.name == "budgets_over"]
    assert over.value == 1
    assert "mean of the last 8 weeks" in page.notes[0]


def test_the_month_by_team_adds_up(spend):
    [teams] = [table for table in budget_page(STAFF, now=NOW).tables if table.name == "teams"]

    assert teams.total is not None
    assert sum(row.values[1] for row in teams.rows) == teams.total.values[1]


def test_budgets_share_queries(spend, django_assert_max_num_queries):
    for holder in ("team", "project", "key"):
        for window in ("day", "week", "month", "total"):
            Budget.objects.create(
                **{holder: spend[holder]},
                amount_usd=Decimal(1),
                window=window,
                time_zone="Europe/Berlin",
            )
    with django_assert_max_num_queries(
        11
    ):  # budgets, keys, days, ever, teams; 2 for each of 3 edges
        budget_page(STAFF, now=NOW)


def test_people_see_the_budgets_of_their_teams_and_keys(spend, django_user_model):
    ada = django_user_model.objects.create_user("ada")
    own = make_key(spend["team"], "own", owner=ada).row
    Budget.objects.create(team=spend["team"], amount_usd=Decimal(1))
    Budget.objects.create(key=own, amount_usd=Decimal(2))
    Budget.objects.create(key=spend["key"], amount_usd=Decimal(3))
    Budget.objects.create(team=make_team("birch"), amount_usd=Decimal(4))

    def amounts(principal):
        table = budget_page(principal, now=NOW).tables[0]
        return sorted(row.values[4] for row in table.rows)

    assert amounts(STAFF) == [1, 2, 3, 4]
    assert amounts(Principal("bo", led=frozenset({"alder"}))) == [1, 2, 3]
    assert amounts(Principal("ada", joined=frozenset({"alder"}))) == [2]
    assert amounts(Principal("ada", joined=frozenset({"birch"}))) == []

"""Budgets on their page: what they say is spent is what the gateway holds against them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounting.budget_report import budget_page
from accounting.models import Budget, Project
from accounting.principals import Principal
from accounting.reports import ROWS_MAX
from accounting.spending import spent_usd
from accounting.tables import Column, Part, Row, Table
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


def test_many_budgets_are_shown_in_parts_and_are_all_in_the_files(spend, admin_client):
    Budget.objects.bulk_create(
        Budget(key=make_key(spend["team"], f"k{number}").row, amount_usd=Decimal(number + 1))
        for number in range(ROWS_MAX + 3)
    )
    first, second = (budget_page(STAFF, now=NOW, part=number).tables[0] for number in (1, 2))

    assert (len(first.rows), len(second.rows)) == (ROWS_MAX, 3)
    assert first.shown == Part(1, ROWS_MAX, ROWS_MAX + 3, None, 2)
    assert second.shown == Part(ROWS_MAX + 1, ROWS_MAX + 3, ROWS_MAX + 3, 1, None)
    page = admin_client.get("/usage/budgets/?part=2").content.decode()
    assert "Rows 101 to 103 of 103" in page
    assert '<a href="?part=1" rel="prev">' in page
    assert 'rel="next"' not in page
    assert "Rows 1 to 100" in admin_client.get("/usage/budgets/?part=²").content.decode()
    assert "Rows 101 to" in admin_client.get("/usage/budgets/?part=99").content.decode()
    file = admin_client.get("/usage/budgets/?format=csv&table=budgets&part=2").content.decode()
    assert len(file.splitlines()) == 1 + ROWS_MAX + 3


def test_a_table_that_one_part_holds_is_shown_whole():
    table = Table("t", "T", (Column("a", "A"),), tuple(Row((n,)) for n in range(3)))

    assert table.part(1, 3) is table
    assert [row.values for row in table.part(2, 2).rows] == [(2,)]
    assert [row.values for row in table.part(-5, 2).rows] == [(0,), (1,)]


def test_the_page_takes_as_many_queries_for_a_thousand_budgets_as_for_one(spend):
    Budget.objects.create(key=spend["key"], amount_usd=Decimal(1), window="day")
    with CaptureQueriesContext(connection) as one:
        budget_page(STAFF, now=NOW)
    keys = [make_key(spend["team"], f"k{number}").row for number in range(50)]
    Budget.objects.bulk_create(
        Budget(key=key, amount_usd=Decimal(1), window=window)
        for key in keys
        for window in ("day", "week", "month")
    )
    with CaptureQueriesContext(connection) as many:
        budget_page(STAFF, now=NOW)

    assert len(many) == len(one)

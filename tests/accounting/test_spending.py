"""Tests of accounting/spending.py: what counts against a budget."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounting import budget_states, keys, rollups
from accounting.budget_states import budgets, state_of, states
from accounting.models import Adjustment, Budget, Project
from accounting.spending import first_of_each, spent_usd
from accounting.windows import window_of
from tests.factories.accounting import make_key, make_team, make_usage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH = window_of("month", "UTC", NOW)

pytestmark = pytest.mark.django_db


def adjust(record, amount):
    added = Adjustment.objects.create(
        record_id=record.pk,
        record_started_at=record.started_at,
        team=record.team,
        project=record.project,
        key_id=record.key_id,
        amount_usd=Decimal(amount),
        reason="test",
        run="r1",
        at=NOW,
    )
    rollups.apply_adjustments([added], [record])


def test_a_teams_budget_counts_costs_and_adjustments_of_its_window():
    budget = Budget(team=make_team("alder"), amount_usd=Decimal(9))
    priced = make_usage(cost_usd=Decimal("1.5"), started_at=NOW)
    make_usage(started_at=NOW)  # unpriced
    make_usage(cost_usd=Decimal(7), started_at=MONTH.began_at - timedelta(seconds=1))
    make_usage(cost_usd=Decimal(8), started_at=MONTH.ends_at)
    make_usage(cost_usd=Decimal(9), started_at=NOW, team="birch")
    adjust(priced, "-0.25")

    assert spent_usd(budget, MONTH) == Decimal("1.25")  # 1.5 - 0.25


def test_windows_that_begin_within_a_day_of_utc_take_the_rest_from_the_rows():
    budget = Budget(team=make_team("alder"), amount_usd=Decimal(9))
    day = window_of("day", "Asia/Kathmandu", NOW)
    week = window_of("week", "Asia/Kathmandu", NOW)
    for moment, cost in (
        (week.began_at - timedelta(microseconds=1), 1),
        (week.began_at, 2),
        (day.began_at - timedelta(microseconds=1), 4),
        (day.began_at, 8),
        (day.ends_at - timedelta(microseconds=1), 16),
        (day.ends_at, 32),
        (week.ends_at - timedelta(microseconds=1), 64),
        (week.ends_at, 128),
    ):
        row = make_usage(cost_usd=Decimal(cost), started_at=moment)
        if cost in (1, 2, 64, 128):
            adjust(row, "0.5")

    assert spent_usd(budget, day) == 24  # 8 + 16
    assert spent_usd(budget, week) == 127  # 2 + 4 + 8 + 16 + 32 + 64, and two halves
    assert spent_usd(budget, window_of("total", "UTC", NOW)) == 257  # all, and four halves


def test_a_projects_budget_counts_the_projects_own():
    team = make_team("alder")
    budget = Budget(project=Project.objects.create(team=team, slug="web"), amount_usd=Decimal(9))
    make_usage(cost_usd=Decimal(1), project="web")
    make_usage(cost_usd=Decimal(2), project="app")
    make_usage(cost_usd=Decimal(4), project="web", team="birch")

    assert spent_usd(budget, MONTH) == 1


def test_a_keys_budget_counts_what_its_rotated_secrets_spent():
    old, other = make_key(name="old").row, make_key(name="other").row
    new = make_key(name="new").row
    new.rotated_from = old
    new.save()
    for row, cost in ((old, 1), (new, 2), (other, 4)):
        make_usage(cost_usd=Decimal(cost), key_id=row.pk)

    assert spent_usd(Budget(key=old, amount_usd=Decimal(9)), MONTH) == 3  # 1 + 2
    assert spent_usd(Budget(key=new, amount_usd=Decimal(9)), MONTH) == 3


def test_lines_of_rotated_keys_end_at_what_is_gone_or_goes_round():
    assert first_of_each([(3, 2), (2, 1), (1, None), (5, 4)]) == {1: 1, 2: 1, 3: 1, 5: 5}
    assert first_of_each([(1, 2), (2, 1)])  # ends


def test_budgets_summed_up_together_stand_as_each_by_itself(django_assert_max_num_queries):
    team, project = make_team("alder"), Project.objects.create(team=make_team("alder"), slug="web")
    old = make_key(team, "laptop").row
    new = keys.rotate(old, timedelta(days=1), now=NOW).row
    zones = ("UTC", "Asia/Kathmandu")
    for number, window in enumerate(("day", "week", "month", "total")):
        for holder in ({"team": team}, {"project": project}, {"key": new}):
            Budget.objects.create(
                window=window, time_zone=zones[number % 2], amount_usd=Decimal(5), **holder
            )
    for hours in range(-900, 30, 7):
        fields = {"started_at": NOW + timedelta(hours=hours), "cost_usd": Decimal(hours + 901)}
        row = make_usage(
            project="web" if hours % 2 else "", key_id=(old.pk, new.pk, 999)[hours % 3], **fields
        )
        make_usage(team="birch", project="web", key_id=998, **fields)
        if hours % 5 == 0:
            adjust(row, "0.000000000001")

    with django_assert_max_num_queries(15):
        together = list(states(budgets(), now=NOW))
    assert together == [state_of(row, now=NOW) for row in budgets()]
    assert all(state.spent_usd for state in together)


@pytest.mark.parametrize("holders_max", [0, 100], ids=["of all", "of those"])
def test_budgets_of_few_are_summed_up_as_those_of_many(monkeypatch, holders_max):
    monkeypatch.setattr(budget_states, "HOLDERS_MAX", holders_max)
    team, key = make_team("alder"), make_key(make_team("cedar"), "laptop").row
    Budget.objects.create(team=team, amount_usd=Decimal(5))
    Budget.objects.create(key=key, amount_usd=Decimal(5))
    for slug, key_id, cost in (("alder", 999, 1), ("cedar", key.pk, 2), ("cedar", 998, 4)):
        make_usage(started_at=NOW, team=slug, key_id=key_id, cost_usd=Decimal(cost))

    assert [state.spent_usd for state in states(budgets().order_by("pk"), now=NOW)] == [1, 2]

"""Which thresholds are noted as passed, and what looking takes; tests/llmgateway/test_budget_watch.py tells of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounting.budget_alerts import note_passed
from accounting.models import Budget, BudgetAlert
from tests.factories.accounting import make_key, make_team, make_usage

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def looked() -> int:
    """How many queries a look takes that finds nothing new."""
    with CaptureQueriesContext(connection) as queries:
        assert note_passed(now=NOW) == []
    return len(queries)


def test_a_look_takes_as_many_queries_for_many_budgets_as_for_few():
    team, first = make_team("alder"), make_key(name="first").row
    windows = ("day", "week", "month", "total")
    Budget.objects.bulk_create(
        Budget(**holder, amount_usd=Decimal(10), window=window)
        for window in windows
        for holder in ({"team": team}, {"key": first})
    )
    few = looked()
    keys = [make_key(team, f"key {number}").row for number in range(150)]
    Budget.objects.bulk_create(
        Budget(key=key, amount_usd=Decimal(10), window=window) for key in keys for window in windows
    )

    assert looked() == few


def test_each_threshold_is_noted_in_the_window_in_which_it_is_passed():
    budget = Budget.objects.create(
        team=make_team("alder"), amount_usd=Decimal(10), window="day", alert_thresholds=[50, 100]
    )
    other = Budget.objects.create(
        key=make_key(make_team("birch")).row, amount_usd=Decimal(10), alert_thresholds=[50]
    )
    BudgetAlert.objects.create(  # of the day before
        budget=budget, window_began_at=datetime(2026, 11, 19, tzinfo=UTC), threshold=50,
        spent_usd=Decimal(5), amount_usd=Decimal(10), at=NOW - timedelta(days=1),
    )  # fmt: skip
    make_usage(started_at=NOW, cost_usd=Decimal(6), key_id=999)
    make_usage(started_at=NOW, cost_usd=Decimal(6), team="birch", key_id=other.key_id)

    added = note_passed(now=NOW)
    assert [(row.budget, row.threshold, row.spent_usd) for row in added] == [
        (budget, 50, 6),
        (other, 50, 6),
    ]
    make_usage(started_at=NOW, cost_usd=Decimal(6), key_id=999)
    assert [(row.threshold, row.spent_usd) for row in note_passed(now=NOW)] == [(100, 12)]
    assert note_passed(now=NOW) == []

"""A team's month on paper: its lines, subtotals and adjustments add up to the ledger."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from accounting import rollups
from accounting.models import Adjustment
from accounting.principals import Principal
from accounting.statements import read_month, statement_of, statements_table
from tests.factories.accounting import make_team, make_usage

STAFF = Principal("ada", is_staff=True)
TODAY = date(2026, 11, 20)


def adjust(record, amount_usd, run="run-1"):
    adjustment = Adjustment(
        record_id=record.pk,
        record_started_at=record.started_at,
        team=record.team,
        project=record.project,
        key_id=record.key_id,
        amount_usd=Decimal(amount_usd),
        reason="price was late",
        run=run,
        by="ada",
        at=datetime(2026, 11, 19, tzinfo=UTC),
    )
    adjustment.save(force_insert=True)
    rollups.apply_adjustments([adjustment], [record])


@pytest.fixture
def month(db):
    make_team("alder")
    rows = [
        make_usage(
            started_at=datetime(2026, 10, day, 23, 59, 59, tzinfo=UTC),
            project=project,
            key_id=key,
            key_name=f"key-{key}",
            upstream_model=model,
            cost_usd=Decimal(cost),
        )
        for day, project, key, model, cost in (
            (1, "web", 1, "opus", "3.000000000001"),
            (31, "web", 1, "haiku", "1"),
            (31, "web", 2, "haiku", "2"),
            (15, "", 1, "opus", "0.5"),
        )
    ]
    make_usage(
        started_at=datetime(2026, 11, 1, tzinfo=UTC), cost_usd=Decimal(50)
    )  # the month after
    make_usage(started_at=datetime(2026, 10, 5, tzinfo=UTC), team="birch", cost_usd=Decimal(70))
    adjust(rows[0], "-0.25")
    adjust(rows[1], "0.000000000002")


@pytest.mark.usefixtures("month")
def test_projects_keys_and_models_have_subtotals_that_add_up():
    statement = statement_of("alder", date(2026, 10, 1), STAFF, today=TODAY)

    assert statement is not None
    assert statement.total.spend_usd == Decimal("6.250000000003")  # 6.500000000001 - 0.249999999998
    assert not statement.is_provisional
    assert [(part.name, part.sums.spend_usd) for part in statement.projects] == [
        ("web", Decimal("5.750000000003")),
        ("(none)", Decimal("0.5")),
    ]
    for project in statement.projects:
        assert sum(key.sums.spend_usd for key in project.keys) == project.sums.spend_usd
        for key in project.keys:
            assert sum(sums.spend_usd for _model, sums in key.models) == key.sums.spend_usd
    [adjustments] = statement.adjustments
    assert (adjustments["records"], adjustments["amount_usd_sum"]) == (
        2,
        Decimal("-0.249999999998"),
    )


@pytest.mark.usefixtures("month")
def test_the_page_and_its_file_say_the_same(admin_client):
    page = admin_client.get("/usage/statements/alder/2026-10/").content.decode()
    file = admin_client.get(
        "/usage/statements/alder/2026-10/", {"format": "csv", "table": "lines"}
    ).content.decode()
    *lines, total = csv.DictReader(io.StringIO(file))

    assert "6.250000000003" in page
    assert "price was late" in page
    assert "Provisional" not in page
    assert sum(Decimal(line["spend_usd"]) for line in lines) == Decimal(total["spend_usd"])
    assert total["spend_usd"] == "6.250000000003"
    assert total["adjusted_usd"] == "-0.249999999998"
    assert (
        "Provisional"
        in admin_client.get(f"/usage/statements/alder/{datetime.now(UTC):%Y-%m}/").content.decode()
    )


@pytest.mark.usefixtures("month")
def test_the_list_has_the_statements_of_whole_teams():
    of_staff = statements_table(STAFF, today=TODAY)
    of_a_lead = statements_table(Principal("bo", led=frozenset({"birch"})), today=TODAY)
    of_a_member = statements_table(Principal("cy", joined=frozenset({"alder"})), today=TODAY)

    assert [row.values[:3] for row in of_staff.rows] == [
        ("alder", "2026-11", Decimal(50)),
        ("alder", "2026-10", Decimal("6.250000000003")),
        ("birch", "2026-10", Decimal(70)),
    ]
    assert [row.values[0] for row in of_a_lead.rows] == ["birch"]
    assert of_a_member.rows == ()


@pytest.mark.parametrize(
    "text",
    ["", "2026", "2026-1", "2026-13", "2026-00", "20266-1", "0000-01", "２０２６-01", "2026-1a"],
)
def test_what_is_no_month_is_none(text):
    assert read_month(text) is None


def test_a_month_is_read():
    assert read_month("2026-10") == date(2026, 10, 1)

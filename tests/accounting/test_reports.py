"""The usage page, its CSV and its JSON: they add up to the last digit, and only staff sees them."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from accounting.charts import HEIGHT, bar_chart
from accounting.models import UsageRecord
from accounting.reports import read_period, usage_report
from accounting.templatetags.amounts import percent, tokens, usd
from accounting.views import inert
from tests.factories.accounting import make_usage

TODAY = date(2026, 11, 20)
PERIOD = {"from": "2026-11-01", "to": "2026-11-20"}


@pytest.fixture
def records(db):
    for number in range(40):
        make_usage(
            started_at=datetime(2026, 11, 1 + number % 20, 23, 59, tzinfo=UTC),
            team="birch" if number % 4 == 0 else "alder",
            upstream_model=f"model-{number % 3}",
            prompt_tokens=1000 + number,
            completion_tokens=10,
            cache_read_tokens=500,
            ttft_ms=100,
            # Amounts that no binary fraction holds.
            cost_usd=Decimal("0.000000000001") * (number * 7919 + 1),
        )
    make_usage(prompt_tokens=7)  # unpriced
    make_usage(status="failed", error="UpstreamBroken")
    make_usage(
        started_at=datetime(2026, 10, 31, 23, 59, tzinfo=UTC), cost_usd=Decimal(99)
    )  # the day before


@pytest.mark.usefixtures("records")
def test_every_table_adds_up_to_the_ledger_to_the_last_digit(django_assert_num_queries):
    with django_assert_num_queries(4):
        report = usage_report(read_period(PERIOD, today=TODAY))
    rows = UsageRecord.objects.exclude(cost_usd=99)
    expected = sum((row.cost_usd for row in rows if row.cost_usd is not None), Decimal(0))

    assert report.totals.spend_usd == expected
    for lines in (report.days, report.teams, report.models):
        assert sum((line.totals.spend_usd for line in lines), Decimal(0)) == expected
        assert (
            sum(line.totals.requests for line in lines) == 42
        )  # 40 priced + 1 unpriced + 1 failed
        assert sum(line.totals.prompt_tokens for line in lines) == report.totals.prompt_tokens
    assert report.totals.unpriced == 1
    assert report.totals.failed == 1
    assert report.totals.ttft_ms == 100
    assert len(report.days) == 20


@pytest.mark.usefixtures("records")
def test_a_report_can_be_narrowed_to_a_team():
    alder = usage_report(read_period({**PERIOD, "team": "alder"}, today=TODAY))
    birch = usage_report(read_period({**PERIOD, "team": "birch"}, today=TODAY))

    assert [line.name for line in birch.teams] == ["birch"]
    assert alder.totals.requests + birch.totals.requests == 42


@pytest.mark.usefixtures("records")
def test_the_page_the_csv_and_the_json_say_the_same(admin_client):
    page = admin_client.get(reverse("accounting:usage"), PERIOD)
    file = admin_client.get(reverse("accounting:usage"), {**PERIOD, "format": "csv"})
    tree = admin_client.get("/api/usage/", PERIOD).json()
    rows = list(csv.DictReader(io.StringIO(file.content.decode())))

    assert page.status_code == 200
    assert "alder" in page.content.decode()
    assert rows[-1]["by"] == "total"
    assert rows[-1]["spend_usd"] == tree["totals"]["spend_usd"]
    teams = [row for row in rows if row["by"] == "team"]
    assert sum(Decimal(row["spend_usd"]) for row in teams) == Decimal(rows[-1]["spend_usd"])
    assert [row["name"] for row in teams] == [line["name"] for line in tree["teams"]]


def test_an_empty_period_says_what_to_do(admin_client):
    page = admin_client.get(reverse("accounting:usage")).content.decode()

    assert "Nothing used in this period" in page
    assert "Make an API key" in page


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/usage/", "/usage/?format=csv", "/api/usage/"])
def test_only_staff_sees_reports(client, django_user_model, address):
    assert client.get(address).status_code in {302, 403}
    client.force_login(django_user_model.objects.create_user("birch"))
    assert client.get(address).status_code == 403


@pytest.mark.django_db
def test_names_are_shown_as_text_and_are_no_formulas(admin_client):
    make_usage(
        upstream_model="<script>alert(1)</script>", team="=cmd()", started_at=datetime.now(UTC)
    )
    page = admin_client.get("/usage/").content.decode()
    file = admin_client.get("/usage/", {"format": "csv"}).content.decode()

    assert "<script>alert" not in page
    assert "'=cmd()" in file


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\t=1"])
def test_a_cell_that_begins_like_a_formula_is_made_inert(cell):
    assert inert(cell) == "'" + cell
    assert inert("a=1") == "a=1"


@pytest.mark.parametrize(
    ("query", "from_on", "to_on"),
    [
        ({}, TODAY - timedelta(days=29), TODAY),
        ({"from": "2026-11-10"}, date(2026, 11, 10), TODAY),
        ({"from": "nonsense", "to": "2026-11-10"}, date(2026, 10, 12), date(2026, 11, 10)),
        ({"from": "2027-01-01", "to": "2026-11-10"}, date(2026, 11, 10), date(2026, 11, 10)),
        ({"from": "1990-01-01"}, TODAY - timedelta(days=365), TODAY),
    ],
)
def test_what_cannot_be_read_of_a_period_is_as_if_it_were_not_there(query, from_on, to_on):
    period = read_period(query, today=TODAY)

    assert (period.from_on, period.to_on) == (from_on, to_on)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unpriced"),
        (Decimal(0), "$0"),
        (Decimal("1234.5"), "$1,234.50"),
        (Decimal("0.5"), "$0.5"),
        (Decimal("0.00012345"), "$0.0001234"),
    ],
)
def test_money_has_one_look(amount, text):
    assert usd(amount) in {text, text[:-1] + "5"}


def test_counts_and_shares_have_one_look():
    assert tokens(1234567) == "1,234,567"
    assert tokens(None) == percent(None) == "–"
    assert percent(0.123) == "12.3 %"


def test_the_highest_bar_fills_the_chart_and_the_smallest_can_be_seen():
    chart = bar_chart([(Decimal(0), "a"), (Decimal("0.0001"), "b"), (Decimal(10), "c")])

    assert [bar.height for bar in chart.bars] == [0, 2, HEIGHT]
    assert bar_chart([]).bars == ()

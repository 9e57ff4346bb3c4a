"""Reports add up to the ledger to the last digit, however they are cut."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from accounting import rollups
from accounting.models import Adjustment, UsageRecord
from accounting.performance import paths, performance
from accounting.periods import Period
from accounting.principals import Principal, of_roles
from accounting.report_query import DIMENSIONS, NONE, Ask, read_ask
from accounting.reports import breakdown, caching, overview
from accounting.sums import Sums
from accounting.tables import Figure, change, inert
from accounting.templatetags.amounts import (
    cell,
    compared,
    figure_value,
    percent,
    since_before,
    tokens,
    usd,
)
from tests.factories.accounting import make_usage

STAFF = Principal("ada", is_staff=True)
PERIOD = {"from": "2026-11-01", "to": "2026-11-20"}
TODAY = date(2026, 11, 20)


def ask_for(**words):
    return read_ask({**PERIOD, **words}, today=TODAY)


@pytest.fixture
def records(db):
    rows = [
        make_usage(
            started_at=datetime(2026, 11, 1 + number % 20, 23, 59, tzinfo=UTC),
            team="birch" if number % 4 == 0 else "alder",
            project="web" if number % 3 == 0 else "",
            key_id=number % 5,
            key_name=f"key-{number % 5}",
            member="ada" if number % 2 else "",
            end_user=f"person-{number % 7}",
            session=f"session-{number}",
            agent="planner" if number % 6 == 0 else "",
            tags=",red,blue," if number % 8 == 0 else ",red," if number % 8 == 1 else "",
            provider="openrouter" if number % 2 else "litellm",
            provider_kind="openrouter" if number % 2 else "litellm_proxy",
            upstream_model=f"model-{number % 3}",
            prompt_tokens=1000 + number,
            completion_tokens=10,
            cache_read_tokens=500,
            cache_saved_usd=Decimal("0.000000000003") * number,
            ttft_ms=100,
            duration_ms=200 + number,
            # Amounts that no binary fraction holds.
            cost_usd=Decimal("0.000000000001") * (number * 7919 + 1),
        )
        for number in range(40)
    ]
    rows.append(make_usage(prompt_tokens=7))  # unpriced
    rows.append(make_usage(status="failed", error="UpstreamBroken", attempt=2))
    make_usage(started_at=datetime(2026, 10, 31, 23, 59, tzinfo=UTC), cost_usd=Decimal(99))
    adjustments = [
        Adjustment(
            record_id=row.pk,
            record_started_at=row.started_at,
            team=row.team,
            project=row.project,
            key_id=row.key_id,
            amount_usd=Decimal("-0.000000000007") * number,
            reason="wrong price",
            run="run",
            at=datetime(2026, 11, 20, tzinfo=UTC),
        )
        for number, row in enumerate(rows[:9], start=1)
    ]
    Adjustment.objects.bulk_create(adjustments)
    rollups.apply_adjustments(adjustments, rows)
    return rows


def spend_of_the_ledger():
    rows = UsageRecord.objects.exclude(cost_usd=99)
    costs = sum((row.cost_usd for row in rows if row.cost_usd is not None), Decimal(0))
    return costs + sum((row.amount_usd for row in Adjustment.objects.all()), Decimal(0))


def column(table, name):
    place = [column.name for column in table.columns].index(name)
    return [row.values[place] or 0 for row in table.rows]


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize("name", [name for name in DIMENSIONS if name != "tag"])
def test_every_breakdown_adds_up_to_the_ledger_to_the_last_digit(name):
    [table] = breakdown(ask_for(), STAFF, DIMENSIONS[name]).tables

    assert sum(column(table, "spend_usd")) == spend_of_the_ledger()
    assert table.total is not None
    assert table.total.values[1] == spend_of_the_ledger()
    assert (
        sum(column(table, "requests")) == 41
    )  # 40 priced + 1 unpriced; the failed one is a second attempt
    assert sum(column(table, "unpriced")) == 1


@pytest.mark.usefixtures("records")
def test_all_tables_of_the_overview_add_up(monkeypatch):
    page = overview(ask_for(), STAFF)

    assert {table.name for table in page.tables} == {"team", "project", "model", "key", "time"}
    for table in page.tables:
        assert sum(column(table, "spend_usd")) == spend_of_the_ledger()
    chart = page.charts[0]
    assert sum(sum(series.values) for series in chart.series) == spend_of_the_ledger()
    assert len(chart.labels) == 20
    figures = {figure.name: figure for figure in page.figures}
    assert figures["spend_usd"].value == spend_of_the_ledger()
    assert figures["adjusted_usd"].value == Decimal("-0.000000000315")  # 7 * (1 + … + 9)


@pytest.mark.usefixtures("records")
def test_rows_beyond_the_first_hundred_are_one_row_that_still_adds_up(monkeypatch):
    monkeypatch.setattr("accounting.reports.ROWS_MAX", 10)
    [table] = breakdown(ask_for(), STAFF, DIMENSIONS["session"]).tables
    [whole] = breakdown(ask_for(), STAFF, DIMENSIONS["session"], with_all=True).tables

    assert len(table.rows) == 11
    assert table.rows[-1].values[0] == "31 others"  # 40 sessions + none - 10
    assert table.more == "all"
    assert sum(column(table, "spend_usd")) == spend_of_the_ledger()
    assert sum(column(table, "requests")) == 41
    assert len(whole.rows) == 41


@pytest.mark.usefixtures("records")
def test_a_request_with_two_tags_counts_for_both_and_once_in_the_total():
    [table] = breakdown(ask_for(), STAFF, DIMENSIONS["tag"]).tables
    by_name = dict(zip(column(table, "tag"), column(table, "requests"), strict=True))

    assert by_name == {"red": 10, "blue": 5, NONE: 31}
    assert table.total is not None
    assert table.total.values[1] == spend_of_the_ledger()
    assert "once" in table.note


@pytest.mark.usefixtures("records")
def test_clicking_a_row_narrows_to_that_row():
    for dimension in DIMENSIONS.values():
        [table] = breakdown(ask_for(), STAFF, dimension).tables
        for row in table.rows:
            query = dict(
                pair.split("=")
                for pair in row.address.partition("?")[2].replace("%28none%29", NONE).split("&")
            )
            narrowed = overview(read_ask(query, today=TODAY), STAFF)
            [spend] = [figure for figure in narrowed.figures if figure.name == "spend_usd"]
            assert (spend.value or 0) == (row.values[1] or 0)


@pytest.mark.usefixtures("records")
def test_both_paths_add_up():
    page = paths(ask_for(), STAFF)
    table = page.tables[0]

    assert column(table, "path") == ["through LiteLLM", "direct"]
    assert sum(column(table, "spend_usd")) == spend_of_the_ledger()
    assert sum(column(table, "attempts")) == 42
    only = paths(ask_for(path="litellm"), STAFF).tables[0]
    assert column(only, "attempts") == [20, 0]


@pytest.mark.usefixtures("records")
def test_caching_adds_up():
    page = caching(ask_for(), STAFF)

    for table in page.tables:
        assert sum(column(table, "cache_saved_usd")) == Decimal("0.000000000003") * 780
        assert sum(column(table, "cache_read_tokens")) == 40 * 500


@pytest.mark.usefixtures("records")
def test_percentiles_come_from_the_counts_and_where_these_do_not_tell_from_the_rows(monkeypatch):
    kept = performance(ask_for(), STAFF)
    from_rows = performance(ask_for(agent="planner"), STAFF)
    monkeypatch.setattr("accounting.latencies.ROWS_MAX", 3)
    too_many = performance(ask_for(agent="planner"), STAFF)

    for page in (kept, from_rows):
        [ttft] = [figure for figure in page.figures if figure.name == "ttft_p50_ms"]
        assert 95 <= ttft.value <= 105
    assert [chart.name for chart in kept.charts] == ["ttft", "duration", "rates"]
    assert "rows of the ledger" in from_rows.notes[1]
    assert [chart.name for chart in too_many.charts] == ["rates"]
    assert "choose fewer days" in too_many.notes[0]


@pytest.mark.usefixtures("records")
def test_percentiles_of_ones_own_usage_come_from_the_rows():
    of_team = performance(ask_for(), of_roles("ada", [("alder", "lead")]))
    own = performance(ask_for(), of_roles("ada", [("alder", "member")]))
    both = performance(ask_for(), of_roles("ada", [("alder", "lead"), ("birch", "member")]))

    assert not any("rows of the ledger" in note for note in of_team.notes)
    assert any("rows of the ledger" in note for note in own.notes)
    assert any("rows of the ledger" in note for note in both.notes)


@pytest.mark.usefixtures("records")
def test_the_period_before_is_compared_in_words():
    page = overview(read_ask({"from": "2026-11-01", "to": "2026-11-01"}, today=TODAY), STAFF)
    [spend] = [figure for figure in page.figures if figure.name == "spend_usd"]

    assert since_before(spend) == "100.0 % less"  # 99 USD the day before
    assert change(Decimal(3), Decimal(2)) == 0.5
    assert change(None, Decimal(2)) is None


@pytest.mark.django_db
def test_long_periods_are_summed_by_month():
    make_usage(started_at=datetime(2026, 3, 5, tzinfo=UTC), cost_usd=Decimal(1))
    page = overview(read_ask({"period": "this-year"}, today=TODAY), STAFF)
    [by_month] = [table for table in page.tables if table.name == "time"]

    assert [row.values[0] for row in by_month.rows] == ["2026-03"]
    assert page.charts[0].labels[0] == "2026-01"


def test_an_address_reads_back_as_the_same_question():
    ask = ask_for(team="alder", project=NONE, key="12", path="direct", tag="a b")

    assert ask.words == {
        "team": "alder",
        "project": NONE,
        "key": "12",
        "path": "direct",
        "tag": "a b",
    }
    assert len(ask.chips) == 5
    assert ask_for(key="twelve", path="elsewhere", team=" ").words == {}
    assert Ask(Period(TODAY, TODAY), {}).query() == "?from=2026-11-20&to=2026-11-20"
    assert read_ask({}, today=TODAY).query() == ""


@pytest.mark.usefixtures("records")
def test_the_api_and_the_page_say_the_same(admin_client):
    file = admin_client.get("/usage/by/team/", {**PERIOD, "format": "csv", "table": "team"})
    tree = admin_client.get("/api/usage/", PERIOD).json()
    rows = list(csv.DictReader(io.StringIO(file.content.decode())))

    assert Decimal(tree["totals"]["spend_usd"]) == spend_of_the_ledger()
    for name in ("days", "teams", "models"):
        amounts = [Decimal(line["spend_usd"]) for line in tree[name]]
        assert sum(amounts, Decimal(0)) == spend_of_the_ledger()
    assert [row["team"] for row in rows] == [*(line["name"] for line in tree["teams"]), "Total"]


@pytest.mark.parametrize("cell", ["=1", "+1", "-1+cmd", "@a", "\t=1"])
def test_a_cell_that_begins_like_a_formula_is_made_inert(cell):
    assert inert(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["a=1", "-1", "-0.000000000001", ""])
def test_numbers_and_words_stay_as_they_are(cell):
    assert inert(cell) == cell


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unpriced"),
        (Decimal(0), "$0"),
        (Decimal("1234.5"), "$1,234.50"),
        (Decimal("-1234.5"), "−$1,234.50"),
        (Decimal("0.5"), "$0.5"),
        (Decimal("0.00012346"), "$0.0001235"),
    ],
)
def test_money_has_one_look(amount, text):
    assert usd(amount) == text


def test_counts_shares_and_changes_have_one_look():
    assert tokens(1234567) == "1,234,567"
    assert tokens(None) == percent(None) == compared(None) == "–"
    assert percent(0.123) == "12.3 %"
    assert [compared(share) for share in (0.5, -0.25, 0.0, 11.0)] == [
        "50.0 % more",
        "25.0 % less",
        "the same",
        "12 times",
    ]


def test_figures_say_how_they_changed():
    errors = Figure("e", "Errors", 0.03, "percent", before=0.02, more_is="bad")
    same = Figure("e", "Errors", 0.02, "percent", before=0.02, more_is="bad")
    many = Figure("t", "Tokens", 29_854_752_120, before=0)

    assert since_before(errors) == "1.0 points more"
    assert errors.is_better is False
    assert (since_before(same), same.is_better) == ("the same", None)
    assert since_before(many) == ""
    assert figure_value(many) == '<span title="29,854,752,120">29.85 billion</span>'
    assert figure_value(Figure("t", "TTFT", 1500, "ms")) == "1,500 ms"


def test_a_used_up_budget_has_a_full_bar():
    assert 'value="100" class="over"' in cell(1.2, "used")
    assert 'value="95" class="close"' in cell(0.95, "used")
    assert cell(None, "used") == "–"


def test_sums_without_a_price_are_unpriced_and_not_free():
    assert Sums(unpriced=1).priced_spend_usd is None
    assert Sums().priced_spend_usd == Decimal(0)
    assert Sums(unpriced=1, cost_usd=Decimal(1)).priced_spend_usd == Decimal(1)


def test_one_attempt_is_in_the_days_it_began_in(db):
    make_usage(started_at=datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC), cost_usd=Decimal(1))
    next_day = (TODAY + timedelta(days=1)).isoformat()

    assert overview(read_ask({"from": next_day, "to": next_day}, today=TODAY), STAFF).is_empty
    assert not overview(read_ask({"period": "today"}, today=TODAY), STAFF).is_empty

"""The daily and hourly sums against the rows: what differs is found to the last digit, and made right."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from accounting import recount, rollups
from accounting.ledger import write_rows
from accounting.models import (
    Adjustment,
    DailyLatency,
    DailyUsage,
    HourlyTtft,
    HourlyUsage,
    UsageRecord,
)
from benchmarks.million import fill
from benchmarks.records import days_until, records
from tests.factories.accounting import make_entry, make_usage

pytestmark = [pytest.mark.django_db, pytest.mark.uncovered]
hourly_sums_of_records = import_module("accounting.migrations.0012_hourly_sums_of_records")
sums_by_day = import_module("accounting.migrations.0014_sums_by_day")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STEP_USD = Decimal("0.000000000001")


def falsify(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def all_sums() -> list[dict[str, dict[str, object]]]:
    return [
        {row["id"]: row for row in model.objects.values()}
        for model in (DailyUsage, DailyLatency, HourlyUsage, HourlyTtft)
    ]


def book_adjustment(record: UsageRecord, amount_usd: Decimal, run: str) -> None:
    adjustment = Adjustment(
        record_id=record.pk,
        record_started_at=record.started_at,
        team=record.team,
        key_id=record.key_id,
        amount_usd=amount_usd,
        reason="new prices",
        run=run,
        at=NOON,
    )
    adjustment.save(force_insert=True)
    rollups.apply_adjustments([adjustment], [record])


@pytest.fixture
def some_days():
    write_rows(
        make_entry(
            started_at=NOON + timedelta(days=number % 3, minutes=number),
            session=f"s-{number % 5}",
            attempt=1 + number % 2,
            status=("succeeded", "failed", "client_closed", "interrupted")[number % 4],
            error="UpstreamBroken" if number % 4 == 1 else "",
            cost_usd=None if number % 7 == 0 else STEP_USD * (number * 7919 + 1),
            cache_saved_usd=None if number % 3 else -STEP_USD * number,
            prompt_tokens=number,
            ttft_ms=None if number % 5 == 0 else number * 11,
            duration_ms=number * 37,
        )
        for number in range(120)
    )
    for number, record in enumerate(UsageRecord.objects.order_by("id")[:20]):
        book_adjustment(record, STEP_USD * number, "run-1")
        book_adjustment(record, -STEP_USD, "run-2")


@pytest.mark.usefixtures("some_days")
def test_what_the_ledger_keeps_is_what_the_database_counts():
    assert recount.look() == recount.Findings(days=3, differences=(), unknown=())


def test_an_empty_ledger_has_no_days():
    assert recount.look(repair=True) == recount.Findings(days=0, differences=(), unknown=())


@pytest.mark.usefixtures("some_days")
def test_a_difference_of_the_last_digit_is_found_and_told():
    row = DailyUsage.objects.filter(on=date(2026, 11, 21)).order_by("pk")[0]
    falsify(f"UPDATE accounting_dailyusage SET cost_usd = cost_usd + 1 WHERE id = '{row.pk}'")

    (difference,) = recount.look().differences

    assert difference.on == date(2026, 11, 21)
    assert difference.name == "cost_usd"
    assert difference.stored == difference.counted + 1
    assert difference.words["session"] == row.session


@pytest.mark.usefixtures("some_days")
@pytest.mark.parametrize("name", rollups.COUNTS)
def test_no_sum_can_be_wrong_unseen(name):
    falsify(f'UPDATE accounting_dailyusage SET "{name}" = "{name}" + 1')

    assert {difference.name for difference in recount.look().differences} == {name}


@pytest.mark.usefixtures("some_days")
@pytest.mark.parametrize("name", rollups.HOUR_COUNTS)
def test_no_sum_of_an_hour_can_be_wrong_unseen(name):
    falsify(f'UPDATE accounting_hourlyusage SET "{name}" = "{name}" + 1')
    found = recount.look().differences

    assert {(difference.table, difference.name) for difference in found} == {("hourly usage", name)}
    assert {difference.words["hour"] for difference in found} == {12, 13}


@pytest.mark.usefixtures("some_days")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM accounting_dailyusage WHERE session = 's-1'",
        "DELETE FROM accounting_dailylatency WHERE measure = 'ttft'",
        "DELETE FROM accounting_dailyusage",
        "UPDATE accounting_dailylatency SET count = count + 1",
        "UPDATE accounting_dailyusage SET adjusted_usd = 0, unpriced = 9",
        "INSERT INTO accounting_dailylatency SELECT 'x', \"on\", team, provider, provider_kind,"
        " upstream_model, measure, 7000, 3 FROM accounting_dailylatency LIMIT 1",
        "DELETE FROM accounting_hourlyusage",
        "DELETE FROM accounting_hourlyttft WHERE hour = 12",
        "UPDATE accounting_hourlyttft SET count = count + 1",
        "UPDATE accounting_hourlyusage SET adjusted_usd = 0",
    ],
    ids=[
        "lost",
        "buckets lost",
        "all lost",
        "buckets wrong",
        "adjustments lost",
        "invented",
        "hours lost",
        "an hour's buckets lost",
        "an hour's buckets wrong",
        "an hour's adjustments lost",
    ],
)
def test_repair_makes_sums_equal_to_rows(statement):
    before = all_sums()
    falsify(statement)

    found = recount.look(repair=True)

    assert found.differences
    assert found.repaired
    assert not recount.look().differences
    assert all_sums() == before


@pytest.mark.usefixtures("some_days")
def test_only_the_days_that_are_asked_for_are_looked_at():
    falsify("UPDATE accounting_dailyusage SET attempts = attempts + 1")

    found = recount.look(date(2026, 11, 21), date(2026, 11, 21), repair=True)

    assert found.repaired == (date(2026, 11, 21),)
    assert {difference.on for difference in recount.look().differences} == {
        date(2026, 11, 20),
        date(2026, 11, 22),
    }


def take_back_ids() -> None:
    """As all sums were called before migration 14: by a digest alone."""
    for model, words in (
        (DailyUsage, rollups.WORDS),
        (DailyLatency, (*rollups.LATENCY_WORDS, "measure", "bucket")),
        (HourlyUsage, rollups.HOUR_WORDS),
        (HourlyTtft, ("hour", "bucket")),
    ):
        for pk, *key in model.objects.values_list("pk", "on", *words):
            model.objects.filter(pk=pk).update(id=hourly_sums_of_records.id_of(*key))


@pytest.mark.usefixtures("some_days")
def test_the_migrations_make_the_sums_of_hours_and_the_ids_that_the_ledger_would_have_kept():
    before = all_sums()
    take_back_ids()
    falsify("DELETE FROM accounting_hourlyusage")
    falsify("DELETE FROM accounting_hourlyttft")

    hourly_sums_of_records.add_up(apps, connection.schema_editor())
    assert recount.look().differences  # the ids are those of an older version
    sums_by_day.begin_with_day(apps, connection.schema_editor())

    assert all_sums() == before
    assert recount.look().differences == ()


@pytest.mark.usefixtures("some_days")
def test_ids_of_sums_begin_with_their_day():
    for sums in all_sums():
        assert sums
        for row_id, row in sums.items():
            assert row_id[:6] == f"{row['on']:%y%m%d}"
            assert len(row_id) == 32


def test_the_migration_of_an_empty_ledger_makes_nothing():
    hourly_sums_of_records.add_up(apps, connection.schema_editor())

    assert all_sums() == [{}, {}, {}, {}]


def test_a_small_copy_of_the_million_adds_up(django_assert_num_queries):
    days = days_until(date(2026, 11, 20), 14)
    fill(20_000, days)

    assert UsageRecord.objects.count() == 20_000
    assert recount.look().differences == ()
    assert DailyUsage.objects.count() < 8000
    # 6 bounds and the archives; then begin, archives again, 5 groups, adjustments, 4 comparisons and end.
    with django_assert_num_queries(20):
        recount.look(days[0], days[0])


def test_copies_of_the_million_add_up_too():
    days = days_until(date(2026, 11, 20), 3)
    fill(600, days, copies=2)

    assert UsageRecord.objects.count() == 1800
    assert UsageRecord.objects.filter(started_at__date=days[0] + timedelta(days=6)).exists()
    assert recount.look().differences == ()
    ids = UsageRecord.objects.order_by("started_at", "id").values_list("id", "request_id")
    assert sorted(ids) == list(ids)  # as ids are: the moment first
    assert {request_id for _id, request_id in ids} == {f"req_{id_[:-2]}" for id_, _of in ids}


def test_the_records_of_the_million_are_the_same_for_the_same_seed():
    days = days_until(date(2026, 11, 20), 7)
    first, second = (list(records(500, days, seed=3)) for _ in range(2))

    assert first == second
    assert len({entry.id for entry in first}) == 500
    assert {entry.started_at.date() for entry in first} <= set(days)


def test_an_adjustment_of_an_unknown_record_does_not_stop_the_count():
    record = make_usage(cost_usd=Decimal(1))
    Adjustment(
        record_id="gone",
        record_started_at=record.started_at,
        team="alder",
        key_id=1,
        amount_usd=Decimal(1),
        reason="",
        run="r",
        at=NOON,
    ).save(force_insert=True)

    assert recount.look().differences == ()

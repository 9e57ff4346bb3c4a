"""Re-costing books the difference to the book's prices, once, and never touches a record."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum

from accounting import ledger, price_book, recosting
from accounting.models import Adjustment, DailyUsage, PriceTier, UsageRecord
from accounting.recosting import Line, Run, Wish, new_run, recost
from tests.factories.accounting import make_entry, make_price, make_usage

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WISH = Wish(date(2026, 11, 1), date(2026, 11, 30))
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 100}
BOOKED = {**TOKENS, "cost_usd": Decimal("0.0045"), "cost_source": "price_book"}
"""1000 * 3 + 100 * 15, as the factory's price has it."""
MODEL = "anthropic/claude-sonnet-4.5"
PICO = 10**12


def run_of(number: int = 1) -> Run:
    return Run(f"run-{number}", "ada", NOON)


def book(wish: Wish = WISH, number: int = 1) -> recosting.Outcome:
    return recost(wish, price_book.read_tags(), run_of(number))


def price(prompt: str = "3", **fields):
    return make_price(upstream_model=MODEL, prompt_usd_per_mtok=Decimal(prompt), **fields)


def amounts() -> dict[str, Decimal]:
    rows = Adjustment.objects.order_by("pk")
    return {row.record_id: row.amount_usd.normalize() for row in rows}


def check_sums() -> None:
    """The daily sums equal the rows behind them."""
    sums = DailyUsage.objects.aggregate(
        cost=Sum("cost_usd"), adjusted=Sum("adjusted_usd"), unpriced_sum=Sum("unpriced")
    )
    adjusted = set(Adjustment.objects.values_list("record_id", flat=True))
    unpriced = UsageRecord.objects.filter(cost_usd=None).exclude(status="failed")
    assert (
        sums["cost"] == UsageRecord.objects.aggregate(sum=Sum("cost_usd"))["sum"]
        or sums["cost"] == 0
    )
    assert sums["adjusted"] == (Adjustment.objects.aggregate(sum=Sum("amount_usd"))["sum"] or 0)
    assert sums["unpriced_sum"] == unpriced.exclude(pk__in=adjusted).count()


def test_a_difference_is_booked_as_an_adjustment_and_the_record_stays():
    record = make_usage(**BOOKED, project="web", key_id=5)
    new = price("4")

    outcome = book()

    row = Adjustment.objects.get()
    assert row.record_id == record.pk
    assert row.amount_usd == Decimal("0.001")  # 1000 * (4 - 3)
    assert (row.team, row.project, row.key_id) == ("alder", "web", 5)
    assert (row.record_started_at, row.price_id) == (record.started_at, new.pk)
    assert (row.run, row.by, row.at, row.reason) == (
        "run-1",
        "ada",
        NOON,
        "re-costed by the price book",
    )
    record.refresh_from_db()
    assert record.cost_usd == Decimal("0.0045")
    key = (date(2026, 11, 20), "openrouter", MODEL)
    line = Line(records=1, adjusted=1, before=4_500_000_000, after=5_500_000_000)
    assert (outcome.changed, outcome.total) == ([(key, line)], line)
    check_sums()


def test_a_second_run_books_nothing_and_a_third_price_books_the_difference_to_both():
    record = make_usage(**BOOKED)
    price("4")
    book()

    assert book(number=2).total.adjusted == 0
    price("2", valid_from_at=NOON - timedelta(hours=1))
    book(number=3)

    rows = Adjustment.objects.filter(record_id=record.pk).order_by("pk")
    assert [row.amount_usd.normalize() for row in rows] == [Decimal("0.001"), Decimal("-0.002")]
    assert book(number=4).total.adjusted == 0
    check_sums()


def test_an_unpriced_record_is_priced_also_where_that_is_nothing():
    dear, free = make_usage(**TOKENS), make_usage(**TOKENS, upstream_model="free")
    price("4")
    make_price(
        upstream_model="free", prompt_usd_per_mtok=Decimal(0), completion_usd_per_mtok=Decimal(0)
    )
    assert DailyUsage.objects.aggregate(sum=Sum("unpriced"))["sum"] == 2

    outcome = book()

    assert amounts() == {dear.pk: Decimal("0.0055"), free.pk: 0}
    assert (outcome.total.unpriced_before, outcome.total.unpriced_after) == (2, 0)
    assert book(number=2).total.adjusted == 0
    check_sums()
    assert DailyUsage.objects.aggregate(sum=Sum("unpriced"))["sum"] == 0


def test_the_price_is_that_of_the_moment_with_its_tiers_and_images():
    yesterday = NOON - timedelta(days=1)
    early = make_usage(**BOOKED, started_at=yesterday)
    late = make_usage(**BOOKED, prompt_images=2)
    price("3", valid_from_at=yesterday - timedelta(days=30))
    new = price("4", valid_from_at=yesterday + timedelta(hours=1), image_usd=Decimal("0.002"))
    PriceTier.objects.create(
        price=new,
        prompt_tokens_above=999,
        prompt_usd_per_mtok=Decimal(8),
        completion_usd_per_mtok=Decimal(30),
    )
    book()

    # 1000 * 8 + 100 * 30 + 2 images of 0.002, less 0.0045
    assert amounts() == {late.pk: Decimal("0.0105")}
    assert early.pk not in amounts()


def test_the_providers_own_figure_is_left_alone_unless_that_is_asked_for():
    own = make_usage(**TOKENS, cost_usd=Decimal("0.5"))
    price("4")

    assert book().total.records == 0
    book(Wish(WISH.from_on, WISH.to_on, include_provider=True), number=2)
    assert amounts() == {own.pk: Decimal("-0.4945")}  # 0.0055 - 0.5
    check_sums()


def test_what_cannot_be_costed_stays_and_is_counted():
    make_usage(**BOOKED, upstream_model="elsewhere")  # no price any more
    make_usage(status="client_closed")  # no tokens
    make_usage(status="failed")  # nothing to cost
    make_usage(**{**TOKENS, "prompt_tokens": 2**31 - 1})  # beyond any column
    price("999999.99")
    before = DailyUsage.objects.aggregate(sum=Sum("unpriced"))["sum"]
    outcome = book()

    assert amounts() == {}
    assert (outcome.without_price, outcome.without_tokens) == (1, 2)
    assert outcome.total.unpriced_before == before


def test_days_are_whole_and_the_rest_narrows_down():
    first = make_usage(**BOOKED, started_at=datetime(2026, 11, 1, tzinfo=UTC))
    last = make_usage(**BOOKED, started_at=datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=UTC))
    make_usage(**BOOKED, started_at=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))
    make_usage(**BOOKED, started_at=datetime(2026, 12, 1, tzinfo=UTC))
    theirs = make_usage(**BOOKED, team="birch")
    price("4")

    book(Wish(WISH.from_on, WISH.to_on, {"team": "birch"}))
    assert set(amounts()) == {theirs.pk}
    book(number=2)
    assert set(amounts()) == {first.pk, last.pk, theirs.pk}


def test_without_a_run_nothing_is_booked():
    make_usage(**BOOKED)
    price("4")
    outcome = recost(WISH, price_book.read_tags(), None)

    assert (outcome.total.adjusted, Adjustment.objects.count()) == (1, 0)


def test_every_record_is_seen_once_however_the_batches_fall(monkeypatch):
    """Many records of one moment lie across the ends of batches."""
    monkeypatch.setattr(recosting, "BATCH", 3)
    moments = [NOON] * 8 + [NOON + timedelta(seconds=1)] * 2 + [NOON - timedelta(days=1)] * 4
    ledger.write_rows([make_entry(**BOOKED, started_at=moment) for moment in moments])
    price("4")
    told: list[tuple[int, int]] = []
    outcome = recost(
        WISH, price_book.read_tags(), run_of(), progress=lambda *count: told.append(count)
    )

    assert (outcome.total.records, outcome.total.adjusted) == (14, 14)
    assert Adjustment.objects.values("record_id").distinct().count() == 14
    assert told == [(3, 14), (6, 14), (9, 14), (12, 14), (14, 14)]
    assert book(number=2).total.adjusted == 0
    check_sums()


def test_a_batch_takes_the_same_number_of_queries_however_many_records_it_has(
    django_assert_max_num_queries,
):
    ledger.write_rows([make_entry(**BOOKED) for _ in range(200)])
    price("4")
    tags = price_book.read_tags()
    with django_assert_max_num_queries(16):
        recost(WISH, tags, run_of())


def test_an_adjustment_that_another_run_booked_meanwhile_is_seen(monkeypatch):
    """Between the comparison and the booking somebody else books the same difference."""
    make_usage(**BOOKED)
    price("4")
    tags = price_book.read_tags()
    honest = recosting._book

    def late(differences, run):
        honest(differences, run_of(7))
        honest(differences, run)

    monkeypatch.setattr(recosting, "_book", late)
    recost(WISH, tags, run_of(1))

    assert [row.run for row in Adjustment.objects.all()] == ["run-7"]
    check_sums()


def test_a_runs_id_tells_its_time_and_fits_its_column():
    run = new_run("ada", now=NOON, reason="contract")

    assert run.id.startswith("recost-20261120T120000-")
    assert len(run.id) <= 36
    assert run.id != new_run("ada", now=NOON).id
    assert (run.by, run.reason) == ("ada", "contract")

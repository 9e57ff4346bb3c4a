"""What offers change in the price book: a further row for what differs, nothing for what does not."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounting import price_book, price_changes, snapshot
from accounting.models import Price, PriceTier
from accounting.price_changes import (
    Book,
    Figures,
    Offer,
    TierFigures,
    book_changes,
    compare,
)
from accounting.price_words import sentence
from tests.factories.accounting import make_price

pytestmark = pytest.mark.django_db

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
TIER = TierFigures(
    prompt_usd_per_mtok=Decimal(6),
    completion_usd_per_mtok=Decimal("22.5"),
    prompt_tokens_above=200_000,
)
FIGURES = Figures(prompt_usd_per_mtok=Decimal(3), completion_usd_per_mtok=Decimal(15))


def offer(figures: Figures = FIGURES, **fields) -> Offer:
    return Offer(
        **{"provider": "openrouter", "model": "model", "source": "list", **fields}, figures=figures
    )


def booked(*offers: Offer, **options) -> list[str]:
    """What the offers changed, as the book has it afterwards."""
    book_changes(compare(offers, now=NOW, **options).changes, now=NOW)
    rows = Price.objects.order_by("valid_from_at")
    return [f"{row.valid_from_at:%m-%d} {row.prompt_usd_per_mtok.normalize():f}" for row in rows]


def test_a_first_price_is_booked_with_all_that_is_told():
    figures = replace(
        FIGURES,
        cache_read_usd_per_mtok=Decimal("0.3"),
        request_usd=Decimal("0.01"),
        image_usd=Decimal("0.002"),
        tiers=(TIER, replace(TIER, prompt_tokens_above=500_000)),
    )
    (change,) = compare([offer(figures)], now=NOW).changes
    assert change.old is None
    before = snapshot.version()

    assert book_changes([change], now=NOW) == 1

    row = Price.objects.get()
    assert (row.source, row.valid_from_at, row.image_usd) == ("list", NOW, Decimal("0.002"))
    assert Book({"openrouter"}).in_force(NOW)["openrouter", "model"].figures == figures
    tag = price_book.read_tags()["openrouter", "model"][0]
    assert [tier.prompt_tokens_above for tier in tag.tiers] == [500_000, 200_000]
    assert snapshot.version() == before + 1


def test_what_is_the_same_is_not_booked_again():
    assert booked(offer(replace(FIGURES, tiers=(TIER,)))) == ["11-20 3"]
    found = compare([offer(replace(FIGURES, tiers=(TIER,)))], now=NOW)

    assert (found.changes, found.same) == ([], 1)
    assert book_changes([], now=NOW) == 0


@pytest.mark.parametrize(
    "figures",
    [
        replace(FIGURES, prompt_usd_per_mtok=Decimal(4)),
        replace(
            FIGURES, cache_read_usd_per_mtok=Decimal(3)
        ),  # empty is not the same as what it stands for
        replace(FIGURES, image_usd=Decimal("0.002")),
        replace(FIGURES, tiers=(TIER,)),
    ],
    ids=["prompt", "cache", "image", "tier"],
)
def test_any_difference_is_a_further_row_and_the_old_one_stays(figures):
    old = make_price()
    found = compare([offer(figures)], now=NOW)
    book_changes(found.changes, now=NOW)

    assert [change.old for change in found.changes] == [FIGURES]
    assert Price.objects.count() == 2
    old.refresh_from_db()
    assert old.prompt_usd_per_mtok == 3
    assert not old.tiers.exists()


def test_a_tier_that_is_gone_is_a_difference():
    PriceTier.objects.create(
        price=make_price(),
        prompt_tokens_above=200_000,
        prompt_usd_per_mtok=Decimal(6),
        completion_usd_per_mtok=Decimal("22.5"),
    )
    (change,) = compare([offer()], now=NOW).changes

    assert change.old == replace(FIGURES, tiers=(TIER,))
    assert sentence(change.old, change.new) == (
        "prompt above 200,000 tokens $6 → –, completion above 200,000 tokens $22.5 → –"
    )


def test_a_price_by_hand_is_kept_unless_it_may_be_replaced():
    make_price(source="manual")
    dearer = offer(replace(FIGURES, prompt_usd_per_mtok=Decimal(4)))

    found = compare([dearer], now=NOW, replaceable={"list"})
    assert (found.changes, found.kept) == ([], [dearer])
    assert len(compare([dearer], now=NOW).changes) == 1
    assert compare([offer()], now=NOW, replaceable={"list"}).same == 1


def test_offers_of_the_past_are_compared_with_what_was_in_force_then():
    make_price(valid_from_at=MARCH)
    four = replace(FIGURES, prompt_usd_per_mtok=Decimal(4))

    assert booked(offer(four, valid_from_at=JANUARY), offer(four)) == [
        "01-01 4",
        "03-01 3",
        "11-20 4",
    ]


def test_offers_are_compared_with_those_before_them():
    four = replace(FIGURES, prompt_usd_per_mtok=Decimal(4))
    in_any_order = [
        offer(four, valid_from_at=JUNE),
        offer(valid_from_at=JANUARY),
        offer(valid_from_at=MARCH),  # as in January
    ]

    assert booked(*in_any_order) == ["01-01 3", "06-01 4"]


def test_another_price_of_the_same_moment_is_never_changed():
    make_price(valid_from_at=JANUARY)
    other = offer(replace(FIGURES, prompt_usd_per_mtok=Decimal(4)), valid_from_at=JANUARY)
    found = compare([other], now=NOW)

    assert (found.changes, found.taken) == ([], [other])


@pytest.mark.parametrize(
    "figures",
    [
        replace(FIGURES, prompt_usd_per_mtok=Decimal(1_000_000)),
        replace(FIGURES, image_usd=Decimal(-1)),
        replace(FIGURES, tiers=(TIER, TIER)),
        replace(FIGURES, tiers=(replace(TIER, prompt_tokens_above=2**31),)),
    ],
    ids=["too dear", "negative", "a tier twice", "too long"],
)
def test_what_the_book_has_no_room_for_is_told(figures):
    assert not figures.is_storable()
    assert FIGURES.is_storable()


def test_many_changes_are_booked_a_part_after_the_other(monkeypatch):
    monkeypatch.setattr(price_changes, "ROWS_AT_ONCE", 2)
    figures = replace(FIGURES, tiers=(TIER,))
    changes = compare([offer(figures, model=f"m{number}") for number in range(5)], now=NOW).changes
    told: list[tuple[int, int]] = []
    book_changes(changes, now=NOW, progress=lambda *count: told.append(count))

    assert told == [(2, 5), (4, 5), (5, 5)]
    assert (Price.objects.count(), PriceTier.objects.count()) == (5, 5)


def test_comparing_many_offers_takes_two_queries(django_assert_num_queries):
    for number in range(5):
        make_price(upstream_model=f"model-{number}")
    offers = [offer(model=f"model-{number}") for number in range(10)]
    with django_assert_num_queries(2):
        found = compare(offers, now=NOW)

    assert (len(found.changes), found.same) == (5, 5)


def test_a_change_is_told_in_one_line():
    new = replace(
        FIGURES, prompt_usd_per_mtok=Decimal("3.50"), image_usd=Decimal("0.002"), tiers=(TIER,)
    )

    assert sentence(FIGURES, new) == (
        "prompt $3 → $3.5, per image $0.002, prompt above 200,000 tokens $6, completion above 200,000 tokens $22.5"
    )
    assert sentence(None, FIGURES) == "prompt $3, completion $15"

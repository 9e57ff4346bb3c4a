"""The price book as a file: exact there and back, and every fault with its line."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounting import price_csv
from accounting.models import Price, PriceTier
from accounting.price_changes import Figures, TierFigures, book_changes, compare
from accounting.price_csv import CsvInvalid
from tests.factories.accounting import make_price

NOW = datetime(2026, 11, 20, tzinfo=UTC)
HEAD = "provider,model,prompt_usd_per_mtok,completion_usd_per_mtok"
TIERED = """provider,model,valid_from_at,source,prompt_tokens_above,prompt_usd_per_mtok,completion_usd_per_mtok,image_usd
anthropic,claude,2026-01-01,contract,,3,15.00000001,0.002
anthropic,claude,2026-01-01T00:00:00Z,,200000,6,22.5,
anthropic,claude,2026-01-01T01:00:00+01:00,,500000,9,30,
"""


def faults(text: str) -> list[str]:
    with pytest.raises(CsvInvalid) as caught:
        price_csv.read(text)
    return [str(fault) for fault in caught.value.faults]


def test_a_price_and_its_tiers_are_lines_of_their_own():
    found = price_csv.read(TIERED)
    (offer,) = found.offers

    assert (offer.provider, offer.model, offer.source) == ("anthropic", "claude", "contract")
    assert offer.valid_from_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert offer.figures == Figures(
        prompt_usd_per_mtok=Decimal(3),
        completion_usd_per_mtok=Decimal("15.00000001"),
        image_usd=Decimal("0.002"),
        tiers=(
            TierFigures(Decimal(6), Decimal("22.5"), prompt_tokens_above=200_000),
            TierFigures(Decimal(9), Decimal(30), prompt_tokens_above=500_000),
        ),
    )
    assert found.line_of(offer) == 2


def test_what_is_left_out_is_empty_and_in_force_from_now_on():
    (offer,) = price_csv.read(
        f"\ufeff{HEAD}\r\nanthropic,'@cf/claude, the 1st,3,15\r\n".replace(
            "'@cf/claude, the 1st", '"\'@cf/claude, the 1st"'
        )
    ).offers

    assert offer.model == "@cf/claude, the 1st"
    assert (offer.valid_from_at, offer.source) == (None, "csv")
    assert offer.figures == Figures(Decimal(3), Decimal(15))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("an thropic,m,3,15", "line 2: provider: 'an thropic' is no provider's short name"),
        ("a,,3,15", "line 2: model: a name of at most 200 characters is needed"),
        ("a,m,,15", "line 2: prompt_usd_per_mtok is missing"),
        ("a,m,three,15", "line 2: prompt_usd_per_mtok: 'three' is no amount such as 3.75"),
        ("a,m,-1,15", "line 2: prompt_usd_per_mtok: -1 is not between 0 and 1,000,000"),
        ("a,m,NaN,15", "line 2: prompt_usd_per_mtok: NaN is not between 0 and 1,000,000"),
        ("a,m,1e6,15", "line 2: prompt_usd_per_mtok: 1e6 is not between 0 and 1,000,000"),
        (
            "a,m,3,0.000000001",
            "line 2: completion_usd_per_mtok: 0.000000001 has more than 8 decimal places",
        ),
        ("a,m,3,15,16", "line 2: has more cells than the heading"),
        ('a,"m,3,15', "line 2: this is no CSV: unexpected end of data"),
    ],
)
def test_a_fault_is_told_with_its_line(line, words):
    assert faults(f"{HEAD}\n{line}\n") == [words]


def test_all_faults_are_told_at_once():
    assert faults(f"{HEAD}\na,m,3,x\nb,m,3,15\nb,m,3,15\n") == [
        "line 2: completion_usd_per_mtok: 'x' is no amount such as 3.75",
        "line 4: this price stands in line 3 already",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a,m,then,,,3,15,", "line 5: valid_from_at: 'then' is no moment such as 2026-01-31T00:00:00Z"),
        ("a,m,2026-02-31,,,3,15,", "line 5: valid_from_at: '2026-02-31' is no moment such as 2026-01-31T00:00:00Z"),
        ("anthropic,claude,2026-01-01,,much,6,22,", "line 5: prompt_tokens_above: 'much' is no whole number of tokens"),
        (f"anthropic,claude,2026-01-01,,{2**31},6,22,", f"line 5: prompt_tokens_above: '{2**31}' is no whole number of tokens"),
        ("anthropic,claude,2026-01-01,,200000,6,22,", "line 5: there is a tier above 200000 tokens already"),
        ("anthropic,claude,,,1,6,22,", "line 5: a tier needs a line of its price: the same provider, model and moment"),
        ("anthropic,claude,2026-01-01,x,1,6,22,", "line 5: source belongs into the line of the price, not into that of a tier"),
        (f"a,m,,{'s' * 65},,3,15,", "line 5: source: at most 64 characters"),
    ],
)  # fmt: skip
def test_a_fault_of_a_tier_or_moment_is_told_with_its_line(line, words):
    assert faults(TIERED + line) == [words]


def test_a_heading_says_what_it_may_be():
    assert faults("provider,name,prompt_usd_per_mtok,provider\n") == [
        "line 1: there is no column 'name'",
        "line 1: the column model is missing",
        "line 1: the column completion_usd_per_mtok is missing",
        "line 1: the column provider is there twice",
        "line 1: the columns are " + ", ".join(price_csv.COLUMNS),
    ]
    assert "line 1: the column provider is missing" in faults("")


@pytest.mark.django_db
def test_the_book_comes_back_as_it_was_written():
    make_price(
        upstream_model="=cmd()",
        source="@home",
        cache_read_usd_per_mtok=Decimal(0),
        reasoning_usd_per_mtok=Decimal("0.00000001"),
        image_usd=Decimal("0.002"),
    )
    old = make_price(upstream_model='a,"b"')
    make_price(upstream_model='a,"b"', valid_from_at=NOW, prompt_usd_per_mtok=Decimal(100))
    PriceTier.objects.create(
        price=old,
        prompt_tokens_above=200_000,
        prompt_usd_per_mtok=Decimal(6),
        completion_usd_per_mtok=Decimal("22.5"),
    )
    written = "".join(price_csv.write())
    assert "\n=cmd" not in written
    assert ",=cmd" not in written
    assert compare(price_csv.read(written).offers, now=NOW).changes == []

    Price.objects.all().delete()
    changes = compare(price_csv.read(written).offers, now=NOW).changes
    book_changes(changes, now=NOW)

    assert "".join(price_csv.write()) == written
    assert Price.objects.get(upstream_model="=cmd()").source == "@home"

"""The picture of keys and prices: what is in it, and how other processes learn that it has changed."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounting import keys, snapshot
from accounting.models import Project
from accounting.snapshot import KeyPicture, KeyRing
from tests.factories.accounting import make_key, make_price, make_team

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.django_db
def test_a_picture_holds_every_key_by_its_digest():
    team = make_team()
    project = Project.objects.create(team=team, slug="web")
    mine = make_key(team, "laptop", project=project, allowed_aliases=["a"], expires_at=JUNE)
    theirs = make_key(make_team("birch"), "phone")

    ring = snapshot.build()

    assert ring.by_digest == {
        keys.digest_of(mine.secret): KeyPicture(
            mine.row.pk, "laptop", "alder", "web", True, JUNE, ("a",)
        ),
        keys.digest_of(theirs.secret): KeyPicture(
            theirs.row.pk, "phone", "birch", "", True, None, ()
        ),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("what", ["key", "team"])
def test_a_key_is_off_when_it_or_its_team_is(what):
    minted = make_key()
    row = minted.row if what == "key" else minted.row.team
    row.enabled = False
    row.save()

    [key] = snapshot.build().by_digest.values()

    assert key.enabled is False


@pytest.mark.django_db
def test_what_the_price_book_leaves_empty_is_filled_in():
    make_price()

    tag = snapshot.build().price_at("openrouter", "model", JUNE)

    assert tag is not None
    assert tag.cache_read_usd_per_mtok == 3  # as prompt
    assert tag.cache_write_5m_usd_per_mtok == 3  # as prompt
    assert tag.cache_write_1h_usd_per_mtok == 3  # as for 5 minutes
    assert tag.reasoning_usd_per_mtok == 15  # as completion
    assert tag.request_usd == 0


@pytest.mark.django_db
def test_what_the_price_book_says_is_kept_even_when_it_is_zero():
    make_price(
        cache_read_usd_per_mtok=Decimal(0),
        cache_write_5m_usd_per_mtok=Decimal(4),
        cache_write_1h_usd_per_mtok=Decimal(6),
        reasoning_usd_per_mtok=Decimal(0),
        request_usd=Decimal("0.01"),
    )

    tag = snapshot.build().price_at("openrouter", "model", JUNE)

    assert tag is not None
    assert tag.cache_read_usd_per_mtok == 0
    assert tag.cache_write_5m_usd_per_mtok == 4
    assert tag.cache_write_1h_usd_per_mtok == 6
    assert tag.reasoning_usd_per_mtok == 0
    assert tag.request_usd == Decimal("0.01")


@pytest.mark.django_db
def test_the_price_of_a_moment_is_the_newest_that_was_in_force_then():
    old = make_price()
    new = make_price(valid_from_at=JUNE)
    ring = snapshot.build()

    def pk_at(moment: datetime) -> int | None:
        tag = ring.price_at("openrouter", "model", moment)
        return tag.pk if tag else None

    assert pk_at(datetime(2025, 12, 31, tzinfo=UTC)) is None
    assert pk_at(JANUARY) == old.pk
    assert pk_at(datetime(2026, 5, 31, 23, 59, tzinfo=UTC)) == old.pk
    assert pk_at(JUNE) == new.pk
    assert ring.price_at("openrouter", "other", JUNE) is None
    assert ring.price_at("other", "model", JUNE) is None


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("claude", "claude", True),
        ("claude", "claude-3", False),
        ("claude-*", "claude-", True),
        ("claude-*", "claude-sonnet", True),
        ("claude-*", "xclaude-sonnet", False),
        ("*-mini", "gpt-mini", True),
        ("*-mini", "gpt-mini-2", False),
        ("*", "", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "abc", True),
        ("a*b*c", "a-c-b", False),
        ("a*b*c", "ac", False),
        ("ab*ba", "aba", False),  # head and tail may not share a character
        ("a*b*b", "ab", False),
        ("a*xy*xy*c", "a-xy-xy-c", True),
        ("a*xy*xy*c", "a-xyxc", False),
        ("a.c", "abc", False),  # no regular expression
    ],
)
def test_a_star_stands_for_any_text(pattern, name, fits):
    key = KeyPicture(1, "laptop", "alder", "", True, None, ("something-else", pattern))

    assert key.may_ask_for(name) is fits


def test_no_patterns_allow_every_name():
    assert KeyPicture(1, "laptop", "alder", "", True, None, ()).may_ask_for("anything")


@pytest.mark.django_db
def test_every_saved_and_deleted_row_counts_the_version_up():
    assert snapshot.version() == 0
    team = make_team()
    assert snapshot.version() == 1
    minted = make_key(team)
    assert snapshot.version() == 2
    project = Project.objects.create(team=team, slug="web")
    assert snapshot.version() == 3
    price = make_price()
    assert snapshot.version() == 4
    price.delete()
    project.delete()
    minted.row.delete()
    assert snapshot.version() == 7
    snapshot.bump()
    assert snapshot.version() == 8
    assert snapshot.build().number == 8


@pytest.mark.django_db
def test_looking_at_the_version_is_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        snapshot.version()


def test_a_picture_put_in_force_is_the_current_one():
    held = snapshot.current()
    ring = KeyRing(number=5, by_digest={}, prices={})
    try:
        snapshot.put_in_force(ring)
        assert snapshot.current() is ring
    finally:
        snapshot.put_in_force(held)

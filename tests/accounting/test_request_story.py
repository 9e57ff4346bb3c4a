"""What is told of one request: why each attempt led to the next, and who may read what was said in it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User

from accounting.models import Adjustment
from accounting.principals import Principal
from accounting.request_logs import Capture
from accounting.request_story import may_read_messages, story_of, whole_story_of
from tests.factories.accounting import make_price, make_request_log, make_usage

pytestmark = pytest.mark.django_db

STAFF = Principal("root", is_staff=True)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def attempts(*several: dict, number: int = 1, **common) -> str:
    """A request with these attempts; its id."""
    request_id = f"req_{number:028x}"
    for count, fields in enumerate(several or ({},), 1):
        made = {"attempt": count, "started_at": NOON + timedelta(seconds=count), **common, **fields}
        make_usage(id=f"{number:028x}-{made['attempt']}", request_id=request_id, **made)
    return request_id


def told(request_id: str, **options):
    story = whole_story_of(request_id, **options)
    assert story is not None
    return story


def test_attempts_say_how_they_ended_and_who_came_next():
    story = told(
        attempts(
            {"status": "failed", "error": "UpstreamRateLimited", "upstream_status": 429,
             "error_message": "slow down", "duration_ms": 200, "provider": "first"},
            {"status": "failed", "error": "ConnectionRefused", "duration_ms": 500, "provider": "first",
             "after_error": "UpstreamRateLimited"},
            {"provider": "second", "upstream_model": "m", "finish_reason": "stop",
             "after_error": "ConnectionRefused"},
        )
    )  # fmt: skip
    first, second, third = story.attempts

    assert first.outcome == "It failed with UpstreamRateLimited, status 429: slow down."
    assert first.next == "Asked again there 800 ms later: attempt 2."  # 1000 - 200
    assert second.outcome == "It failed with ConnectionRefused, no answer."
    assert second.next == "Attempt 3 went to second: m, 500 ms later."
    assert (third.outcome, third.next) == ("It answered (stop).", "")


def test_an_attempt_that_reached_nobody_is_told_of():
    story = told(
        attempts(
            {"status": "failed", "error": "UpstreamBroken"},
            {"attempt": 3, "provider": "third", "after_error": "ProviderBusy"},
        )
    )

    assert story.is_missing_attempts
    assert story.request.tries == 3
    assert story.attempts[0].next.startswith(
        "1 attempt reached no provider (ProviderBusy). Attempt 3"
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": "client_closed"}, "The client hung up"),
        (
            {"status": "interrupted", "error_message": "The process ended."},
            "It was interrupted. The p",
        ),
        ({"status": "failed"}, "It failed with an error, no answer."),
    ],
)
def test_every_end_has_its_sentence(fields, said):
    (attempt,) = told(attempts(fields)).attempts

    assert attempt.outcome.startswith(said)
    assert bool(attempt.next) == (fields["status"] == "failed")


def test_a_cost_of_the_price_book_has_its_arithmetic():
    price = make_price(provider="openrouter", upstream_model="m")
    story = told(
        attempts({"upstream_model": "m", "cost_source": "price_book", "price_id": price.pk,
                  "cost_usd": Decimal("0.000045"), "prompt_tokens": 10, "completion_tokens": 1})
    )  # fmt: skip
    (attempt,) = story.attempts

    assert attempt.bill.agrees  # 10 * 3 + 1 * 15 = 45 millionths
    assert attempt.bill.price == price


def test_a_price_that_is_gone_leaves_the_booked_figure():
    (attempt,) = told(
        attempts({"cost_source": "price_book", "price_id": 77, "cost_usd": Decimal(1)})
    ).attempts

    assert attempt.bill is None
    assert attempt.cost_usd == 1


def test_what_is_unpriced_says_why_and_whether_that_has_changed():
    (unknown,) = told(attempts({}, number=1)).attempts
    (no_price,) = told(
        attempts({"prompt_tokens": 1, "completion_tokens": 1, "upstream_model": "m"}, number=2)
    ).attempts

    assert "no tokens" in unknown.why_unpriced
    assert "no price for m at openrouter" in no_price.why_unpriced
    assert no_price.price_since is None
    price = make_price(upstream_model="m")
    make_price(upstream_model="m", valid_from_at=NOON + timedelta(days=1))
    assert told(f"req_{2:028x}").attempts[0].price_since == price


def test_a_failed_attempt_is_not_unpriced():
    (attempt,) = told(attempts({"status": "failed"})).attempts

    assert not attempt.is_unpriced


def test_adjustments_are_listed_and_summed():
    request_id = attempts({"cost_usd": Decimal(2)}, {})
    for amount, record in (("0.5", 1), ("-0.1", 1), ("3", 2)):
        Adjustment.objects.create(
            record_id=f"{1:028x}-{record}", record_started_at=NOON, team="alder", key_id=1,
            amount_usd=Decimal(amount), reason="recost", run=amount, at=NOON, by="root",
        )  # fmt: skip
    story = told(request_id)
    first, second = story.attempts

    assert first.cost_usd == Decimal("2.4")  # 2 + 0.5 - 0.1
    assert second.cost_usd == 3  # it was unpriced
    assert second.why_unpriced == ""
    assert story.request.cost_usd == Decimal("5.4")


def test_requests_of_the_session_stand_beside_it():
    for number in range(1, 15):
        attempts({}, {}, number=number, session="s-1", started_at=NOON + timedelta(minutes=number))
    attempts({}, number=20, started_at=NOON + timedelta(minutes=7), session="other")
    story = told(f"req_{7:028x}")

    assert [int(each.request_id[4:], 16) for each in story.beside] == [
        12,
        11,
        10,
        9,
        8,
        6,
        5,
        4,
        3,
        2,
    ]
    assert int(story.next.request_id[4:], 16) == 8
    assert int(story.previous.request_id[4:], 16) == 6


def test_without_a_session_those_of_the_key_stand_beside_it():
    attempts({}, number=1, key_id=5)
    attempts({}, number=2, key_id=6)
    attempts({}, number=3, key_id=5, started_at=NOON + timedelta(hours=1))
    story = told(f"req_{1:028x}")

    assert [each.request_id for each in story.beside] == [f"req_{3:028x}"]
    assert story.previous is None


def test_others_of_a_session_are_shown_only_to_those_who_may_see_them():
    attempts({}, number=1, session="s", member="ada")
    attempts({}, number=2, session="s", member="bob")
    attempts({}, number=3, session="s", team="birch", member="ada")
    ada = Principal("ada", joined=frozenset({"alder"}))

    story = story_of(f"req_{1:028x}", ada, AnonymousUser())
    assert story is not None
    assert story.beside == ()
    assert story_of(f"req_{2:028x}", ada, AnonymousUser()) is None


def test_an_unknown_request_has_no_story():
    assert whole_story_of("req_1") is None
    assert whole_story_of("\0") is None
    assert story_of("req_1", STAFF, AnonymousUser()) is None
    assert story_of("\0", STAFF, AnonymousUser()) is None


def test_a_story_takes_the_same_few_queries_however_long_it_is(django_assert_max_num_queries):
    price = make_price()
    several = [{"cost_source": "price_book", "price_id": price.pk, "cost_usd": Decimal(1)}] * 6
    attempts(*several, session="s", prompt_tokens=1, completion_tokens=1)
    for number in range(2, 9):
        attempts({}, number=number, session="s")

    with django_assert_max_num_queries(17):
        whole_story_of(f"req_{1:028x}")


# Who may read what was said.


def staff_member(*permissions: str) -> User:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.mark.parametrize(
    ("principal", "may"),
    [
        (Principal("lea", led=frozenset({"alder"})), True),
        (Principal("lea", led=frozenset({"birch"})), False),
        (Principal("aud", audited=frozenset({"alder"}), joined=frozenset({"alder"})), False),
        (Principal("ada", joined=frozenset({"alder"})), True),
        (Principal("ada", joined=frozenset({"birch"})), False),
        (Principal("bob", joined=frozenset({"alder"})), False),
        (Principal("ada"), False),
    ],
    ids=["lead", "other-lead", "auditor", "own", "left-the-team", "colleague", "outsider"],
)
def test_bodies_are_for_leads_and_for_members_their_own(principal, may):
    assert may_read_messages(AnonymousUser(), principal, team="alder", member="ada") is may


def test_a_key_that_is_nobodys_is_nobodys_own():
    anonymous = Principal("", joined=frozenset({"alder"}))

    assert not may_read_messages(AnonymousUser(), anonymous, team="alder", member="")


def test_an_auditor_may_read_their_own():
    auditor = Principal("aud", audited=frozenset({"alder"}), joined=frozenset({"alder"}))

    assert may_read_messages(AnonymousUser(), auditor, team="alder", member="aud")


def test_staff_need_the_permission_that_the_admin_asks_for():
    assert not may_read_messages(staff_member(), STAFF, team="alder", member="")
    User.objects.all().delete()
    reader = staff_member("view_requestlog")
    assert may_read_messages(reader, STAFF, team="alder", member="")


def test_bodies_are_read_only_where_they_were_asked_for_and_may_be():
    request_id = attempts({})
    kept = Capture(1000)
    kept.add(b'{"a": 1}')
    make_request_log(id=f"{1:028x}-1", request_id=request_id, bodies={"client_request": kept})
    lead, other = (
        Principal("lea", led=frozenset({"alder"})),
        Principal("a", audited=frozenset({"alder"})),
    )

    without = story_of(request_id, lead, AnonymousUser())
    with_them = story_of(request_id, lead, AnonymousUser(), with_messages=True)
    refused = story_of(request_id, other, AnonymousUser(), with_messages=True)

    assert without.attempts[0].log is not None
    assert without.attempts[0].messages == ()
    assert with_them.attempts[0].messages[0]["text"] == '{\n  "a": 1\n}'
    assert refused.attempts[0].messages == ()
    assert not refused.shows_messages

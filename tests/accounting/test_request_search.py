"""The search of the request log: what it finds, in which order, a page at a time, and for whom."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounting.models import Adjustment
from accounting.principals import Principal
from accounting.request_query import Place, query_of, read_search
from accounting.request_search import FoundPage, find_by_id, find_page
from tests.factories.accounting import make_usage

pytestmark = pytest.mark.django_db

STAFF = Principal("root", is_staff=True)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def request(number: int, *attempts: dict, **common) -> str:
    """A request with attempts that follow each other by a second; its id."""
    request_id = f"req_{number:028x}"
    began_at = common.pop("at", NOON + timedelta(minutes=number))
    for count, fields in enumerate(attempts or ({},), 1):
        made = {"attempt": count, "started_at": began_at + timedelta(seconds=count), **common}
        make_usage(**{"id": f"{number:028x}-{count}", "request_id": request_id, **made, **fields})
    return request_id


def find(principal: Principal = STAFF, size: int = 50, **query: str) -> FoundPage:
    named = {name.rstrip("_"): value for name, value in query.items()}
    return find_page(read_search(named), principal, size=size)


def ids(page: FoundPage) -> list[str]:
    return [found.request_id for found in page.requests]


def test_requests_come_newest_first():
    old, new = request(1), request(2)

    assert ids(find()) == [new, old]


def test_nothing_is_found_in_an_empty_ledger():
    assert find() == FoundPage(())


def test_attempts_are_folded_into_their_request():
    request(
        1,
        {"status": "failed", "error": "UpstreamBroken", "provider": "first", "duration_ms": 400},
        {"after_error": "UpstreamBroken", "cost_usd": Decimal("0.5"), "prompt_tokens": 7,
         "provider": "second", "duration_ms": 600, "tags": ",a,b,"},
    )  # fmt: skip
    (found,) = find().requests

    assert found.last.provider == "second"
    assert found.is_rescued
    assert (found.tries, found.cost_usd, found.prompt_tokens) == (2, Decimal("0.5"), 7)
    assert found.duration_ms == 1600  # a second to the second attempt, and its 600 ms
    assert found.tags == ["a", "b"]


def test_costs_are_summed_with_their_adjustments():
    request(1, {"cost_usd": Decimal(1)}, {"cost_usd": Decimal(2)})
    for amount in ("0.25", "-0.05"):
        Adjustment.objects.create(
            record_id=f"{1:028x}-2", record_started_at=NOON, team="alder", key_id=1,
            amount_usd=Decimal(amount), reason="recost", run=amount, at=NOON,
        )  # fmt: skip
    (found,) = find().requests

    assert found.cost_usd == Decimal("3.2")  # 1 + 2 + 0.25 - 0.05
    assert not found.is_unpriced


def test_a_request_without_a_price_is_unpriced_and_not_free():
    request(1)
    request(2, {"status": "failed"})
    failed, unpriced = find().requests

    assert (unpriced.cost_usd, unpriced.is_unpriced) == (None, True)
    assert (failed.cost_usd, failed.is_unpriced) == (None, False)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"team": "birch"}, {"team": "birch"}),
        ({"project": "web"}, {"project": "web"}),
        ({"key": "desk"}, {"key_name": "desk"}),
        ({"key": "77"}, {"key_id": 77}),
        ({"key": "2024"}, {"key_name": "2024"}),
        ({"member": "ada"}, {"member": "ada"}),
        ({"developer": "u-1"}, {"end_user": "u-1"}),
        ({"session": "s-1"}, {"session": "s-1"}),
        ({"agent": "a-1"}, {"agent": "a-1"}),
        ({"alias": "fast"}, {"alias": "fast"}),
        ({"alias": "gpt-*"}, {"alias": "gpt-5"}),
        ({"model": "llama"}, {"upstream_model": "llama"}),
        ({"provider": "ollama"}, {"provider": "ollama"}),
        ({"kind": "ollama"}, {"provider_kind": "ollama"}),
        ({"upstream_id": "gen-1"}, {"upstream_id": "gen-1"}),
        ({"tag": "nightly"}, {"tags": ",ci,nightly,"}),
        ({"tag": "(none)"}, {"tags": ""}),
        ({"session": "(none)", "agent": "a-1"}, {"agent": "a-1"}),
        ({"path": "litellm"}, {"provider_kind": "litellm_sdk"}),
        ({"path": "direct", "tag": "x"}, {"provider_kind": "openrouter", "tags": ",x,"}),
        ({"status": "failed"}, {"status": "failed"}),
        ({"status": "client_closed"}, {"status": "client_closed"}),
        ({"status": "interrupted"}, {"status": "interrupted"}),
        ({"error": "UpstreamBroken"}, {"status": "failed", "error": "UpstreamBroken"}),
        ({"min_cost": "0.2"}, {"cost_usd": Decimal("0.2")}),
        ({"min_ms": "5000"}, {"duration_ms": 5000}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_it_is_searched_by(query, fields):
    request(1, tags=",day,", cost_usd=Decimal("0.1"), duration_ms=10)
    wanted = request(2, **fields)
    request(3, tags=",night,", cost_usd=Decimal("0.1"), duration_ms=10)

    assert ids(find(**query)) == [wanted]


def test_a_tag_is_found_whole_and_in_its_case():
    request(1, tags=",nightly,")

    assert ids(find(tag="night")) == ids(find(tag="Nightly")) == []


def test_a_failure_that_was_rescued_is_no_failed_request():
    rescued = request(1, {"status": "failed", "error": "UpstreamBroken"}, {})
    failed = request(2, {"status": "failed"}, {"status": "failed"})

    assert ids(find(status="failed")) == [failed]
    assert ids(find(status="rescued")) == [rescued]
    assert ids(find(status="succeeded")) == [rescued]
    assert ids(find(error="UpstreamBroken")) == [rescued]


@pytest.mark.parametrize(
    ("from_", "to", "found"),
    [
        ("2026-11-20", "2026-11-20", [2, 1]),
        ("2026-11-21", "", [3]),
        ("", "2026-11-19", []),
        ("2026-11-20T12:02", "2026-11-20T12:02", [2]),
        ("2026-11-20T13:02+01:00", "2026-11-20T12:02:01+00:00", []),
    ],
)
def test_times_are_days_or_minutes_and_include_their_end(from_, to, found):
    request(1)
    request(2)
    request(3, at=NOON + timedelta(days=1))

    assert ids(find(from_=from_, to=to)) == [f"req_{number:028x}" for number in found]


@pytest.mark.parametrize(
    ("name", "value"),
    [("from", "yesterday"), ("to", "2026-13-01"), ("to", "9999-12-31"), ("min_cost", "much"),
     ("min_cost", "NaN"), ("min_cost", "1e30"), ("min_ms", "-1"), ("min_ms", "9" * 30), ("min_ms", "²"),
     ("status", "fine"), ("path", "winding"), ("before", "x"), ("before", "2026-11-20~a"), ("before", "~")],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out_and_told(name, value):
    request(1)
    search = read_search({name: value})

    assert len(search.wrong) == 1
    assert not search.is_narrow
    assert ids(find_page(search, STAFF)) == [f"req_{1:028x}"]


def test_zero_bytes_break_nothing():
    request(1)

    assert ids(find(team="b\0", tag="a\0", key="\0k")) == []
    assert ids(find(before="2026-11-21T00:00:00Z~\0")) == [f"req_{1:028x}"]
    assert find_by_id("\0", STAFF) == ""


def test_an_address_reads_back_as_the_same_search():
    query = {"team": "alder", "key": "7", "tag": "ci", "status": "failed", "from": "2026-11-20T00:00",
             "to": "2026-11-20T23:59", "min_cost": "0.25", "min_ms": "5", "model": "claude-*"}  # fmt: skip
    search = read_search(query)

    assert query_of(search) == query
    assert read_search(query_of(search)) == search


# Pages.


def walk(size: int, **query: str) -> list[list[str]]:
    """The ids on each page, from the first to the last."""
    pages, before = [], ""
    while True:
        page = find(size=size, before=before, **query)
        pages.append(ids(page))
        if page.next is None:
            return pages
        before = str(page.next)


def flat(pages: list[list[str]]) -> list[str]:
    return list(chain.from_iterable(pages))


def test_pages_follow_each_other_without_gap_or_repetition():
    made = [request(number) for number in range(1, 8)]

    assert walk(3) == [made[:3:-1], made[3:0:-1], made[:1]]


def test_records_of_one_moment_are_told_apart_by_their_ids():
    made = [request(number, at=NOON) for number in range(1, 6)]

    assert flat(walk(2)) == made[::-1]


def test_a_request_whose_attempts_lie_around_the_end_of_a_page_is_shown_once():
    slow = request(
        1, {"started_at": NOON, "status": "failed"}, {"started_at": NOON + timedelta(hours=1)}
    )
    between = [request(number) for number in range(2, 5)]

    assert walk(2) == [[slow, between[2]], [between[1], between[0]]]


def test_time_that_holds_nothing_is_skipped():
    request(1, at=NOON - timedelta(days=900))
    new = request(2)

    assert ids(find(size=1)) == [new]
    assert flat(walk(1)) == [new, f"req_{1:028x}"]


def test_a_page_costs_the_same_few_queries_however_many_records_there_are(
    django_assert_max_num_queries,
):
    for number in range(1, 80):
        request(number)
    with django_assert_max_num_queries(6):
        find(size=20)
    with django_assert_max_num_queries(7):
        find(size=20, before=str(Place(NOON + timedelta(minutes=40), "")))


def test_a_search_that_takes_too_long_stops_and_goes_on_from_there():
    """The clock says that each step takes a second."""
    wanted = request(1, at=NOON - timedelta(days=30), alias="rare")
    for number in range(2, 40):
        request(number, at=NOON - timedelta(days=number % 30))
    seconds = iter(range(10_000))
    found, before, stops = [], "", 0
    while not found:
        search = read_search({"alias": "rare", "before": before})
        page = find_page(search, STAFF, clock=lambda: float(next(seconds)))
        found = ids(page)
        stops += page.stopped_at is not None
        assert page.next is not None or found
        before = str(page.next)

    assert found == [wanted]
    assert stops > 3


records = st.lists(
    st.tuples(
        st.integers(0, 6),  # request
        st.integers(0, 4000),  # minutes ago
        st.sampled_from(["alder", "birch"]),
        st.sampled_from(["succeeded", "failed"]),
    ),
    max_size=25,
)


@given(records=records, size=st.integers(1, 4), team=st.sampled_from(["", "alder"]))
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_all_that_matches_is_found_once_and_in_order(records, size, team, django_db_blocker):
    from django.db import transaction

    with transaction.atomic():
        attempts: dict[int, int] = {}
        newest: dict[str, datetime] = {}
        for number, minutes, of_team, status in records:
            attempts[number] = attempts.get(number, 0) + 1
            at = NOON - timedelta(minutes=minutes)
            request_id = f"req_{number:028x}"
            make_usage(id=f"{number:028x}-{attempts[number]}", request_id=request_id, team=of_team,
                       attempt=attempts[number], started_at=at, status=status)  # fmt: skip
            if team in ("", of_team):
                newest[request_id] = max(at, newest.get(request_id, at))
        found = flat(walk(size, team=team))

        assert sorted(found) == sorted(newest)
        assert all(newest[a] >= newest[b] for a, b in pairwise(found))
        transaction.set_rollback(True)


# Who sees what.


@pytest.mark.parametrize(
    ("principal", "seen"),
    [
        (STAFF, {"ada's", "team's", "birch's"}),
        (Principal("lea", led=frozenset({"alder"})), {"ada's", "team's"}),
        (Principal("aud", audited=frozenset({"alder"})), {"ada's", "team's"}),
        (Principal("ada", joined=frozenset({"alder"})), {"ada's"}),
        (Principal("bob", joined=frozenset({"alder"})), set()),
        (Principal("ada", joined=frozenset({"birch"})), set()),
        (Principal("out"), set()),
        (Principal(""), set()),
    ],
    ids=["staff", "lead", "auditor", "member", "other", "elsewhere", "outsider", "nobody"],
)
def test_everybody_finds_what_they_may_see(principal, seen):
    names = {
        request(1, member="ada"): "ada's",
        request(2): "team's",
        request(3, team="birch"): "birch's",
    }

    assert {names[request_id] for request_id in ids(find(principal))} == seen
    by_id = {name for request_id, name in names.items() if find_by_id(request_id, principal)}
    assert by_id == seen


@pytest.mark.parametrize("said", ["req_{0}", "{0}", "{0}-1", " {0}-2 ", "req_{0}-9"])
def test_a_request_is_found_by_its_id_and_by_those_of_its_records(said):
    wanted = request(26)

    assert find_by_id(said.format(f"{26:028x}"), STAFF) == wanted


def test_an_id_that_names_nothing_finds_nothing():
    request(1)

    assert find_by_id("gen-123", STAFF) == find_by_id("", STAFF) == ""

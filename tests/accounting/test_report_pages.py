"""Every report page and every export, asked by everybody: a page that is added is walked without being named here."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import URLResolver, reverse

from accounting.models import Budget, Membership
from accounting.report_query import DIMENSIONS
from accounting.urls import urlpatterns
from tests.factories.accounting import make_key, make_team, make_usage

MONTH = f"{datetime.now(UTC):%Y-%m}"
OPEN = {"sign_in", "sign_out"}
"""Open to everybody."""
TESTED_ELSEWHERE = {
    "requests",
    "request",
    "request_body",
    "audit",
    "reconciliation",
    "records",
    "teams",
    "team",
    "team_add_key",
    "team_rotate_key",
    "team_revoke_key",
    "team_set_allowance",
    "team_set_member",
}
"""Asked by everybody in tests of their own."""
SAMPLE = {"dimension": ["team"], "team": ["alder"], "month": [MONTH]}
ADDRESSES = [
    "/api/usage/",
    *(f"/usage/by/{name}/" for name in DIMENSIONS),
    "/usage/top/?order=duration",
    "/usage/performance/?agent=planner",
]
for pattern in urlpatterns:
    if isinstance(pattern, URLResolver) or pattern.name in OPEN | TESTED_ELSEWHERE:
        continue
    names = {name: SAMPLE[name][0] for name in pattern.pattern.converters if name in SAMPLE}
    if len(names) == len(pattern.pattern.converters):
        ADDRESSES.append(reverse(f"accounting:{pattern.name}", kwargs=names))
    else:
        raise AssertionError(f"Name an example for {pattern} in SAMPLE, or test it by itself.")
FORMATS = ("", "csv", "json")
STATEMENT = f"/usage/statements/alder/{MONTH}/"


@pytest.fixture
def cast(db, django_user_model):
    """Usage of three people in two teams, and someone of each role."""
    alder, birch = make_team("alder"), make_team("birch")
    people = {
        name: django_user_model.objects.create_user(name)
        for name in ("lead", "auditor", "member", "colleague", "stranger", "outsider")
    }
    people["staff"] = django_user_model.objects.create_user("staff", is_staff=True)
    for name, team, role in (
        ("lead", alder, "lead"),
        ("auditor", alder, "auditor"),
        ("member", alder, "member"),
        ("colleague", alder, "member"),
        ("stranger", birch, "lead"),
    ):
        Membership.objects.create(user=people[name], team=team, role=role)
    now = datetime.now(UTC) - timedelta(seconds=1)
    for team, member, mark, cost in (
        ("alder", "member", "own", "0.10"),
        ("alder", "colleague", "theirs", "0.20"),
        ("birch", "stranger", "foreign", "0.40"),
    ):
        make_usage(
            started_at=now,
            team=team,
            member=member,
            project=f"{mark}-project",
            key_name=f"{mark}-key",
            key_id={"own": 1, "theirs": 2, "foreign": 3}[mark],
            upstream_model=f"{mark}-model",
            provider=f"{mark}-provider",
            provider_kind=f"{mark}-kind",
            alias=f"{mark}-alias",
            agent="planner",
            end_user=f"{mark}-person",
            session=f"{mark}-session",
            tags=f",{mark}-tag,",
            prompt_tokens=100,
            completion_tokens=10,
            ttft_ms=50,
            duration_ms=100,
            cost_usd=Decimal(cost),
        )
    Budget.objects.create(team=alder, amount_usd=Decimal(7), window="month")
    Budget.objects.create(team=birch, amount_usd=Decimal(8), window="month")
    own_key = make_key(alder, "own-key", owner=people["member"]).row
    Budget.objects.create(key=own_key, amount_usd=Decimal(3), window="day")
    return people


def asked(client, person, address, kind=""):
    if person:
        client.force_login(person)
    query = "&" if "?" in address else "?"
    return client.get(address + (f"{query}format={kind}" if kind else ""))


def asked_in_all_formats(client, person, address):
    """The page and its exports, which all have one status; all that they say."""
    formats = FORMATS[:1] if address.startswith("/api/") else FORMATS
    answers = [asked(client, person, address, kind) for kind in formats]
    [status] = {answer.status_code for answer in answers}
    return status, "".join(answer.content.decode() for answer in answers)


every_page = pytest.mark.parametrize("address", ADDRESSES)


@every_page
def test_staff_sees_all(client, cast, address):
    status, text = asked_in_all_formats(client, cast["staff"], address)

    assert status == 200
    if address not in {STATEMENT, "/usage/performance/?agent=planner", "/usage/by/agent/"}:
        for word in ("foreign", "birch", "stranger"):
            if word in text:
                break
        else:
            assert "foreign" in text or "kind" in address


@every_page
@pytest.mark.parametrize("role", ["lead", "auditor"])
def test_a_lead_and_an_auditor_see_their_team_and_no_other(client, cast, role, address):
    status, text = asked_in_all_formats(client, cast[role], address)

    assert status == 200
    for word in ("foreign", "birch", "stranger"):
        assert word not in text


@every_page
def test_a_member_sees_their_own_rows(client, cast, address):
    status, text = asked_in_all_formats(client, cast["member"], address)

    assert status == (404 if address == STATEMENT else 200)
    for word in ("foreign", "birch", "theirs", "colleague"):
        assert word not in text


@every_page
def test_the_lead_of_another_team_sees_nothing_of_this_one(client, cast, address):
    status, text = asked_in_all_formats(client, cast["stranger"], address)

    assert status == (404 if address == STATEMENT else 200)
    for word in ("own-", "theirs", "colleague"):
        assert word not in text


@every_page
def test_an_outsider_is_told_whom_to_ask(client, cast, address):
    status, text = asked_in_all_formats(client, cast["outsider"], address)

    assert status == 403
    if not address.startswith("/api/"):
        assert "Ask your team's lead" in text


@every_page
@pytest.mark.django_db
def test_nobody_signed_in_is_asked_to_sign_in(client, address):
    status, _text = asked_in_all_formats(client, None, address)

    if address.startswith("/api/"):
        assert status == 401
    else:
        assert status == 302
        assert client.get(address).url.startswith("/usage/sign-in/?next=")


@every_page
def test_empty_pages_help(client, admin_user, address):
    status, _text = asked_in_all_formats(client, admin_user, address)

    assert status == (404 if address == STATEMENT else 200)


@pytest.mark.django_db
def test_an_empty_period_says_what_to_do(admin_client, client, cast):
    page = admin_client.get("/usage/", {"from": "2020-01-01", "to": "2020-01-02"}).content.decode()
    client.force_login(cast["lead"])
    for_a_lead = client.get("/usage/", {"from": "2020-01-01", "to": "2020-01-02"}).content.decode()
    narrowed = client.get("/usage/", {"agent": "nobody"}).content.decode()

    assert "Nothing used in this period" in page
    assert "Make an API key" in page
    assert "/admin/" not in for_a_lead
    assert "Remove a word above" in narrowed


@pytest.mark.parametrize("path", ["alder/2026-13", "alder/nonsense", "alder/2026-1", "ash/2026-10"])
def test_absent_statements_look_like_those_of_others(client, cast, path):
    absent = asked(client, cast["lead"], f"/usage/statements/{path}/", "")
    others = asked(client, cast["lead"], f"/usage/statements/birch/{MONTH}/", "")

    assert absent.status_code == others.status_code == 404
    assert (
        absent.content.split(b"csrfmiddlewaretoken")[0]
        == others.content.split(b"csrfmiddlewaretoken")[0]
    )


def test_unknown_dimensions_and_tables_are_not_found(client, cast):
    assert asked(client, cast["staff"], "/usage/by/colour/", "").status_code == 404
    assert asked(client, cast["staff"], "/usage/?table=colour", "csv").status_code == 404
    assert asked(client, cast["staff"], f"{STATEMENT}?table=colour", "csv").status_code == 404


@pytest.mark.parametrize(
    "address", [address for address in ADDRESSES if not address.startswith("/api/")]
)
def test_the_csv_and_the_json_of_a_page_say_the_same(client, cast, address):
    tree = json.loads(asked(client, cast["staff"], address, "json").content)

    for name, table in tree["tables"].items():
        joined = f"{address}{'&' if '?' in address else '?'}table={name}"
        file = asked(client, cast["staff"], joined, "csv").content.decode()
        rows = list(csv.DictReader(io.StringIO(file)))
        lines = [*table["rows"], *([table["total"]] if "total" in table else [])]
        assert [list(map(_text, line.values())) for line in lines] == [
            list(row.values()) for row in rows
        ]


def _text(value):
    return "" if value is None else str(value)


@pytest.mark.parametrize(
    ("address", "most"),
    [
        ("/usage/", 4),
        ("/usage/by/team/", 4),
        ("/usage/by/session/", 4),
        ("/usage/by/tag/", 4),
        ("/usage/by/key/", 5),
        ("/usage/performance/", 3),
        ("/usage/caching/", 4),
        ("/usage/paths/", 3),
        ("/usage/top/", 2),
        ("/usage/budgets/", 4),
        ("/usage/statements/", 1),
        (STATEMENT, 4),
        ("/api/usage/", 1),
    ],
)
def test_pages_need_few_queries(client, cast, address, most, django_assert_max_num_queries):
    client.force_login(cast["staff"])
    with django_assert_max_num_queries(most + 4):  # the session, the person, their permissions
        client.get(address)


def test_names_are_shown_as_text_and_are_no_formulas(admin_client):
    make_usage(
        upstream_model="<script>alert(1)</script>", team="=cmd()", started_at=datetime.now(UTC)
    )
    for address in ("/usage/", "/usage/by/model/", "/usage/performance/", "/usage/top/"):
        assert "<script>alert" not in admin_client.get(address).content.decode()
    file = admin_client.get("/usage/by/team/", {"format": "csv"}).content.decode()

    assert "'=cmd()" in file


# Signing in.


@pytest.mark.django_db
def test_people_who_are_not_staff_sign_in_and_out(client, django_user_model):
    django_user_model.objects.create_user("ada", password="correct horse")
    page = client.get("/usage/sign-in/?next=/usage/caching/").content.decode()
    wrong = client.post("/usage/sign-in/", {"username": "ada", "password": "wrong"})
    right = client.post(
        "/usage/sign-in/",
        {"username": "ada", "password": "correct horse", "next": "/usage/caching/"},
    )

    assert 'value="/usage/caching/"' in page
    assert "Please enter a correct username and password" in wrong.content.decode()
    assert right.url == "/usage/caching/"
    assert client.get("/usage/sign-out/").status_code == 405
    assert client.post("/usage/sign-out/").url == "/usage/sign-in/"
    assert client.get("/usage/").status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_nowhere_else(client, django_user_model, elsewhere):
    django_user_model.objects.create_user("ada", password="correct horse")
    answer = client.post(
        "/usage/sign-in/", {"username": "ada", "password": "correct horse", "next": elsewhere}
    )

    assert answer.url == "/usage/"
    assert client.get("/usage/sign-in/", {"next": elsewhere}).url == "/usage/"

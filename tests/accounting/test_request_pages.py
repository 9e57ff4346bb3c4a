"""The pages of the request log, and their files: what they show, and to whom."""

import csv
import html
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from accounting.models import Adjustment, AuditEntry, Membership
from accounting.request_logs import Capture
from tests.factories.accounting import make_price, make_request_log, make_team, make_usage

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIST = "/usage/requests/"
EVIL = "<script>alert(1)</script>"


def page_of(request_id: str) -> str:
    return f"{LIST}{request_id}/"


def request(number: int = 1, **fields) -> str:
    request_id = f"req_{number:028x}"
    least = {
        "id": f"{number:028x}-1",
        "request_id": request_id,
        "started_at": NOON + timedelta(minutes=number),
    }
    make_usage(**{**least, **fields})
    return request_id


def keep(request_id: str, body: bytes, bytes_max: int = 1000, **options) -> None:
    kept = Capture(bytes_max)
    kept.add(body)
    headers = {"client_request": [("x-title", EVIL)]}
    make_request_log(
        id=f"{request_id.removeprefix('req_')}-1", request_id=request_id, bytes_max=bytes_max,
        bodies={"client_request": kept}, headers=headers, **options,
    )  # fmt: skip


def text_of(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return html.unescape(answer.content.decode())


# The list.


def test_the_empty_log_helps(admin_client):
    text = text_of(admin_client.get(LIST))

    assert "No requests yet" in text
    assert reverse("admin:accounting_virtualkey_add") in text


def test_a_search_that_finds_nothing_says_what_to_do(admin_client):
    request()
    text = text_of(admin_client.get(LIST, {"team": "birch", "from": "2026-11-20T10:00"}))

    assert "Nothing found" in text
    assert "team: <b>birch</b>" in text
    assert 'href="?team=birch"' in text  # the chip that removes the time
    assert 'value="2026-11-20T10:00"' in text


def test_requests_are_listed_with_what_they_cost(admin_client):
    wanted = request(
        1, cost_usd=Decimal("1.5"), prompt_tokens=12_345, ttft_ms=250, duration_ms=61_000
    )
    request(2)
    text = text_of(admin_client.get(LIST))

    assert page_of(wanted) in text
    for said in ("$1.50", "12,345", "250 ms", "1 min 1 s", "unpriced", "2026-11-20 12:01:00"):
        assert said in text


def test_words_of_clients_are_shown_and_not_acted_on(admin_client):
    request_id = request(1, alias=EVIL, session=EVIL, agent=EVIL, error_message=EVIL, status="failed",
                         notes=[["dropped", EVIL, EVIL]])  # fmt: skip
    keep(request_id, EVIL.encode())

    for address in (LIST, page_of(request_id) + "?bodies=1", f"{LIST}?alias={EVIL}"):
        raw = admin_client.get(address).content.decode()
        assert EVIL not in raw
        assert html.escape(EVIL) in raw


def test_what_cannot_be_read_in_an_address_is_told(admin_client):
    assert "is no amount" in text_of(admin_client.get(LIST, {"min_cost": "much"}))


def test_pages_lead_to_the_next_and_back(admin_client):
    for number in range(1, 53):
        request(number)
    first = text_of(admin_client.get(LIST, {"team": "alder"}))
    after = first.split('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    second = text_of(admin_client.get(LIST + after))

    assert first.count("/usage/requests/req_") == 50
    assert second.count("/usage/requests/req_") == 2
    assert 'href="?team=alder">Newest' in second
    assert 'rel="next"' not in second


def test_a_search_that_took_too_long_offers_to_go_on(admin_client, monkeypatch):
    request(1)
    request(2, started_at=NOON - timedelta(days=90))
    monkeypatch.setattr("accounting.request_search.SEARCH_S", -1)
    text = text_of(admin_client.get(LIST, {"alias": "rare"}))

    assert "The search stopped there" in text
    assert "Search further back" in text


def test_the_list_refreshes_itself_where_that_is_asked_for(admin_client):
    request()

    assert "http-equiv" not in text_of(admin_client.get(LIST))
    assert '<meta http-equiv="refresh" content="10">' in text_of(
        admin_client.get(LIST, {"live": "1"})
    )
    later = {"live": "1", "before": "2026-11-21T00:00:00.000000Z~"}
    assert "http-equiv" not in text_of(admin_client.get(LIST, later))


def test_an_id_leads_to_its_request(admin_client):
    request_id = request()

    for said in (request_id, f"{1:028x}-1"):
        assert admin_client.get(LIST, {"q": said}).url == page_of(request_id)
    assert admin_client.get(LIST, {"q": "gen-1"}).url == f"{LIST}?upstream_id=gen-1"


def test_the_files_hold_what_is_shown_with_all_digits(admin_client):
    request(1, cost_usd=Decimal("0.000000000001"), alias="=1+1", tags=",a,b,")
    request(2, team="birch")
    told = admin_client.get(LIST, {"team": "alder", "format": "csv"})
    heading, row = csv.reader(io.StringIO(told.content.decode()))
    line = dict(zip(heading, row, strict=True))

    assert told["Content-Disposition"] == 'attachment; filename="requests.csv"'
    assert line["cost_usd"] == "0.000000000001"
    assert line["alias"] == "'=1+1"  # no formula
    assert line["tags"] == "a, b"
    tree = orjson.loads(admin_client.get(LIST, {"team": "alder", "format": "json"}).content)
    assert tree["requests"][0]["cost_usd"] == "0.000000000001"
    assert tree["search"] == {"team": "alder"}
    assert tree["next"] is None


# One request.


def test_a_request_is_told_from_its_begin_to_its_bill(admin_client):
    price = make_price(upstream_model="m")
    request_id = request(
        1, upstream_model="m", cost_source="price_book", price_id=price.pk, cost_usd=Decimal("0.000045"),
        prompt_tokens=10, completion_tokens=1, ttft_ms=300, duration_ms=1000, session="s-1",
        notes=[["dropped", "top_k", "no place for it"]],
    )  # fmt: skip
    Adjustment.objects.create(
        record_id=f"{1:028x}-1", record_started_at=NOON, team="alder", key_id=1, by="root", at=NOON,
        amount_usd=Decimal("0.000005"), reason="a better price", run="r",
    )  # fmt: skip
    text = text_of(admin_client.get(page_of(request_id)))

    for said in (
        "$3 per million", "$15 per million", "$0.00003", "$0.000015", "$0.000045",
        f"price {price.pk}", "a better price", "$0.00005",
        "top_k", "no place for it", "streaming", "log_bodies", "s-1",
    ):  # fmt: skip
        assert said in text
    assert f"{reverse('explain')}?record={1:028x}-1" in text
    assert "style=" not in text
    assert "<script>" not in text


def test_an_unpriced_request_leads_to_what_mends_it(admin_client):
    request_id = request(1, upstream_model="new model", prompt_tokens=1, completion_tokens=1)
    link = f"{reverse('admin:accounting_price_add')}?provider=openrouter&upstream_model=new%20model"

    text = text_of(admin_client.get(page_of(request_id)))
    assert link in text
    assert admin_client.get(link).status_code == 200
    make_price(upstream_model="new model")
    assert "has one by now" in text_of(admin_client.get(page_of(request_id)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cost_usd": Decimal("0.5")}, "$0.5</b>, the provider's own figure"),
        (
            {"cost_usd": Decimal("0.5"), "cost_source": "price_book", "price_id": 9},
            "no longer there",
        ),
        ({"status": "failed"}, "Nothing was booked"),
        ({}, "The provider told no tokens"),
        ({"cache_saved_usd": Decimal("-0.1")}, "−$0.1 by the price book: writing"),
        ({"tokens_estimated": True}, "Counted from the text"),
    ],
)
def test_every_cost_says_where_it_is_from(admin_client, fields, said):
    assert said in text_of(admin_client.get(page_of(request(1, **fields))))


def test_a_price_that_was_changed_since_is_told(admin_client):
    price = make_price(upstream_model="m")
    request_id = request(1, upstream_model="m", cost_source="price_book", price_id=price.pk,
                         cost_usd=Decimal(1), prompt_tokens=10, completion_tokens=1)  # fmt: skip

    assert "The price has been changed since" in text_of(admin_client.get(page_of(request_id)))


def test_bodies_are_shown_when_asked_for_whole_and_inert(admin_client):
    request_id = request()
    keep(request_id, orjson.dumps({"model": "m", "system": EVIL}))
    closed = admin_client.get(page_of(request_id))
    opened = admin_client.get(page_of(request_id), {"bodies": "1"})

    assert "system" not in text_of(closed)
    assert '"model": "m",\n' in text_of(opened)
    assert EVIL in text_of(opened)
    assert EVIL not in opened.content.decode()
    assert opened["Cache-Control"] == closed["Cache-Control"] == "no-store"


def test_who_opens_bodies_is_noted_in_the_audit_trail(admin_client):
    request_id = request()
    keep(request_id, b"{}")
    admin_client.get(page_of(request_id))
    assert not AuditEntry.objects.filter(action="use").exists()
    admin_client.get(page_of(request_id), {"bodies": "1"})
    admin_client.get(f"{page_of(request_id)}1/client_request.txt")

    saved, looked = AuditEntry.objects.filter(action="use").order_by("-number")
    assert looked.object_id == saved.object_id == f"{1:028x}-1"
    assert looked.actor == "admin"
    assert looked.after == {"how": "Looked at what was kept, masked.", "bodies": 1}


def test_a_body_that_was_cut_says_so(admin_client):
    request_id = request()
    keep(request_id, b"x" * 5000, bytes_max=100)

    assert "Cut here" in text_of(admin_client.get(page_of(request_id), {"bodies": "1"}))


def test_a_body_is_saved_as_a_file_that_no_browser_opens(admin_client):
    request_id = request()
    keep(request_id, b"<b>text</b>")
    answer = admin_client.get(f"{page_of(request_id)}1/client_request.txt")

    assert answer.content == b"<b>text</b>"
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    for other in ("2/client_request.txt", "1/client_answer.txt", "1/headers.txt"):
        assert admin_client.get(f"{page_of(request_id)}{other}").status_code == 404


def test_headers_without_bodies_are_shown(admin_client):
    request_id = request()
    make_request_log(id=f"{1:028x}-1", request_id=request_id,
                     headers={"client_request": [("x-title", "mine")]})  # fmt: skip

    text = text_of(admin_client.get(page_of(request_id), {"bodies": "1"}))
    assert "x-title" in text
    assert "Its body was not kept" in text


def test_one_request_is_there_as_json(admin_client):
    price = make_price(upstream_model="m")
    request_id = request(1, upstream_model="m", cost_source="price_book", price_id=price.pk,
                         cost_usd=Decimal("0.000045"), prompt_tokens=10, completion_tokens=1)  # fmt: skip
    keep(request_id, b"{}")
    tree = orjson.loads(admin_client.get(page_of(request_id), {"format": "json"}).content)
    more = orjson.loads(
        admin_client.get(page_of(request_id), {"format": "json", "bodies": "1"}).content
    )

    (attempt,) = tree["attempts"]
    assert Decimal(attempt["bill"]["exact_usd"]) == Decimal("0.000045")
    assert attempt["started_at"] == "2026-11-20T12:01:00Z"
    assert "messages" not in attempt
    assert more["attempts"][0]["messages"][0]["text"] == "{}"


def test_only_reading_is_possible(admin_client):
    request_id = request()

    for address in (LIST, page_of(request_id), f"{page_of(request_id)}1/client_request.txt"):
        assert admin_client.post(address).status_code == 405


# Who may see what.


@pytest.fixture
def cast() -> dict[str, Client]:
    """A signed-in browser for everybody there is."""
    alder, birch = make_team("alder"), make_team("birch")
    people = {
        "staff": None,
        "plain staff": None,
        "lead": (alder, "lead"),
        "auditor": (alder, "auditor"),
        "ada": (alder, "member"),
        "bob": (alder, "member"),
        "birch": (birch, "lead"),
        "outsider": None,
    }
    clients = {"nobody": Client()}
    for name, role in people.items():
        user = User.objects.create_user(
            name, is_staff="staff" in name, is_superuser=name == "staff", password="x"
        )
        if role:
            Membership.objects.create(team=role[0], user=user, role=role[1])
        clients[name] = Client()
        clients[name].force_login(user)
    return clients


SEES = {"staff", "plain staff", "lead", "auditor", "ada"}
READS = {"staff", "lead", "ada"}
EVERYBODY = (*sorted(SEES), "birch", "bob", "nobody", "outsider")


@pytest.mark.parametrize("who", EVERYBODY)
def test_adas_request_is_seen_by_those_who_may(cast, who):
    """One of a member's own key; every page and every file of it."""
    request_id = request(1, member="ada")
    keep(request_id, b'{"said": "secret plans"}')
    client = cast[who]
    addresses = (page_of(request_id), f"{page_of(request_id)}?format=json")
    if who == "nobody":
        for address in (*addresses, LIST, f"{page_of(request_id)}1/client_request.txt"):
            assert client.get(address).status_code == 302
        return
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == (200 if who in SEES else 404)
        assert "secret plans" not in answer.content.decode()
        with_bodies = client.get(
            address, {"bodies": "1"} | ({"format": "json"} if "json" in address else {})
        )
        assert (
            "secret plans" in html.unescape(with_bodies.content.decode()).replace("\\", "")
        ) is (who in READS)
    file = client.get(f"{page_of(request_id)}1/client_request.txt")
    assert file.status_code == (200 if who in READS else 404)
    assert client.get(LIST, {"q": request_id}).status_code == (403 if who == "outsider" else 302)
    for form in ("", "csv", "json"):
        listed = client.get(LIST, {"format": form})
        assert listed.status_code == (403 if who == "outsider" else 200)
        assert (request_id in listed.content.decode()) is (who in SEES)


@pytest.mark.parametrize("who", ["bob", "birch", "outsider"])
def test_absent_and_not_yours_are_the_same(cast, who):
    theirs, absent = request(1, member="ada"), f"req_{99:028x}"
    client = cast[who]

    for rest in ("", "?format=json", "?bodies=1", "1/client_request.txt"):
        one, other = client.get(page_of(theirs) + rest), client.get(page_of(absent) + rest)
        assert one.status_code == other.status_code == 404
        assert plain(one.content, theirs) == plain(other.content, absent)


def plain(page: bytes, request_id: str) -> str:
    """A page without the id it is about, and without the token that is new each time."""
    text = re.sub(r'(name="csrfmiddlewaretoken" value=)"\w+"', r"\1", page.decode())
    return text.replace(request_id, "ID")


def test_links_into_the_admin_are_for_staff(cast):
    request_id = request(1, member="ada")

    assert "/admin/" in cast["staff"].get(page_of(request_id)).content.decode()
    for who in ("lead", "auditor", "ada"):
        assert "/admin/" not in cast[who].get(page_of(request_id)).content.decode()
        assert "/admin/" not in cast[who].get(LIST).content.decode()


def test_the_admins_records_and_logs_lead_here(admin_client):
    request_id = request()
    keep(request_id, b"{}")
    record = f"{1:028x}-1"
    link = reverse("admin:accounting_usagerecord_open_request", args=[record])

    assert link in text_of(
        admin_client.get(reverse("admin:accounting_usagerecord_change", args=[record]))
    )
    assert admin_client.get(link).url == page_of(request_id)
    gone = reverse("admin:accounting_usagerecord_open_request", args=["nothing"])
    assert admin_client.get(gone).status_code in {302, 404}
    log = reverse("admin:accounting_requestlog_change", args=[record])
    assert page_of(request_id) in text_of(admin_client.get(log))
    assert LIST in text_of(admin_client.get("/admin/"))

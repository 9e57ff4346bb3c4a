"""Bodies of pages: bounded in bytes and time before anybody is known, more for people who are signed in."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client as Browser

from llmgateway.asgi import pages
from llmgateway.page_bodies import SHORT_BYTES, PageBodies
from tests.serving import Serving
from tests.waiting import PATIENCE_S

SIGN_IN = "/usage/sign-in/"
ALLOWED = settings.PAGE_BYTES_MAX
LONG = b"x" * (ALLOWED + 1)


async def pieces_of(body: bytes):
    for at in range(0, len(body), 1_000_000):
        yield body[at : at + 1_000_000]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("at", [SIGN_IN, "/nowhere", "/admin/login/"])
@pytest.mark.parametrize("is_announced", [True, False])
async def test_nobody_knows_who_sends_more_than_any_form_holds(gateway: Serving, at, is_announced):
    told = await gateway.http.post(at, content=LONG if is_announced else pieces_of(LONG))

    assert told.status_code == 413
    assert "GATEWAY_PAGE_BYTES_MAX" in told.text
    assert told.headers["connection"] == "close"


@pytest.mark.django_db(transaction=True)
async def test_what_a_form_holds_passes(gateway: Serving):
    body = b"x" * ALLOWED
    assert (await gateway.http.post("/nowhere", content=body)).status_code == 404
    assert (await gateway.http.post("/nowhere", content=pieces_of(body))).status_code == 404
    assert (await gateway.http.get(SIGN_IN)).status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_the_api_tells_it_in_its_own_shape(gateway: Serving):
    told = await gateway.http.post("/api/teams/", content=LONG)

    assert told.status_code == 413
    error = told.json()["error"]
    assert (error["type"], error["fields"]) == ("too_large", {})
    assert error["request_id"].startswith("req_")


@pytest.mark.django_db(transaction=True)
async def test_who_is_signed_in_may_send_more(gateway: Serving, monkeypatch):
    def signed_in() -> str:
        browser = Browser()
        browser.force_login(User.objects.create(username="ada"))
        return browser.cookies[settings.SESSION_COOKIE_NAME].value

    def not_signed_in() -> str:
        browser = Browser()
        session = browser.session  # there is one, in which nobody is
        session["a"] = 1
        session.save()
        return str(session.session_key)

    monkeypatch.setattr(pages, "_upload_bytes_max", 2 * ALLOWED)  # the setting, not a function
    monkeypatch.setitem(pages._rooms, 2 * ALLOWED, pages._rooms[settings.UPLOAD_BYTES_MAX])
    statuses = {}
    for name, session, body in (
        ("signed in", await sync_to_async(signed_in)(), LONG),
        ("and too much", await sync_to_async(signed_in_again)(), LONG * 2),
        ("not signed in", await sync_to_async(not_signed_in)(), LONG),
        ("made up", "x" * 32, LONG),
    ):
        cookie = {"cookie": f"a=b; {settings.SESSION_COOKIE_NAME}={session}"}
        told = await gateway.http.post("/nowhere", content=body, headers=cookie)
        statuses[name] = told.status_code

    assert statuses == {
        "signed in": 404,
        "and too much": 413,
        "not signed in": 413,
        "made up": 413,
    }


def signed_in_again() -> str:
    browser = Browser()
    browser.force_login(User.objects.get(username="ada"))
    return browser.cookies[settings.SESSION_COOKIE_NAME].value


@pytest.mark.django_db(transaction=True)
async def test_a_body_that_does_not_come_is_408(gateway: Serving, monkeypatch):
    monkeypatch.setattr(pages, "_read_timeout_s", 0.2)  # the setting, not a function
    reader, writer = await asyncio.open_connection(*gateway.url.removeprefix("http://").split(":"))
    writer.write(
        f"POST {SIGN_IN} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\na=b".encode()
    )
    told = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()

    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"GATEWAY_BODY_READ_TIMEOUT_S" in told


@pytest.mark.django_db(transaction=True)
async def test_where_there_is_no_more_room_short_forms_find_some(gateway: Serving, monkeypatch):
    room = pages._rooms[ALLOWED]
    monkeypatch.setattr(room, "taken", room.bytes_max)
    length = SHORT_BYTES + 1
    at_once = await gateway.http.post("/nowhere", content=b"x" * length)
    as_it_comes = await gateway.http.post("/nowhere", content=pieces_of(b"x" * length))
    short = await gateway.http.post("/nowhere", content=b"x" * SHORT_BYTES)

    assert [at_once.status_code, as_it_comes.status_code, short.status_code] == [503, 503, 404]
    assert at_once.headers["retry-after"] == "1"
    assert room.taken == room.bytes_max


async def test_no_more_than_the_bound_is_handed_on_and_all_room_is_given_back():
    handed_on: list[int] = []
    sent: list[dict] = []

    async def application(_scope, receive, send):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            handed_on.append(len(message["body"]))

    async def receive():
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def send(message):
        sent.append(message)

    around = PageBodies(
        application, page_bytes_max=10_000, upload_bytes_max=20_000, read_timeout_s=60
    )
    scope = {"path": "/x", "headers": [(b"transfer-encoding", b"chunked")]}
    await around(scope, receive, send)

    assert sum(handed_on) == 10_000
    assert sent[0]["status"] == 413
    assert {room.taken for room in around._rooms.values()} == {0}

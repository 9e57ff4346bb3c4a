"""The live view over real sockets: who sees which requests while they run, and that nobody's looking costs nothing."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from accounting.models import Membership, VirtualKey
from routing.models import FeatureFlag
from tests.factories.accounting import make_team
from tests.fakes.upstream import Answer, FakeUpstream, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS
from tests.serving import Serving
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.usefixtures("provider")
ASK = {"model": ALIAS, "max_tokens": 100, "messages": [{"role": "user", "content": "<b>Hi</b>"}]}


def cookie_of(username: str, *, is_staff: bool = False, role: str = "", team: str = "alder") -> str:
    """A signed-in person's session cookie."""
    user, _made = User.objects.get_or_create(username=username, defaults={"is_staff": is_staff})
    if role:
        Membership.objects.get_or_create(user=user, team=make_team(team), role=role)
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


class Viewer:
    """Somebody who looks: keeps each frame as it arrives, whether a test waits for it or not."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []
        self.reading = asyncio.ensure_future(self._read())
        self._seen = 0

    async def until(self, holds: Any) -> Any:
        """What ``holds`` says of the first frame for which it says something. Raises when the view is closed."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._seen < len(self.frames):
                    self._seen += 1
                    if found := holds(self.frames[self._seen - 1]):
                        return found
                if self.reading.done():
                    self.reading.result()
                await asyncio.sleep(0.01)

    async def more_frames(self) -> None:
        """Wait for some that were made from now on; the first may have been on its way."""
        before = len(self.frames)
        await until(lambda: len(self.frames) >= before + 3)

    async def _read(self) -> None:
        while True:
            self.frames.append(json.loads(await self.socket.recv()))


@contextlib.asynccontextmanager
async def looking(gateway: Serving, **who: Any) -> AsyncIterator[Viewer]:
    cookie = await sync_to_async(cookie_of)(**who)
    async with looking_with(gateway.url, cookie) as viewer:
        yield viewer


@contextlib.asynccontextmanager
async def looking_with(url: str, cookie: str) -> AsyncIterator[Viewer]:
    """Somebody who looks at the live view of the gateway at an address, signed in by a cookie."""
    address = url.replace("http", "ws") + "/ws/live/"
    headers = {"Cookie": cookie, "Origin": url}
    async with websockets.connect(address, additional_headers=headers) as socket:
        viewer = Viewer(socket)
        yield viewer
        viewer.reading.cancel()
        await asyncio.wait([viewer.reading])


def slow_stream(**how: Any) -> Answer:
    return stream_answer(text_stream("one ", "two ", "three"), pause_s=0.2, **how)


async def test_a_request_is_seen_while_it_runs_and_when_it_is_over(
    gateway: Serving, upstream: FakeUpstream
):
    was_seen = asyncio.Event()
    upstream.answers(slow_stream(ends_after=was_seen))
    async with looking(gateway, username="eve", is_staff=True) as viewer:
        asking = asyncio.ensure_future(gateway.messages({**ASK, "stream": True}))
        running = await viewer.until(lambda frame: frame["running"])
        answering = await viewer.until(
            lambda frame: [row for row in frame["running"] if row["status"] == "answering"]
        )
        was_seen.set()
        finished = await viewer.until(lambda frame: frame["finished"])
        response = await asking

    assert running[0]["id"] == response.headers["request-id"]
    assert (running[0]["team"], running[0]["key"]) == ("alder", "laptop")
    assert running[0]["alias"] == ALIAS
    assert answering[0]["provider"] == "openrouter"
    assert answering[0]["ttft_ms"] > 0
    assert answering[0]["completion_tokens"] > 0
    (row,) = finished
    (record,) = await gateway.records()
    assert row["status"] == "succeeded"
    assert row["cost_usd"] == f"{record.cost_usd:f}"
    assert "Hi" not in json.dumps(viewer.frames)


async def test_nothing_is_kept_or_sampled_while_nobody_looks(
    gateway: Serving, upstream: FakeUpstream
):
    del upstream
    view = gateway.runtime.live_view
    await gateway.messages(ASK)
    await gateway.records()
    assert not view._finished
    assert view._task is None
    assert not gateway.runtime.under_way
    async with looking(gateway, username="eve", is_staff=True) as viewer:
        await viewer.until(lambda frame: frame["process"])
        assert view.viewers == 1
    await until(view._task.done)
    assert view.viewers == 0


async def test_a_request_that_fails_is_over_too(gateway: Serving, upstream: FakeUpstream):
    del upstream
    response = await gateway.messages({**ASK, "messages": "wrong"})
    assert response.status_code == 400
    assert not gateway.runtime.under_way


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        ({"username": "eve", "is_staff": True}, True),
        ({"username": "ada", "role": "lead"}, True),
        ({"username": "cid", "role": "auditor"}, True),
        ({"username": "ben", "role": "member"}, True),
        ({"username": "bob", "role": "member"}, False),
        ({"username": "dan", "role": "lead", "team": "birch"}, False),
    ],
    ids=["staff", "lead", "auditor", "own", "other member", "other team"],
)
async def test_each_sees_what_is_theirs(gateway: Serving, upstream: FakeUpstream, who, sees):
    def give_to_ben():
        user, _made = User.objects.get_or_create(username="ben")
        key = VirtualKey.objects.get(name="laptop")
        key.owner = user
        key.save()

    await sync_to_async(give_to_ben)()
    await gateway.runtime.refresh()
    upstream.answers(slow_stream())
    async with looking(gateway, **who) as viewer:
        await viewer.until(lambda frame: frame["process"])
        await gateway.messages({**ASK, "stream": True})
        await gateway.records(1)
        await viewer.more_frames()
        seen = [row for frame in viewer.frames for row in frame["running"] + frame["finished"]]
        assert bool(seen) is sees
        assert all(("count" in frame) is who.get("is_staff", False) for frame in viewer.frames)


@pytest.mark.parametrize("signed_in", [True, False])
async def test_somebody_in_no_team_and_nobody_signed_in_are_sent_away(gateway: Serving, signed_in):
    address = gateway.url.replace("http", "ws") + "/ws/live/"
    headers = {"Origin": gateway.url}
    if signed_in:
        headers["Cookie"] = await sync_to_async(cookie_of)("guest")
    async with websockets.connect(address, additional_headers=headers) as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd.code == 4403


async def test_a_page_of_another_host_is_refused(gateway: Serving):
    cookie = await sync_to_async(cookie_of)("eve", is_staff=True)
    address = gateway.url.replace("http", "ws") + "/ws/live/"
    with pytest.raises(websockets.InvalidStatus):
        async with websockets.connect(
            address, additional_headers={"Cookie": cookie, "Origin": "https://evil.example"}
        ):
            pass


async def test_a_role_that_is_taken_away_ends_the_view(gateway: Serving, monkeypatch):
    monkeypatch.setattr("llmgateway.live_view.consumer.CHECK_EVERY_S", 0)
    async with looking(gateway, username="ada", role="lead") as viewer:
        await viewer.until(lambda frame: frame["process"])
        await Membership.objects.all().adelete()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await viewer.until(lambda _frame: None)
    assert closed.value.rcvd.code == 4403


@pytest.mark.parametrize("how", ["signed out", "another password", "switched off"])
async def test_a_session_that_has_ended_ends_the_view(gateway: Serving, monkeypatch, how):
    monkeypatch.setattr("llmgateway.live_view.consumer.CHECK_EVERY_S", 0)
    async with looking(gateway, username="ada", role="lead") as viewer:
        await viewer.until(lambda frame: frame["process"])
        ada = await User.objects.aget()
        match how:
            case "signed out":
                await Session.objects.all().adelete()
            case "another password":
                ada.set_password("another password")
            case _:
                ada.is_active = False
        await ada.asave()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await viewer.until(lambda _frame: None)
    assert closed.value.rcvd.code == 4403


async def test_the_flag_hides_a_teams_requests(gateway: Serving, upstream: FakeUpstream):
    await FeatureFlag.objects.acreate(name="live_view", enabled=False, team="alder")
    await gateway.runtime.refresh()
    upstream.answers(slow_stream())
    async with looking(gateway, username="eve", is_staff=True) as viewer:
        await viewer.until(lambda frame: frame["process"])
        await gateway.messages({**ASK, "stream": True})
        await gateway.records()
        await viewer.more_frames()
        assert viewer.frames[-1]["count"] == 0
    assert not any(frame["running"] or frame["finished"] for frame in viewer.frames)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "status"),
    [({"is_staff": True}, 200), ({"role": "lead"}, 200), ({"role": "member"}, 200), ({}, 403)],
    ids=["staff", "lead", "member", "outsider"],
)
def test_the_page_is_there_for_whoever_may_see_anything(client, who, status):
    cookie = cookie_of("somebody", **who)
    client.cookies.load(cookie)
    response = client.get("/usage/live/")
    assert response.status_code == status
    if status == 200:
        assert b"live.js" in response.content


@pytest.mark.django_db
def test_nobody_signed_in_is_asked_to_sign_in(client):
    response = client.get("/usage/live/")
    assert response.status_code == 302
    assert "next=/usage/live/" in response["Location"]

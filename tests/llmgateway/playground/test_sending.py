"""Requests that the playground sends through a serving gateway: live, at the end, and in the books."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client

from accounting import snapshot as keys_snapshot
from accounting.models import AuditEntry, Budget, Membership, RequestLog, Team, VirtualKey
from llmgateway import trial
from routing import snapshot as routing_snapshot
from routing.models import FeatureFlag, HeaderRule, Provider
from tests.factories.accounting import make_key, make_price, make_team
from tests.fakes.upstream import chat_answer, chunk, json_answer, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS, MODEL, SECRET, add_openrouter, route_to
from tests.serving import Serving, serving
from tests.waiting import PATIENCE_S

PAGE = "/usage/playground/"
SEND = f"{PAGE}send/"
PLANTED = "tenant-secret-4711-0815-abcdef"
DIALECTS = ["anthropic_messages", "openai_chat"]


@dataclass
class Playground:
    """A gateway with somebody at its playground."""

    gateway: Serving
    http: httpx.AsyncClient
    key: int

    async def token(self) -> str:
        page = await self.http.get(PAGE)
        assert page.status_code == 200, page.text
        return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]

    async def entered(self, **fields: Any) -> dict[str, Any]:
        return {
            "csrfmiddlewaretoken": await self.token(),
            "key": self.key,
            "dialect": DIALECTS[0],
            "alias": ALIAS,
            "text": "Hi",
            "role": "user",
            "max_tokens": 100,
            **fields,
        }

    async def send(self, **fields: Any) -> "Told":
        """All that is told of a request."""
        entered = await self.entered(**fields)
        answer = await self.http.post(SEND, data=entered)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert "no-store" in answer.headers["cache-control"]
        return Told([orjson.loads(line) for line in answer.text.split("\n") if line], answer.text)

    async def refused(self, **fields: Any) -> httpx.Response:
        entered = await self.entered(**fields)
        return await self.http.post(SEND, data=entered)

    @asynccontextmanager
    async def sending(self, **fields: Any) -> AsyncIterator[httpx.Response]:
        entered = await self.entered(**fields)
        ask = self.http.stream("POST", SEND, data=entered)
        async with ask as answer:
            yield answer


@dataclass
class Told:
    """The lines of an answer, and all of it as it came."""

    lines: list[dict[str, Any]]
    raw: str

    def said(self, kind: str) -> str:
        return "".join(line["text"] for line in self.lines if line["kind"] == kind)

    @property
    def id(self) -> str:
        assert self.lines[0]["kind"] == "begin"
        return self.lines[0]["id"]

    @property
    def html(self) -> str:
        assert self.lines[-1]["kind"] == "end"
        return self.lines[-1]["html"]

    @property
    def text(self) -> str:
        """What a person reads at the end."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", self.html)))

    def pane(self, label: str) -> str:
        """The last pane of that name, to be read."""
        found = re.findall(rf"<b>{html.escape(label)}</b>.*?</details>", self.html, re.DOTALL)
        return html.unescape(found[-1])


def cookies_of(name: str, **fields: Any) -> dict[str, str]:
    client = Client()
    client.force_login(User.objects.get_or_create(username=name, defaults=fields)[0])
    return {"sessionid": client.cookies["sessionid"].value}


def lead() -> dict[str, str]:
    cookies = cookies_of("ann")
    Membership.objects.create(
        user=User.objects.get(username="ann"), team=make_team("alder"), role="lead"
    )
    return cookies


def person(gateway: Serving, cookies: dict[str, str]) -> httpx.AsyncClient:
    """The browser of somebody who is signed in."""
    return httpx.AsyncClient(
        base_url=gateway.url, cookies=cookies, timeout=PATIENCE_S, verify=False
    )


@pytest.fixture
async def playground(provider, key, tmp_path) -> AsyncIterator[Playground]:
    cookies = await sync_to_async(lead)()
    row = await VirtualKey.objects.aget()
    async with serving(tmp_path / "journal") as running, person(running, cookies) as http:
        yield Playground(running, http, row.pk)


async def changed(playground: Playground) -> None:
    """What was changed in the database is in force."""
    await sync_to_async(keys_snapshot.bump)()
    await sync_to_async(routing_snapshot.bump)()
    await playground.gateway.runtime.refresh()


# What comes back.


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_an_answer_is_told_live_and_at_the_end_and_is_booked(playground, upstream, dialect, streamed):  # fmt: skip
    if streamed:
        upstream.answers(stream_answer(text_stream("Good ", "morning, ", "<b>Ann</b>!")))
    else:
        upstream.answers(json_answer(chat_answer("Good morning, <b>Ann</b>!")))
    told = await playground.send(dialect=dialect, **({"stream": "on"} if streamed else {}))

    assert told.said("text") == ("Good morning, <b>Ann</b>!" if streamed else "")
    assert "Good morning, <b>Ann</b>!" in told.text
    assert upstream.requests[0].json["model"] == MODEL
    (row,) = await playground.gateway.records(1)
    assert row.request_id == told.id
    assert (row.team, row.key_name, row.status, row.streamed) == ("alder", "laptop", "succeeded", streamed)  # fmt: skip
    assert (row.tags, row.agent, row.client_dialect) == (",playground,playground:ann,", "playground", dialect)  # fmt: skip
    assert f"/usage/requests/{told.id}/" in told.html
    assert "openrouter: anthropic/claude-sonnet-4.5" in told.text
    entry = await AuditEntry.objects.filter(action="use").alatest("number")
    assert told.id in str(entry.after)
    assert (entry.actor, entry.team) == ("ann", "alder")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_wire_is_shown_on_both_sides(playground, upstream, dialect):
    upstream.answers(stream_answer(text_stream("Good ", "morning")))
    told = await playground.send(dialect=dialect, stream="on", text="Ask of mine")

    asked, left = told.pane("Client's request"), told.pane("Request to the provider")
    came, sent = told.pane("Provider's answer"), told.pane("Answer to the client")
    assert f'"model": "{ALIAS}"' in asked
    assert "Ask of mine" in asked
    assert ("anthropic-version" in asked) is (dialect == DIALECTS[0])
    assert f'"model": "{MODEL}"' in left
    assert '"content": "Ask of mine"' in left
    assert re.search(r"<dt>Authorization</dt><dd>\[masked\]</dd>", left, re.IGNORECASE)
    assert 'data: {"id":"gen-1"' in came
    assert ("event: message_start" in sent) is (dialect == DIALECTS[0])
    assert ("data: [DONE]" in sent) is (dialect == DIALECTS[1])
    assert SECRET not in told.raw
    assert not await RequestLog.objects.aexists()  # nobody asked for that


async def test_what_is_long_is_cut_and_says_so(playground, upstream):
    upstream.answers(json_answer(chat_answer("long " * 60_000)))
    told = await playground.send()

    assert "of which the first 97.7 KB are shown" in told.text
    assert "Cut here" in told.text
    assert len(told.raw) < 1_000_000


async def test_thinking_and_tools_are_told_apart(playground, upstream):
    def call(**function: str) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]})  # fmt: skip

    upstream.answers(
        stream_answer(
            [
                chunk({"role": "assistant", "content": ""}),
                chunk({"reasoning": "Let me see."}),
                call(name="get_weather", arguments=""),
                call(arguments='{"place":'),
                call(arguments='"Bergen"}'),
                chunk(finish_reason="tool_calls"),
            ]
        )
    )
    told = await playground.send(stream="on", tool="on", effort="low", max_tokens=5000)

    assert told.said("thinking") == "Let me see."
    assert told.said("call") == 'get_weather{"place":"Bergen"}'
    assert 'get_weather({"place":"Bergen"})' in told.text
    assert upstream.requests[0].json["tools"][0]["function"]["name"] == "get_weather"


async def test_json_is_sent_as_it_was_written(playground, upstream):
    body = orjson.dumps({"model": ALIAS, "max_tokens": 7, "messages": [{"role": "user", "content": "mine"}]}).decode()  # fmt: skip
    told = await playground.send(is_raw="1", raw=body, alias="", max_tokens="")

    assert upstream.requests[0].json["messages"][-1]["content"] == "mine"
    assert "Hello." in told.text


async def test_without_a_script_the_page_holds_the_answer(playground, upstream):
    upstream.answers(stream_answer(text_stream("Good ", "morning")))
    entered = await playground.entered(stream="on", action="send", text="<script>alert(1)</script>")
    page = await playground.http.post(PAGE, data=entered)

    assert page.status_code == 200
    assert "Good morning</pre>" in page.text
    assert "<script>alert" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_markup_in_prompt_and_answer_is_inert(playground, upstream):
    planted = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>"
    upstream.answers(stream_answer(text_stream(planted)))
    told = await playground.send(stream="on", text=planted, system=planted)

    assert told.said("text") == planted  # which the script puts into the page as text
    for markup in ("<script", "<img"):
        assert markup not in told.html
    assert told.html.count("&lt;script&gt;") >= 4


# Secrets.


async def test_secrets_are_seen_nowhere_however_they_come_back(playground, upstream):
    def plant() -> None:
        row = Provider.objects.get()
        for name in ("x-tenant-key", "x-passw"):
            HeaderRule.objects.create(action="force", name=name, value=PLANTED, provider=row, position=1)  # fmt: skip

    await sync_to_async(plant)()
    await changed(playground)
    said = f"Your key is {SECRET}, your tenant {PLANTED}, I think."
    words = [said[at : at + 3] for at in range(0, len(said), 3)]
    upstream.answers(
        stream_answer(text_stream(*words)),
        json_answer(chat_answer(said), headers={"x-echo": PLANTED, "set-cookie": SECRET}),
        json_answer({"error": {"message": said, "code": 400}}, status=400),
    )
    streamed = await playground.send(stream="on")
    whole = await playground.send()
    failed = await playground.send()

    assert upstream.requests[0].headers["x-tenant-key"] == PLANTED
    assert streamed.said("text").startswith("Your key is [masked], your tenant [masked]")
    for told in (streamed, whole, failed):
        shown = html.unescape(told.raw + told.html + told.said("text"))
        assert SECRET not in shown
        assert PLANTED not in shown
        assert SECRET[:20] not in shown


# What does not go well.


@pytest.mark.parametrize(
    ("dialect", "shape"),
    [(DIALECTS[0], '"type": "invalid_request_error"'), (DIALECTS[1], '"param": null')],
    ids=DIALECTS,
)
async def test_an_error_is_shown_in_the_clients_dialect_with_what_helps(playground, upstream, dialect, shape):  # fmt: skip
    upstream.answers(json_answer({"error": {"message": "no such field", "code": 400}}, status=400))
    told = await playground.send(dialect=dialect, stream="on")

    assert "Status 400, UpstreamRejected" in told.text
    assert "no such field" in told.text
    assert "Change what is sent" in told.text
    assert shape in told.pane("Answer to the client")
    (row,) = await playground.gateway.records(1)
    assert row.status == "failed"


async def test_an_error_in_the_middle_keeps_what_was_said(playground, upstream):
    upstream.answers(stream_answer(text_stream("Good ", "morn")[:3], done=False, ending="reset"))
    told = await playground.send(stream="on")

    assert told.said("text").startswith("Good ")
    assert "Good morn" in told.text
    assert "Send it again" in told.text
    assert "event: error" in told.pane("Answer to the client")


async def test_a_body_that_is_none_is_refused_by_the_gateway_itself(playground, upstream):
    told = await playground.send(is_raw="1", raw="{")

    assert "Status 400" in told.text
    assert "Nothing left for a provider" in told.text
    assert '"type": "error"' in told.pane("Answer to the client")
    assert upstream.requests == []


async def test_a_model_that_is_not_open_to_the_key_is_refused(playground, upstream):
    await VirtualKey.objects.aupdate(allowed_aliases=["other"])
    await changed(playground)
    told = await playground.send()

    assert "Status 404, ModelUnknown" in told.text
    assert "nothing is booked" in told.text
    assert "/usage/teams/" in told.html
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"enabled": False}, "is switched off"),
        ({"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, "expired on 2026-01-01"),
    ],
    ids=["off", "expired"],
)
async def test_a_key_that_v1_refuses_is_refused_here(playground, upstream, fields, said):
    await VirtualKey.objects.aupdate(**fields)
    await changed(playground)
    told = await playground.send()

    assert "Status 401, KeyRefused" in told.text
    assert said in told.text
    assert upstream.requests == []


async def test_limits_hold(playground, upstream):
    await VirtualKey.objects.aupdate(requests_per_minute=1)
    await changed(playground)
    first, second = await playground.send(), await playground.send()

    assert "succeeded" in first.text
    assert "Status 429, RateLimited" in second.text
    assert len(upstream.requests) == 1


async def test_budgets_hold(playground, upstream):
    def set_up() -> None:
        make_price(upstream_model=MODEL)
        Budget.objects.create(
            team=Team.objects.get(), amount_usd=Decimal("0.000001"), window="month", hard=True
        )

    await sync_to_async(set_up)()
    await changed(playground)
    told = await playground.send()

    assert "Status 429, BudgetExceeded" in told.text
    assert "/usage/budgets/" in told.html
    assert "is held to" in told.text
    assert upstream.requests == []


async def test_every_attempt_is_shown(playground, upstream):
    def add() -> None:
        route_to(ALIAS, add_openrouter("second", upstream.url), "other/model")

    await sync_to_async(add)()
    await changed(playground)
    upstream.answers(
        json_answer({"error": {"message": "busy", "code": 503}}, status=503),
        json_answer(chat_answer("Here.")),
    )
    told = await playground.send()

    assert "Attempt 1: openrouter, anthropic/claude-sonnet-4.5 (UpstreamOverloaded)" in told.text
    assert "Attempt 2: second, other/model" in told.text
    assert html.unescape(told.html).count("<b>Provider's answer</b>") == 2
    assert "if those before fail" in told.text
    assert {row.attempt for row in await playground.gateway.records(2)} == {1, 2}


async def test_a_fault_of_the_gateway_is_told_as_one(playground, upstream, monkeypatch):
    async def fail(*_values: object, **_options: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(trial, "serve", fail)
    told = await playground.send()

    assert "The gateway failed inside" in told.text
    assert "a bug" not in told.raw


# Stopping.


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_browser_that_leaves_cancels_the_call_and_what_was_used_is_booked(playground, upstream, dialect):  # fmt: skip
    upstream.answers(
        stream_answer(text_stream("Good ", "morning, ", "all")[:4], done=False, ending="stall")
    )
    async with (
        playground.sending(dialect=dialect, stream="on") as answer,
        asyncio.timeout(PATIENCE_S),
    ):
        async for line in answer.aiter_lines():
            if line and orjson.loads(line).get("kind") == "text":
                break

    async with asyncio.timeout(PATIENCE_S):
        while upstream.requests[0].left_after_s is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (row,) = await playground.gateway.records(1)
    assert row.status == "client_closed"
    assert row.tags == ",playground,playground:ann,"
    assert playground.gateway.runtime.under_way == {}


async def test_a_browser_that_leaves_before_the_first_byte_cancels_it_too(playground, upstream):
    upstream.answers(stream_answer([], before_s=50))
    async with playground.sending(stream="on") as answer, asyncio.timeout(PATIENCE_S):
        lines = answer.aiter_lines()  # kept: the browser has left when it is gone
        while not await anext(lines):
            pass
        while not upstream.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    (row,) = await playground.gateway.records(1)
    assert row.status == "client_closed"


# Who may.


async def test_nothing_is_sent_without_the_token(playground, upstream):
    entered = {**await playground.entered(), "csrfmiddlewaretoken": ""}
    answer = await playground.http.post(SEND, data=entered)

    assert answer.status_code == 403
    assert upstream.requests == []


async def test_others_cannot_send_as_the_key(playground, upstream):
    def others() -> dict[str, dict[str, str]]:
        birch = make_team("birch")
        make_key(birch, "foreign")
        found = {name: cookies_of(name) for name in ("bea", "max", "aud")}
        for name, team, role in (("bea", birch, "lead"), ("max", "alder", "member"), ("aud", "alder", "auditor")):  # fmt: skip
            team = Team.objects.get(slug=team) if isinstance(team, str) else team
            user = User.objects.get(username=name)
            Membership.objects.create(user=user, team=team, role=role)
        make_key(make_team("alder"), "of-max", owner=User.objects.get(username="max"))
        return found

    found = await sync_to_async(others)()
    await changed(playground)
    statuses = {}
    for name, cookies in found.items():
        async with person(playground.gateway, cookies) as http:
            token = (await http.get("/usage/teams/alder/" if name != "bea" else PAGE)).text
            entered = {
                "key": playground.key,
                "dialect": DIALECTS[0],
                "alias": ALIAS,
                "max_tokens": 9,
            }
            found_token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', token)[1]
            answer = await http.post(SEND, data={**entered, "csrfmiddlewaretoken": found_token})
        statuses[name] = answer.status_code
        assert "Select a valid choice" in answer.text or name == "aud"

    assert statuses == {"bea": 400, "max": 400, "aud": 403}
    assert upstream.requests == []


async def test_problems_with_the_fields_are_told(playground, upstream):
    answer = await playground.refused(max_tokens="", alias="")

    assert answer.status_code == 400
    assert answer.json()["problems"] == [
        "Model: Choose a model, or name one.",
        "Max tokens: Enter how long the answer may get.",
    ]
    assert upstream.requests == []


async def test_a_member_learns_nothing_of_other_teams_and_of_budgets(playground, upstream):
    def set_up() -> tuple[dict[str, str], int]:
        cookies = cookies_of("max")
        user = User.objects.get(username="max")
        Membership.objects.create(user=user, team=make_team("alder"), role="member")
        Budget.objects.create(team=make_team("alder"), amount_usd=Decimal(7), window="month")
        return cookies, make_key(make_team("alder"), "of-max", owner=user).row.pk

    cookies, pk = await sync_to_async(set_up)()
    await changed(playground)
    async with person(playground.gateway, cookies) as http:
        told = await Playground(playground.gateway, http, pk).send()

    assert "succeeded" in told.text
    assert "is held to" not in told.text
    assert "Credential" not in told.text.partition("Explain: why this route")[2]
    assert "/admin/" not in told.html


# The logs.


@pytest.mark.parametrize("flag", ["log_headers", "log_bodies"])
async def test_what_the_flags_ask_for_is_logged_all_the_same(playground, upstream, flag):
    await FeatureFlag.objects.acreate(name=flag, enabled=True)
    await changed(playground)
    told = await playground.send()
    failed_id = (await playground.send(is_raw="1", raw="{")).id

    await asyncio.to_thread(playground.gateway.runtime.request_logs.flush)
    row = await RequestLog.objects.aget(request_id=told.id)
    assert {body.name for body in row.bodies} == (
        {"client_request", "upstream_request", "upstream_answer", "client_answer"}
        if flag == "log_bodies"
        else set()
    )
    assert row.headers["client_request"]
    assert not await RequestLog.objects.filter(request_id=failed_id).aexists()
    assert '"Hello."' in told.pane("Provider's answer")


async def test_a_late_refusal_is_logged_where_bodies_are(playground, upstream):
    await FeatureFlag.objects.acreate(name="log_bodies", enabled=True)
    await changed(playground)
    upstream.answers(json_answer({"error": {"message": "no such field", "code": 400}}, status=400))
    told = await playground.send()

    await asyncio.to_thread(playground.gateway.runtime.request_logs.flush)
    row = await RequestLog.objects.aget(request_id=told.id)
    assert (
        "no such field" in {body.name: body.text.decode() for body in row.bodies}["client_answer"]
    )

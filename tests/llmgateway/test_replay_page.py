"""The page that sends a served request again elsewhere, and sets the answers side by side."""

import html
import re
from decimal import Decimal

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from accounting import snapshot as keys_snapshot
from accounting.models import AuditEntry, Membership, RequestLog, VirtualKey
from accounting.request_logs import Capture
from llmgateway import replay
from routing.models import Deployment, ModelAlias
from tests.factories.accounting import make_key, make_request_log, make_team, make_usage
from tests.factories.routing import SECRET, make_alias, make_deployment, make_provider
from tests.fakes.upstream import json_answer, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS, MODEL
from tests.serving import Serving, serving

pytestmark = pytest.mark.usefixtures("nothing_in_force")
ID = f"req_{1:028x}"
PAGE = f"/usage/requests/{ID}/replay/"
BODY = {"model": ALIAS, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi <b>"}]}


@pytest.fixture
def alias(db) -> ModelAlias:
    return make_alias(ALIAS, make_deployment(make_provider()))


def served(
    key_pk: int = 1, *, kept: bytes | None = None, bytes_max: int = 10_000, **fields
) -> None:
    """The request that is replayed, with what was kept of it."""
    record = make_usage(id=f"{1:028x}-1", request_id=ID, key_id=key_pk, alias=ALIAS, **fields)
    if kept is not None:
        bodies = {}
        for name, text in {
            "client_request": kept,
            "client_answer": b'{"content": [{"type": "text", "text": "Then."}]}',
        }.items():
            bodies[name] = Capture(bytes_max)
            bodies[name].add(text)
        headers = {"client_request": [("x-api-key", "[masked]"), ("x-title", "mine"), ("host", "h"),
                                      ("x-llmgateway-tags", "ci,replay")]}  # fmt: skip
        make_request_log(
            id=record.pk, request_id=ID, bytes_max=bytes_max, bodies=bodies, headers=headers
        )


def text_of(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return html.unescape(answer.content.decode())


def member(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def form(**fields) -> dict:
    return {
        "targets": [f"alias:{ALIAS}"],
        "other": "",
        "key": "",
        "body": orjson.dumps(BODY).decode(),
        **fields,
    }


# What it shows.


def test_the_page_begins_with_what_was_kept(admin_client, alias):
    key = make_key()
    served(key.row.pk, kept=orjson.dumps(BODY))
    text = text_of(admin_client.get(PAGE))

    assert '"model": "claude-sonnet-4-5"' in text
    assert "It is masked" in text
    assert f'value="alias:{ALIAS}"' in text
    assert f'value="deployment:{Deployment.objects.get().pk}"' in text
    assert f'<option value="{key.row.pk}" selected>' in text
    assert "Send</button>" not in text


def test_the_page_of_a_request_leads_here(admin_client, alias):
    served()

    assert PAGE in text_of(admin_client.get(f"/usage/requests/{ID}/"))


@pytest.mark.parametrize(
    ("kept", "bytes_max", "said"),
    [(None, 0, "The body was not kept"), (b"x" * 500, 100, "The kept body was cut"), (b"text", 100, "was cut")],
    ids=["none", "cut", "no-json"],
)  # fmt: skip
def test_without_a_whole_body_one_can_be_pasted(admin_client, alias, kept, bytes_max, said):
    served(kept=kept, bytes_max=bytes_max)
    text = text_of(admin_client.get(PAGE))

    assert said in text
    assert "Paste" in text


def test_an_estimate_tells_who_is_asked_and_sends_nothing(admin_client, alias):
    key = make_key()
    served()
    other = make_deployment(make_provider("second"))
    targets = [f"alias:{ALIAS}", f"deployment:{other.pk}"]
    text = text_of(admin_client.post(PAGE, form(key=key.row.pk, targets=targets, other="unknown")))

    assert (
        f"openrouter: {alias.routes.get().targets.get().deployment.upstream_model} first: about"
        in text
    )
    assert f"second: {other.upstream_model}: about" in text
    assert "Nothing would be sent: The model 'unknown' is not known here" in text
    assert "as API key laptop of team alder" in text
    assert "at a cost that is not known" in text
    assert 'name="confirm" required' in text
    assert key.secret not in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"targets": []}, "Choose where it is to be sent"),
        (
            {"targets": [f"alias:{ALIAS}"] + [f"deployment:{n}" for n in range(9)]},
            "Select a valid choice",
        ),
        ({"key": ""}, "This field is required"),
        ({"key": "77"}, "Select a valid choice"),
        ({"body": "{"}, "not valid JSON"),
        ({"body": ""}, "This field is required"),
    ],
    ids=["nowhere", "unknown", "nobody", "no-key", "no-json", "no-body"],
)
def test_errors_stand_beside_the_fields(admin_client, alias, fields, said):
    served()
    entered = form(**{"key": str(make_key().row.pk), **fields})
    text = text_of(admin_client.post(PAGE, entered))

    assert said in text
    assert "What it would cost" not in text


def test_a_pasted_byte_order_mark_is_nothing(admin_client, alias):
    served()
    entered = form(key=make_key().row.pk, body="\ufeff" + orjson.dumps(BODY).decode())

    assert "What it would cost" in text_of(admin_client.post(PAGE, entered))


def test_at_most_four_are_sent_at_once(admin_client, alias):
    served()
    deployments = [make_deployment(make_provider(f"p-{n}")) for n in range(5)]
    entered = form(key=make_key().row.pk, targets=[f"deployment:{row.pk}" for row in deployments])

    assert "Choose at most 4." in text_of(admin_client.post(PAGE, entered))


def test_a_deployment_whose_provider_is_not_in_force_is_told(admin_client, alias, monkeypatch):
    served()
    deployment = make_deployment(make_provider("second"))
    monkeypatch.setattr("llmgateway.replay.target_of", lambda _held, _row: None)
    entered = form(key=make_key().row.pk, targets=[f"deployment:{deployment.pk}"])

    assert "its provider is not in force" in text_of(admin_client.post(PAGE, entered))


def test_a_process_that_serves_nobody_sends_nothing(admin_client, alias):
    served()
    entered = form(key=make_key().row.pk, send="1", confirm="on")

    assert "serves no requests" in text_of(admin_client.post(PAGE, entered))


# Who may.


def test_only_who_may_make_keys_may_replay_and_others_learn_nothing(alias, client):
    served()
    absent = PAGE.replace(ID, "req_9")
    lead = Client()
    user = User.objects.create_user("lead")
    Membership.objects.create(team=make_team(), user=user, role="lead")
    lead.force_login(user)
    few = member("few", "view_modelalias")
    enough = member("enough", "view_modelalias", "add_virtualkey")

    assert client.get(PAGE).status_code == 302
    for refused in (lead, few):
        assert PAGE not in refused.get(f"/usage/requests/{ID}/").content.decode()
        for ask in (refused.get, refused.post):
            one, other = ask(PAGE), ask(absent)
            assert one.status_code == other.status_code == 404
            assert plain(one.content, ID) == plain(other.content, "req_9")
    assert enough.get(PAGE).status_code == 200
    assert enough.get(absent).status_code == 404


def plain(page: bytes, request_id: str) -> str:
    """A page without the id it is about, and without the token that is new each time."""
    text = re.sub(r'(name="csrfmiddlewaretoken" value=)"\w+"', r"\1", page.decode())
    return text.replace(request_id, "ID")


def test_a_kept_body_is_shown_only_to_who_may_read_request_logs(alias):
    served(kept=orjson.dumps({**BODY, "system": "few eyes"}))
    without = text_of(member("a", "view_modelalias", "add_virtualkey").get(PAGE))
    with_it = text_of(member("b", "view_modelalias", "add_virtualkey", "view_requestlog").get(PAGE))

    assert "few eyes" not in without
    assert "permission to view request logs" in without
    assert "few eyes" in with_it


# The headers that go along.


def test_a_replay_is_tagged_and_carries_no_credential(db):
    served(kept=orjson.dumps(BODY), tags=",ci,")
    found = replay.booked(ID)

    material = replay.material_of(found.last, RequestLog.objects.get(), orjson.dumps(BODY).decode())
    ask = replay.to_alias(material, "other").ask

    assert ask.headers == {"x-title": "mine", "x-llmgateway-tags": "ci,replay"}
    assert ask.secrets == ()
    assert orjson.loads(ask.body) == {**BODY, "model": "other"}


def test_tags_stay_within_their_number(db):
    tags = ",".join(f"t{n}" for n in range(10))
    served(tags=f",{tags},")
    material = replay.material_of(replay.booked(ID).last, None, orjson.dumps(BODY).decode())
    sent = replay.to_alias(material, "m").ask.headers["x-llmgateway-tags"].split(",")

    assert len(sent) == 10
    assert sent[-1] == "replay"


@pytest.mark.parametrize(
    ("now", "then", "said"),
    [
        (2, 1, "100 % more"),
        (1, 2, "50 % less"),
        (1, 1, "the same"),
        (None, 1, ""),
        (1, None, ""),
        (1, 0, ""),
    ],
)
def test_changes_are_told_in_words(now, then, said):
    assert replay.change(now, then) == said


# Sent, in a process that serves.


@pytest.fixture
def staff(transactional_db) -> str:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client.cookies["sessionid"].value


@pytest.fixture
async def gateway(provider, key, staff, tmp_path):
    def add() -> None:
        served(
            VirtualKey.objects.get().pk,
            kept=orjson.dumps(BODY),
            duration_ms=10,
            cost_usd=Decimal("0.5"),
        )

    await sync_to_async(add)()
    async with serving(tmp_path / "journal") as running:
        running.http.cookies.set("sessionid", staff)
        yield running


async def post(gateway: Serving, **fields: object) -> str:
    page = await gateway.http.get(PAGE)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    pk = await VirtualKey.objects.values_list("pk", flat=True).aget()
    entered = form(**{"key": str(pk), "csrfmiddlewaretoken": token, **fields})
    answer = await gateway.http.post(PAGE, data=entered, headers={"referer": gateway.url})
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    return html.unescape(answer.text)


async def used(model: type) -> AuditEntry:
    """The newest entry of the audit trail on a use of such a row."""
    rows = AuditEntry.objects.filter(action="use", kind__icontains=model._meta.model_name)
    return await rows.order_by("-number").afirst()


async def test_several_answers_stand_beside_the_first(gateway, upstream):
    deployment = await Deployment.objects.aget(upstream_model=MODEL)
    upstream.answers(
        stream_answer(text_stream("Now ", "<i>so</i>")),
        stream_answer(text_stream("Now ", "<i>so</i>")),
    )
    text = await post(
        gateway,
        body=orjson.dumps({**BODY, "stream": True}).decode(),
        targets=[f"alias:{ALIAS}", f"deployment:{deployment.pk}"],
        send="1",
        confirm="on",
    )

    assert len(upstream.requests) == 2
    assert all(seen.json["messages"][-1]["content"] == "Hi <b>" for seen in upstream.requests)
    assert "Then." in text  # what was answered then
    assert text.count("Now <i>so</i>") >= 2
    rows = [row for row in await gateway.records() if row.request_id != ID]
    assert {row.tags for row in rows} == {",ci,replay,"}
    assert {(row.team, row.key_name, row.status) for row in rows} == {
        ("alder", "laptop", "succeeded")
    }
    for row in rows:
        assert f"/usage/requests/{row.request_id}/" in text
        logged = await LogEntry.objects.aget()
        assert row.request_id in logged.change_message
        assert row.request_id in str((await used(VirtualKey)).after)
    assert SECRET not in text


async def test_nothing_is_sent_without_a_confirmation(gateway, upstream):
    text = await post(gateway, send="1")

    assert "confirm that it costs" in text
    assert "Send</button>" in text
    assert upstream.requests == []


async def test_an_estimate_in_a_serving_process_sends_nothing(gateway, upstream):
    text = await post(gateway)

    assert "What it would cost" in text
    assert upstream.requests == []


async def test_a_deployment_has_no_fallback_and_its_failure_is_shown(gateway, upstream):
    deployment = await Deployment.objects.aget(upstream_model=MODEL)
    upstream.answers(json_answer({"error": {"message": f"no {SECRET}", "code": 502}}, status=502))
    text = await post(gateway, targets=[f"deployment:{deployment.pk}"], send="1", confirm="on")

    assert len(upstream.requests) == 1
    assert "Status 502" in text
    assert SECRET not in text


async def test_a_replay_that_reaches_nobody_is_shown_so(gateway, upstream):
    await VirtualKey.objects.aupdate(allowed_aliases=["other"])
    await sync_to_async(keys_snapshot.bump)()
    await gateway.runtime.refresh()
    text = await post(gateway, send="1", confirm="on")

    assert "No provider was reached" in text
    assert "Status 404" in text
    assert "is not open to the API key" in text
    assert "As it was served" in text


async def test_a_key_that_was_switched_off_pays_for_nothing(gateway, upstream):
    pk = await VirtualKey.objects.values_list("pk", flat=True).aget()
    await VirtualKey.objects.aupdate(enabled=False)
    await sync_to_async(keys_snapshot.bump)()
    await gateway.runtime.refresh()
    text = await post(gateway, key=str(pk), send="1", confirm="on")

    assert "Select a valid choice" in text
    assert upstream.requests == []


async def test_an_answer_that_takes_too_long_is_given_up(gateway, upstream, monkeypatch):
    monkeypatch.setattr(replay, "REPLAY_S", 0.0)
    text = await post(gateway, send="1", confirm="on")

    assert "No whole answer came within 0 s" in text


async def test_a_form_without_its_token_is_refused(gateway, upstream):
    answer = await gateway.http.post(PAGE, data=form(send="1", confirm="on"))

    assert answer.status_code == 403
    assert upstream.requests == []

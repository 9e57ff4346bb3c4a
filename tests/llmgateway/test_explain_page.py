"""The page that explains a request, and sends it when that is asked for."""

import html
import re

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from accounting import snapshot as keys_snapshot
from accounting.models import AuditEntry, VirtualKey
from accounting.request_logs import Capture
from routing.models import ModelAlias
from tests.factories.accounting import make_key, make_request_log, make_team, make_usage
from tests.factories.routing import SECRET, make_alias, make_deployment, make_provider
from tests.fakes.upstream import json_answer, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS
from tests.serving import Serving, serving

pytestmark = pytest.mark.usefixtures("nothing_in_force")
PAGE = "/admin/explain/"
BODY = {"model": ALIAS, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def alias(db) -> ModelAlias:
    return make_alias(ALIAS, make_deployment(make_provider()))


def form(body: object = BODY, **fields: object) -> dict:
    text = body if isinstance(body, str) else orjson.dumps(body).decode()
    return {"dialect": "anthropic_messages", "caller": "", "headers": "", "body": text, **fields}


def text_of(answer) -> str:
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def member(name: str, *permissions: str) -> Client:
    """A client of a staff member who may do what is named."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


# What it shows.


def test_the_empty_page_helps_with_an_example(admin_client, alias):
    text = text_of(admin_client.get(PAGE))

    assert f'"model": "{ALIAS}"' in text
    assert "press Explain" in text
    assert "Steps" not in text
    assert 'href="/admin/explain/"' in text  # in the sidebar


def test_without_an_alias_the_page_leads_to_the_first(admin_client):
    assert reverse("admin:routing_modelalias_add") in text_of(admin_client.get(PAGE))


def test_what_was_entered_is_explained(admin_client, alias):
    text = text_of(admin_client.post(PAGE, form(headers="x-env: prod\r\n\r\nx-other: 1")))

    assert f"'{ALIAS}' is matched by the alias '{ALIAS}'." in text
    assert "POST https://openrouter.ai/api/v1/chat/completions" in text
    assert "Authorization: [masked]" in text
    assert "about 8 prompt tokens; unpriced" in text
    assert f"main (…{SECRET[-4:]}), the only one" in text
    assert "known here" in text  # nothing is served by this process
    assert SECRET not in text


def test_who_asks_is_chosen_among_teams_and_their_keys(admin_client, alias):
    key = make_key(make_team("alder"), "laptop")
    make_team("birch")
    text = text_of(admin_client.post(PAGE, form(caller=f"key:{key.row.pk}")))

    assert "API key laptop of team alder asks." in text
    assert '<optgroup label="birch">' in text
    assert "Team birch asks." in text_of(admin_client.post(PAGE, form(caller="team:birch")))
    assert key.secret not in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"body": "{"}, "not valid JSON"),
        ({"body": '{"model": "m"}'}, "messages: Field required"),
        ({"body": ""}, "This field is required"),
        ({"headers": "no header"}, "write a name, a colon and a value"),
        ({"caller": "key:0"}, "Select a valid choice"),
        ({"dialect": "latin"}, "Select a valid choice"),
    ],
)
def test_errors_stand_beside_the_fields(admin_client, alias, fields, said):
    text = text_of(admin_client.post(PAGE, form(**fields)))

    error = re.search(r'<p class="llmgw-error" role="alert">([^<]*)</p>', text)
    assert said in error[1]
    assert "Steps" not in text


def test_a_key_that_is_not_in_force_is_told(admin_client, alias, monkeypatch):
    key = make_key()
    VirtualKey.objects.filter(pk=key.row.pk).update(digest="moved")
    text_of(admin_client.get(PAGE))  # the picture is read, without a version that has moved
    keys_snapshot.put_in_force(
        keys_snapshot.KeyRing(number=keys_snapshot.version(), by_digest={}, prices={})
    )

    assert "not in force yet" in text_of(admin_client.post(PAGE, form(caller=f"key:{key.row.pk}")))


def test_a_request_that_finds_no_target_says_what_its_client_gets(admin_client, alias):
    text = text_of(admin_client.post(PAGE, form({**BODY, "model": "other"})))

    assert "The client gets status 404" in text
    assert "is not known here" in text
    assert "Send it" not in text


def test_a_long_request_is_cut_on_the_page(admin_client, alias):
    long = {**BODY, "messages": [{"role": "user", "content": "word " * 30_000}]}

    assert "Only the beginning is shown" in text_of(admin_client.post(PAGE, form(long)))


def test_the_page_of_an_alias_leads_here(admin_client, alias):
    wildcard = make_alias("claude-*", make_deployment(make_provider("other")), match="wildcard")
    for row, name in ((alias, ALIAS), (wildcard, "claude-example")):
        page = text_of(admin_client.get(reverse("admin:routing_modelalias_change", args=[row.pk])))
        link = reverse("admin:routing_modelalias_explain_route", args=[row.pk])
        assert link in page
        text = text_of(admin_client.get(link, follow=True))
        assert f"'{name}' is matched by the alias '{row.name}'." in text


def test_the_page_of_a_usage_record_leads_here(admin_client, alias):
    key = make_key(make_team("alder"), "laptop")
    record = make_usage(alias=ALIAS, key_id=key.row.pk, session="s-1")
    page = text_of(
        admin_client.get(reverse("admin:accounting_usagerecord_change", args=[record.pk]))
    )
    link = reverse("admin:accounting_usagerecord_explain_route", args=[record.pk])
    text = text_of(admin_client.get(link, follow=True))

    assert link in page
    assert "keeps no body" in text
    assert "API key laptop of team alder asks." in text
    assert "x-claude-code-session-id: s-1" in text


def test_an_unknown_record_is_told(admin_client, alias):
    assert "no usage record 'x'" in text_of(admin_client.get(PAGE, {"record": "x"}))


# Who may see it.


def test_only_staff_who_may_see_aliases_see_it(client, alias, django_user_model):
    assert client.get(PAGE).status_code == 302
    client.force_login(django_user_model.objects.create_user("somebody"))
    assert client.get(PAGE).status_code == 302
    birch = member("birch")
    assert birch.get(PAGE).status_code == 403
    assert PAGE not in birch.get("/admin/").content.decode()
    assert member("alder", "view_modelalias").get(PAGE).status_code == 200


def test_records_and_logged_bodies_are_for_those_who_may_see_them(alias):
    record = make_usage(alias=ALIAS)
    kept = Capture(1000)
    kept.add(orjson.dumps({**BODY, "system": "for few eyes"}))
    make_request_log(id=record.pk, bodies={"client_request": kept})
    few, more, all_of_it = (
        member("few", "view_modelalias"),
        member("more", "view_modelalias", "view_usagerecord"),
        member("all", "view_modelalias", "view_usagerecord", "view_requestlog"),
    )

    assert "that you may see" in text_of(few.get(PAGE, {"record": record.pk}))
    assert "for few eyes" not in text_of(more.get(PAGE, {"record": record.pk}))
    assert not AuditEntry.objects.filter(kind="accounting.requestlog").exists()
    assert "for few eyes" in text_of(all_of_it.get(PAGE, {"record": record.pk}))
    looked = AuditEntry.objects.get(kind="accounting.requestlog")
    assert (looked.actor, looked.action, looked.object_id) == ("all", "use", record.pk)
    assert looked.after == {
        "how": "Looked at what was kept, masked, to explain it.",
        "bodies": 1,
    }


def test_only_who_may_make_keys_may_send(alias):
    key = make_key()
    few = member("few", "view_modelalias")
    sending = form(caller=f"key:{key.row.pk}", send="1", confirm="on")

    assert "Send it" not in text_of(few.post(PAGE, form(caller=f"key:{key.row.pk}")))
    assert few.post(PAGE, sending).status_code == 403


def test_a_process_that_serves_nobody_sends_nothing(admin_client, alias):
    sending = form(caller=f"key:{make_key().row.pk}", send="1", confirm="on")

    assert "serves no requests" in text_of(admin_client.post(PAGE, sending))


# The button, in a process that serves.


@pytest.fixture
def staff(transactional_db) -> str:
    """The session of an administrator."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client.cookies["sessionid"].value


@pytest.fixture
async def gateway(provider, key, staff, tmp_path):
    async with serving(tmp_path / "journal") as running:
        running.http.cookies.set("sessionid", staff)
        yield running


async def post(gateway: Serving, **fields: object) -> str:
    page = await gateway.http.get(PAGE)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    pk = await VirtualKey.objects.values_list("pk", flat=True).aget()
    entered = form(**{"caller": f"key:{pk}", "csrfmiddlewaretoken": token, **fields})
    answer = await gateway.http.post(PAGE, data=entered, headers={"referer": gateway.url})
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    return html.unescape(answer.text)


async def test_explaining_sends_nothing(gateway, upstream):
    text = await post(gateway)

    assert "API key laptop of team alder asks." in text
    assert "known here" not in text
    assert upstream.requests == []


async def test_sending_takes_the_way_of_a_clients_request(gateway, upstream):
    text = await post(gateway, send="1", confirm="on")

    (seen,) = upstream.requests
    assert seen.json["messages"] == [{"role": "user", "content": "Hi"}]
    assert seen.headers["authorization"] == f"Bearer {SECRET}"
    assert "Hello." in text
    assert "status 200" in text
    (record,) = await gateway.records(1)
    assert (record.team, record.key_name, record.status) == ("alder", "laptop", "succeeded")
    listed = f"{reverse('admin:accounting_usagerecord_changelist')}?q={record.request_id}"
    assert listed in text
    logged = await LogEntry.objects.aget()
    assert record.request_id in logged.change_message
    assert record.pk in (await gateway.http.get(listed)).text


async def test_what_is_shown_is_what_is_then_sent(gateway, upstream):
    text = await post(gateway)
    await post(gateway, send="1", confirm="on")

    shown = re.search(r'<pre class="llmgw-copy" tabindex="0">POST (.*?)</pre>', text, re.DOTALL)[1]
    head, _blank, body = shown.partition("\n\n")
    assert orjson.loads(body) == upstream.requests[0].json
    assert head.splitlines()[0] == upstream.url + "/chat/completions"


async def test_a_stream_is_shown_as_it_came(gateway, upstream):
    upstream.answers(stream_answer(text_stream("Good ", "day")))
    text = await post(gateway, body={**BODY, "stream": True}, send="1", confirm="on")

    assert "event: message_stop" in text
    assert "Good " in text


async def test_a_failure_is_shown_as_the_client_would_get_it_and_without_secrets(gateway, upstream):
    echo = {"error": {"message": f"no such key: {SECRET}", "code": 401}}
    upstream.answers(json_answer(echo, status=401))
    text = await post(gateway, send="1", confirm="on")

    assert "status 502" in text
    assert "What reached a provider is booked" in text
    assert SECRET not in text


async def test_a_long_answer_is_cut(gateway, upstream):
    upstream.answers(stream_answer(text_stream(*["many words " * 100] * 200)))
    text = await post(gateway, body={**BODY, "stream": True}, send="1", confirm="on")

    assert "Only the beginning is shown; it has" in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"send": "1"}, "confirm that it costs"),
        ({"send": "1", "confirm": "on", "caller": ""}, "Choose an API key"),
    ],
)
async def test_nothing_is_sent_without_a_key_and_a_confirmation(gateway, upstream, fields, said):
    assert said in await post(gateway, **fields)
    assert upstream.requests == []


async def test_a_key_that_was_switched_off_sends_nothing(gateway, upstream):
    await VirtualKey.objects.aupdate(enabled=False)
    await sync_to_async(keys_snapshot.bump)()
    await gateway.runtime.refresh()
    text = await post(gateway, send="1", confirm="on")

    assert "is switched off" in text
    assert upstream.requests == []


async def test_a_form_without_its_token_is_refused(gateway, upstream):
    answer = await gateway.http.post(PAGE, data=form(send="1", confirm="on"))

    assert answer.status_code == 403
    assert upstream.requests == []

"""The playground's page: who sees it, what it offers, and the shapes that its form takes."""

import html
import re
from datetime import timedelta

import orjson
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounting.models import VirtualKey
from llmgateway.playground.form import IMAGE_BYTES_MAX
from llmgateway.runtime import refresh_pictures
from tests.factories.accounting import make_key, make_team
from tests.factories.routing import make_alias, make_deployment, make_provider
from tests.llmgateway.playground.conftest import signed_in

PAGE = "/usage/playground/"
MODELS = f"{PAGE}models/"
SEND = f"{PAGE}send/"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.fixture
def alias(people):
    made = make_alias("sonnet", make_deployment(make_provider()))
    refresh_pictures()
    return made


def pk_of(name: str) -> int:
    return VirtualKey.objects.get(name=name).pk


def form(**fields) -> dict:
    return {
        "key": pk_of("own"),
        "dialect": "anthropic_messages",
        "alias": "sonnet",
        "stream": "on",
        "role": ["user"],
        "text": ["Hi <b>there</b>"],
        "max_tokens": "2048",
        **fields,
    }


def text_of(answer, status: int = 200) -> str:
    assert answer.status_code == status
    assert "no-store" in answer["Cache-Control"]
    return html.unescape(answer.content.decode())


def raw_in(text: str) -> dict:
    [written] = re.findall(r'<textarea name="raw"[^>]*>(.*?)</textarea>', text, re.DOTALL)
    return orjson.loads(written)


# Who sees it.


@pytest.mark.parametrize(
    ("who", "keys"),
    [
        ("lead", {"shared", "own", "colleague", "audited"}),
        ("member", {"own"}),
        ("stranger", {"foreign"}),
        ("staff", {"shared", "own", "colleague", "audited", "foreign"}),
    ],
)
def test_everybody_chooses_from_the_keys_that_they_may_send_as(people, alias, who, keys):
    text = text_of(signed_in(people[who]).get(PAGE))
    shown = re.findall(r'<option value="\d+"[^>]*>(?:alder|birch)/(\S+)', text)

    assert set(shown) == keys
    assert '<option value="sonnet">sonnet' in text


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("auditor", "You are an auditor"),
        ("outsider", "you are in no team so far"),
        ("clerk", "the permission to add API keys"),
    ],
)
def test_who_may_send_nothing_is_told_why(people, alias, who, said):
    client = signed_in(people[who])
    text = re.sub(r"<[^>]+>", "", html.unescape(client.get(PAGE).content.decode()))

    assert said in text
    for ask in (client.get, client.post):
        assert ask(PAGE).status_code == 403
        assert ask(MODELS, {"key": pk_of("own")}).status_code == 403
    assert client.post(SEND, form()).status_code in {403, 409}


def test_nobody_is_sent_to_sign_in(db):
    for address in (PAGE, MODELS, SEND):
        answer = Client().get(address)
        assert answer.status_code == 302
        assert "/usage/sign-in/" in answer["Location"]


def test_the_page_stands_in_the_navigation(people):
    assert f'href="{PAGE}"' in signed_in(people["member"]).get("/usage/live/").content.decode()


@pytest.mark.parametrize("who", ["member", "lead", "stranger"])
def test_a_key_that_is_not_theirs_is_like_one_that_is_not_there(people, alias, who):
    client = signed_in(people[who])
    foreign = "own" if who == "stranger" else "foreign"
    answers = [client.post(PAGE, form(key=pk, action="send")) for pk in (pk_of(foreign), 10**9)]

    for answer in answers:
        assert "Select a valid choice" in text_of(answer)
    models = [client.get(MODELS, {"key": pk}).status_code for pk in (pk_of(foreign), 10**9, "x")]
    assert models == [404, 404, 404]


# Empty states.


def test_a_member_without_a_key_is_told_who_makes_one(people):
    VirtualKey.objects.all().delete()

    assert "your team's lead makes one" in text_of(signed_in(people["member"]).get(PAGE))
    assert '"/usage/teams/alder/"' in text_of(signed_in(people["lead"]).get(PAGE))
    assert "/admin/accounting/virtualkey/add/" in text_of(signed_in(people["staff"]).get(PAGE))


def test_without_an_alias_it_says_where_one_is_made(people):
    assert "/admin/routing/modelalias/add/" in text_of(signed_in(people["staff"]).get(PAGE))
    assert "an administrator adds one" in text_of(signed_in(people["lead"]).get(PAGE))


def test_only_models_that_are_open_to_the_key_are_offered(people, alias):
    make_alias("opus", make_deployment(make_provider("second")))
    make_alias("claude-*", make_deployment(make_provider("third")), match="wildcard")
    make_key(make_team("alder"), "narrow", owner=people["member"], allowed_aliases=["op*"])
    make_key(make_team("alder"), "none", owner=people["member"], allowed_aliases=["other"])
    refresh_pictures()
    client = signed_in(people["member"])

    def models(name: str) -> dict:
        return client.get(MODELS, {"key": pk_of(name)}).json()

    assert models("own") == {"models": ["opus", "sonnet"], "patterns": ["claude-*"]}
    assert models("narrow") == {"models": ["opus"], "patterns": []}
    assert models("none") == {"models": [], "patterns": []}
    text = text_of(client.get(PAGE, {"key": pk_of("narrow")}))
    assert '<option value="opus">' in text
    assert '<option value="sonnet">' not in text
    assert "No model that is listed is open to this key" in text_of(
        client.get(PAGE, {"key": pk_of("none")})
    )


def test_a_key_that_is_refused_now_says_so(people, alias):
    row = VirtualKey.objects.get(name="own")
    row.expires_at = row.created_at - timedelta(days=1)
    row.save()

    assert "– expired</option>" in text_of(signed_in(people["member"]).get(PAGE))


def test_a_key_and_a_model_can_be_named_in_the_address(people, alias):
    query = {"key": pk_of("shared"), "alias": "sonnet"}
    text = text_of(signed_in(people["lead"]).get(PAGE, query))

    assert f'<option value="{pk_of("shared")}" selected>' in text
    assert '<option value="sonnet" selected>' in text


# The form's shapes.


def test_a_turn_is_added_with_all_that_was_entered(people, alias):
    client = signed_in(people["member"])
    text = text_of(client.post(PAGE, form(action="turn", system="Be kind.", temperature="3")))

    assert text.count('<textarea name="text"') == 3  # and one in the template for the script
    assert re.search(r"<option selected>assistant", text)
    assert "Hi <b>there</b>" in text
    assert "Be kind." in text
    assert "less than or equal" not in text


def test_the_fields_become_json_and_come_back(people, alias):
    client = signed_in(people["member"])
    text = text_of(client.post(PAGE, form(action="raw", tool="on", temperature="0.5")))
    body = raw_in(text)

    assert body["model"] == "sonnet"
    assert body["messages"] == [{"role": "user", "content": "Hi <b>there</b>"}]
    assert (body["stream"], body["temperature"], body["tools"][0]["name"]) == (True, 0.5, "get_weather")  # fmt: skip
    assert '<div class="play-fields" hidden>' in text
    back = text_of(client.post(PAGE, form(action="fields", is_raw="1", raw="{}", tool="on")))
    assert '<textarea name="raw"' not in back
    assert 'name="tool" id="id_tool" checked' in back


def test_the_models_of_another_key_are_shown_without_a_script(people, alias):
    text = text_of(signed_in(people["member"]).post(PAGE, form(action="models", max_tokens="")))

    assert "Hi <b>there</b>" in text
    assert "Enter how long" not in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"alias": ""}, "Choose a model, or name one."),
        ({"max_tokens": ""}, "Enter how long the answer may get."),
        ({"max_tokens": "0"}, "greater than or equal to 1"),
        ({"temperature": "9"}, "less than or equal to 2"),
        ({"effort": "medium"}, "Thinking medium takes up to 4,096 tokens"),
        ({"effort": "very"}, "Select a valid choice"),
        ({"is_raw": "1", "raw": " "}, "Write a body, or go back to the fields."),
        ({"image": SimpleUploadedFile("a.png", b"<svg>")}, "no PNG, JPEG, GIF or WebP"),
        ({"image": SimpleUploadedFile("a.png", PNG + b"\0" * IMAGE_BYTES_MAX)}, "larger than 1 MB"),
    ],
    ids=["model", "tokens", "none", "hot", "thinking", "effort", "raw", "no-image", "large"],
)
def test_errors_stand_beside_the_fields(people, alias, fields, said):
    assert said in text_of(signed_in(people["member"]).post(PAGE, form(action="send", **fields)))


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    ],
    ids=["png", "jpeg", "gif", "webp"],
)
def test_an_image_is_known_by_what_is_in_it(people, alias, data, media_type):
    image = SimpleUploadedFile("x.txt", data, content_type="text/html")
    body = raw_in(text_of(signed_in(people["member"]).post(PAGE, form(action="raw", image=image))))

    assert body["messages"][0]["content"][0]["source"]["media_type"] == media_type


def test_a_process_that_serves_nobody_sends_nothing(people, alias):
    client = signed_in(people["member"])

    assert "This process serves no requests" in text_of(client.post(PAGE, form(action="send")))
    assert client.post(SEND, form()).status_code == 409

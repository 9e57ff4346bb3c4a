"""The page that leads from an empty database to a first request, walked by Django's test client."""

import html
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from accounting.models import Price, Team, VirtualKey
from llmgateway.beginnings import add_demo
from llmgateway.first_steps.pages import NEEDED
from routing.models import Credential, Deployment, ModelAlias, Provider, ProviderCheck, RouteTarget
from tests.factories.accounting import make_key, make_usage
from tests.factories.routing import SECRET, make_alias, make_deployment, make_provider
from tests.fakes.upstream import json_answer
from tests.llmgateway.test_model_sync import LARGE, SMALL
from tests.routing.test_commands import running_upstream

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_in_force")]
PAGE = "/admin/first-steps/"
NEWS = "/admin/first-steps/request/"


@pytest.fixture
def upstream():
    with running_upstream() as fake:
        fake.default = json_answer({"data": [LARGE, SMALL]})
        yield fake


def text_of(answer) -> str:
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def add(client: Client, **fields: str):
    form = {
        "do": "provider",
        "kind": "openai_compatible",
        "slug": "box",
        "secret": SECRET,
        **fields,
    }
    return client.post(PAGE, form, follow=True)


def states(client: Client, address: str = PAGE) -> list[str]:
    return [card.state for card in client.get(address).context["cards"]]


# The way.


def test_the_whole_way_from_an_empty_database_to_a_request(admin_client, upstream):
    page = text_of(admin_client.get(PAGE))
    assert "Which one do you have?" in page
    assert 'href="/admin/first-steps/"' in page  # in the sidebar
    assert states(admin_client) == ["now", "to do", "to do", "to do", "to do"]

    page = text_of(admin_client.get(PAGE, {"step": "provider", "kind": "openai_compatible"}))
    assert 'value="https://api.openai.com/v1"' in page
    page = text_of(add(admin_client, base_url=upstream.url))
    assert "box: ok" in page
    assert "2 models" in page
    assert 'value="a/large" checked' in page
    assert SECRET not in page
    assert states(admin_client) == ["done", "done", "now", "to do", "to do"]

    form = {"do": "models", "provider": "box", "model": ["a/large"], "claude": "model:b/small"}
    page = text_of(admin_client.post(PAGE, {**form, "prices": "on"}, follow=True))
    assert "3 names lead to box" in page
    targets = RouteTarget.objects.values_list("route__alias__name", "deployment__upstream_model")
    assert set(targets) == {
        ("a/large", "a/large"),
        ("b/small", "b/small"),
        ("claude-*", "b/small"),
    }
    assert Deployment.objects.get(upstream_model="a/large").context_window_tokens == 200000
    assert states(admin_client) == ["done", "done", "done", "now", "to do"]

    made = admin_client.post(PAGE, {"do": "key", "team": "alder", "name": "laptop"})
    key = VirtualKey.objects.get()
    page = text_of(made)
    assert "no-store" in made["Cache-Control"]
    assert page.count(key.prefix) >= 5  # the key itself, and in four lines
    assert "ANTHROPIC_BASE_URL=http://testserver" in page
    assert "--model a/large" in page
    assert "Waiting for the first request" in page
    assert f"{NEWS}?key={key.pk}&provider=box" in page

    again = text_of(admin_client.get(PAGE))
    assert "YOUR-KEY" in again
    assert key.last_four in again
    secret_start = made.context["page"].minted.secret[:20]
    assert secret_start not in again

    assert admin_client.get(NEWS, {"key": key.pk}).json()["state"] == "waiting"
    make_usage(
        key_id=key.pk, provider="box", prompt_tokens=1234, ttft_ms=321, cost_usd=Decimal("0.5")
    )
    news = admin_client.get(NEWS, {"key": key.pk}).json()
    assert news["state"] == "succeeded"
    assert "1,234" in news["html"]
    assert "321 ms" in news["html"]
    assert "$0.5" in news["html"]
    assert "/usage/requests/req_" in news["html"]
    assert states(admin_client) == ["done"] * 5


def test_the_demo_is_one_press_and_leaves_only_the_key_to_make(admin_client):
    page = text_of(admin_client.post(PAGE, {"do": "provider", "kind": "demo"}, follow=True))

    assert "answers inside the gateway" in page
    assert states(admin_client) == ["done", "done", "done", "now", "to do"]
    page = text_of(admin_client.get(PAGE, {"step": "provider"}))
    assert "For real models, add a provider" in page
    assert "kind=demo" not in page


def test_what_first_run_has_made_is_behind_one(admin_client):
    add_demo()
    make_key()

    assert states(admin_client) == ["done", "to do", "done", "done", "now"]
    assert "--model demo" in text_of(admin_client.get(PAGE))


# A provider.


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"base_url": "ftp://x"}, "Enter an address such as"),
        ({"base_url": ""}, "needs an address"),
        ({"base_url": "http://169.254.169.254/v1"}, "GATEWAY_OUTBOUND_ALLOW"),
        ({"base_url": "http://127.0.0.1:1/v1", "secret": "two words"}, "one word"),
        ({"kind": "anthropic", "secret": ""}, "not called without an API key"),
        ({"base_url": "http://127.0.0.1:1/v1", "slug": "taken"}, "choose another one"),
        ({"base_url": "http://127.0.0.1:1/v1", "slug": "no slug"}, "Enter a valid"),
    ],
)
def test_what_cannot_be_a_provider_is_told_at_its_field(admin_client, fields, sentence):
    make_provider("taken")
    page = text_of(add(admin_client, **fields))

    assert sentence in page
    assert SECRET not in page
    assert Provider.objects.get().slug == "taken"


@pytest.mark.parametrize(
    "kind", ["openrouter", "anthropic", "litellm_proxy", "litellm_sdk", "ollama", "demo"]
)
def test_each_kind_is_asked_for_what_it_needs(admin_client, kind):
    form = admin_client.get(PAGE, {"step": "provider", "kind": kind}).context["provider_form"]

    assert ("secret" in form.fields) == (kind != "demo")
    if kind in ("openrouter", "anthropic", "litellm_proxy", "ollama"):
        assert form.initial["base_url"].startswith("http")
    assert form.kind.needs


def test_no_kind_at_all_is_told(admin_client):
    page = text_of(admin_client.post(PAGE, {"do": "provider", "kind": "?"}, follow=True))

    assert "Choose what kind of provider it is." in page


def test_a_name_that_is_taken_is_not_proposed(admin_client):
    make_provider("openrouter")
    page = admin_client.get(PAGE, {"step": "provider", "kind": "openrouter"})

    assert page.context["provider_form"].initial["slug"] == "openrouter-2"


# The test.


def test_a_test_that_fails_tells_why_and_what_to_do_and_lets_one_go_on(admin_client, upstream):
    upstream.default = json_answer({"error": {"message": "no such key"}}, status=401)
    page = text_of(add(admin_client, base_url=upstream.url))

    assert "no such key" in page
    assert "does not accept the credential" in page
    assert "go on all the same" in page
    assert states(admin_client) == ["done", "problem", "to do", "to do", "to do"]
    page = text_of(admin_client.get(PAGE, {"provider": "box", "step": "models"}))
    assert "There is no list to choose from" in page
    form = {"do": "models", "provider": "box", "typed": "first\nsecond", "claude": "keep"}
    admin_client.post(PAGE, form)
    assert set(ModelAlias.objects.values_list("name", flat=True)) == {"first", "second"}
    assert states(admin_client) == ["done", "problem", "done", "now", "to do"]

    upstream.default = json_answer({"data": []})
    page = text_of(admin_client.post(PAGE, {"do": "test", "provider": "box"}, follow=True))
    assert "box: ok" in page
    assert ProviderCheck.objects.get().problem == ""


def test_nobody_at_the_address_is_told(admin_client):
    page = text_of(add(admin_client, base_url="http://127.0.0.1:1/v1"))

    assert "does not answer" in page
    assert "Look at the base URL" in page


def test_a_provider_that_is_gone_is_told(admin_client):
    for step in ("test", "models"):
        page = text_of(admin_client.post(PAGE, {"do": step, "provider": "gone"}, follow=True))
        assert "There is no such provider any more." in page


# Models.


def test_models_are_narrowed_and_those_that_are_there_are_marked(admin_client, upstream):
    add(admin_client, base_url=upstream.url)
    make_deployment(Provider.objects.get(), "b/small")
    page = admin_client.get(PAGE, {"step": "models", "filter": "SMALL b"})

    [choice] = page.context["offered"].choices
    assert (choice.model, choice.is_there) == ("b/small", True)
    page = admin_client.get(PAGE, {"step": "models", "filter": "nothing"})
    assert "No model's name holds “nothing”" in text_of(page)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Choose at least one model"),
        ({"typed": "two words"}, "no model's name"),
        ({"typed": "{0}"}, "no model's name"),
        ({"claude": "model:two words"}, "no model's name"),
        ({"typed": "\n".join(f"m{number}" for number in range(101))}, "at most 100"),
    ],
)
def test_a_choice_that_cannot_be_is_told(admin_client, upstream, fields, sentence):
    add(admin_client, base_url=upstream.url)
    form = {"do": "models", "provider": "box", "claude": "keep", **fields}

    assert sentence in text_of(admin_client.post(PAGE, form))
    assert not Deployment.objects.exists()


def test_names_of_the_demo_are_taken_over_and_others_are_left(admin_client, upstream):
    add_demo()
    make_alias("a/large", make_deployment(make_provider("other"), "x"))
    add(admin_client, base_url=upstream.url)
    form = {"do": "models", "provider": "box", "model": ["a/large"], "claude": "model:b/small"}
    page = text_of(admin_client.post(PAGE, form, follow=True))

    assert "were left so: a/large" in page
    leading = dict(
        RouteTarget.objects.values_list("route__alias__name", "deployment__provider__slug")
    )
    assert leading == {"demo": "demo", "a/large": "other", "b/small": "box", "claude-*": "box"}


def test_claude_leads_to_the_same_models_where_the_kind_has_them(admin_client, upstream):
    row = make_provider("router", base_url=upstream.url)
    form = {"do": "models", "provider": row.slug, "claude": "same"}
    admin_client.post(PAGE, form)

    models = set(Deployment.objects.values_list("upstream_model", flat=True))
    assert "anthropic/claude-{1}-{2}.{3}" in models
    assert ModelAlias.objects.filter(match="regex").count() == 3


def test_prices_are_noted_only_by_who_may(upstream, django_user_model):
    user = django_user_model.objects.create_user("staff", is_staff=True)
    allow(user, *NEEDED)
    client = Client()
    client.force_login(user)
    row = make_provider("router", base_url=upstream.url)
    form = {"do": "models", "provider": row.slug, "model": ["a/large"], "prices": "on"}
    client.post(PAGE, form)

    assert Deployment.objects.filter(upstream_model="a/large").exists()
    assert not Price.objects.exists()
    allow(user, *NEEDED, "accounting.add_price")
    client.post(PAGE, form)
    assert Price.objects.get().upstream_model == "a/large"


# The key.


def test_a_key_of_a_name_that_is_taken_is_told_and_makes_nothing(admin_client):
    make_key(name="laptop")
    page = text_of(admin_client.post(PAGE, {"do": "key", "team": "alder", "name": "laptop"}))

    assert "llmgw-error" in page
    assert VirtualKey.objects.count() == 1
    page = text_of(admin_client.post(PAGE, {"do": "key", "team": "new team", "name": "x"}))
    assert "Enter a valid" in page
    assert Team.objects.count() == 1


def test_a_new_key_of_a_team_that_is_there_is_the_one_that_is_waited_for(admin_client):
    old = make_key(name="old")
    make_usage(key_id=old.row.pk)
    page = text_of(admin_client.post(PAGE, {"do": "key", "team": "alder", "name": "new"}))

    assert "Waiting for the first request of key “new”" in page
    page = text_of(admin_client.get(PAGE, {"key": old.row.pk, "step": "request"}))
    assert "It works." in page


# The first request.


def test_a_request_that_failed_is_told_with_what_to_do(admin_client):
    row = make_key().row
    make_usage(
        key_id=row.pk, status="failed", error="UpstreamOutOfCredit", error_message="No <money> left"
    )
    news = admin_client.get(NEWS, {"key": row.pk}).json()

    assert news["state"] == "failed"
    assert "No &lt;money&gt; left" in news["html"]
    assert "The account has no credit left" in news["html"]


@pytest.mark.parametrize(
    ("status", "sentence"), [("client_closed", "hung up"), ("interrupted", "was stopped")]
)
def test_a_request_without_an_end_is_told(admin_client, status, sentence):
    row = make_key().row
    make_usage(key_id=row.pk, status=status)

    assert sentence in admin_client.get(NEWS, {"key": row.pk}).json()["html"]


def test_a_request_that_went_elsewhere_is_not_the_one_that_is_waited_for(admin_client):
    row = make_key().row
    make_usage(key_id=row.pk, provider="other")

    news = {"key": row.pk, "provider": "box"}
    assert admin_client.get(NEWS, news).json()["state"] == "waiting"
    make_usage(key_id=row.pk, provider="box")
    make_usage(key_id=row.pk, provider="other")
    assert admin_client.get(NEWS, news).json()["state"] == "succeeded"


@pytest.mark.parametrize("number", ["", "x", "99999999999999999999", "-1"])
def test_any_number_of_a_key_is_answered(admin_client, number):
    assert admin_client.get(NEWS, {"key": number}).json()["state"] == "waiting"
    assert admin_client.get(PAGE, {"key": number}).status_code == 200


# Who may.


def allow(user: User, *names: str) -> None:
    codenames = [name.partition(".")[2] for name in names]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))


def test_outsiders_and_those_who_may_not_do_all_of_it_are_refused(client, django_user_model):
    assert client.get(PAGE).status_code == 302
    birch = django_user_model.objects.create_user("birch")
    client.force_login(birch)
    assert client.get(PAGE).status_code == 302
    assert client.get(NEWS).status_code == 302

    staff = django_user_model.objects.create_user("staff", is_staff=True)
    allow(staff, *NEEDED[1:])
    client.force_login(staff)
    assert client.get(PAGE).status_code == 403
    assert client.get(NEWS).status_code == 403
    assert client.post(PAGE, {"do": "key", "team": "alder", "name": "x"}).status_code == 403
    assert not VirtualKey.objects.exists()
    assert PAGE not in client.get(reverse("admin:index")).content.decode()

    allow(staff, *NEEDED)
    assert client.get(PAGE).status_code == 200
    assert client.post(NEWS).status_code == 405


def test_no_secret_is_in_what_is_stored_in_clear(admin_client, upstream):
    add(admin_client, base_url=upstream.url)

    row = Credential.objects.get()
    assert row.last_four == SECRET[-4:]
    assert SECRET not in row.sealed_secret
    assert upstream.requests[0].headers["authorization"] == f"Bearer {SECRET}"

"""The page that shows what a synchronisation would change, and writes what is chosen of it."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounting.models import Price
from llmgateway import sync_page
from routing.models import Deployment
from tests.factories.routing import SECRET, make_credential, make_deployment, make_provider
from tests.fakes.upstream import json_answer
from tests.llmgateway.test_model_sync import LARGE, SMALL
from tests.routing.test_commands import running_upstream

pytestmark = pytest.mark.django_db


@pytest.fixture
def upstream():
    with running_upstream() as fake:
        fake.default = json_answer({"data": [LARGE, SMALL]})
        yield fake


@pytest.fixture
def router(upstream):
    row = make_provider("router", base_url=upstream.url, enabled=False)
    make_credential(row)
    return row


@pytest.fixture
def address(router):
    return reverse("admin:routing_provider_synchronise_models", args=[router.pk])


def boxes(page: str) -> dict[str, str]:
    """The value of each box by its model."""
    found = re.findall(r'name="chosen" value="(\w+)" aria-label="Apply ([^"]+)"', page)
    return {model: digest for digest, model in found}


def shown_digest(page: str) -> str:
    return re.search(r'name="shown" value="(\w+)"', page)[1]


def test_what_would_change_is_shown_and_nothing_is_written(admin_client, router, address):
    make_deployment(
        router, "a/large", context_window_tokens=5, fact_sources={"context_window_tokens": "x list"}
    )
    make_deployment(router, "b/<old>")
    page = admin_client.get(address).content.decode()

    assert boxes(page).keys() == {"a/large", "b/small"}
    assert "Changed (1)" in page
    assert "New (1)" in page
    assert "Gone (1)" in page
    assert "b/&lt;old&gt;" in page
    assert "context window 5 → <b>200,000</b>" in page
    assert "prompt price <b>$0.025</b>" in page
    assert "openrouter list" in page
    assert SECRET not in page
    assert Deployment.objects.count() == 2
    assert not Price.objects.exists()


def test_what_is_chosen_is_written_and_the_rest_is_not(admin_client, router, address):
    digest = boxes(admin_client.get(address).content.decode())["b/small"]
    page = admin_client.post(
        address, {"asked": 1, "prices": "on", "chosen": [digest], "apply": "chosen"}, follow=True
    ).content.decode()

    assert "1 new, 0 changed, 1 prices noted; live within a second." in page
    assert boxes(page).keys() == {"a/large"}
    assert Deployment.objects.get().upstream_model == "b/small"
    assert Price.objects.get().upstream_model == "b/small"
    assert "1 new" in LogEntry.objects.get().get_change_message()


def test_all_that_is_shown_is_written_at_once(admin_client, router, address):
    page = admin_client.get(address).content.decode()
    form = {"asked": 1, "prices": "on", "shown": shown_digest(page), "apply": "all"}
    page = admin_client.post(address, form, follow=True).content.decode()

    assert Deployment.objects.count() == 2
    assert "What is known of the models is up to date." in page
    assert "There is no model that is not a deployment already." in page
    assert "Apply" not in boxes(page)


@pytest.mark.parametrize("way", ["chosen", "all"])
def test_what_is_no_longer_what_was_shown_is_not_written(
    admin_client, router, address, upstream, way
):
    page = admin_client.get(address).content.decode()
    upstream.default = json_answer({"data": [{**LARGE, "context_length": 3}, SMALL]})
    form = {
        "asked": 1,
        "prices": "on",
        "chosen": list(boxes(page).values()),
        "shown": shown_digest(page),
        "apply": way,
    }
    page = admin_client.post(address, form, follow=True).content.decode()

    assert "the provider tells something else now" in page
    assert not Deployment.objects.exists()


def test_a_filter_and_no_prices(admin_client, router, address):
    page = admin_client.get(address, {"asked": 1, "filter": "b/* c/*"}).content.decode()
    assert boxes(page).keys() == {"b/small"}
    assert "checked" in page  # what was filtered for is chosen
    assert "prompt price" not in page
    form = {"asked": 1, "filter": "b/* c/*", "shown": shown_digest(page), "apply": "all"}
    admin_client.post(address, form)

    assert Deployment.objects.get().upstream_model == "b/small"
    assert not Price.objects.exists()


def test_a_long_list_is_cut_and_says_so(admin_client, address, monkeypatch):
    monkeypatch.setattr(sync_page, "ROWS_SHOWN_MAX", 1)
    page = admin_client.get(address).content.decode()

    assert boxes(page).keys() == {"a/large"}
    assert "There are 1 more." in page


def test_what_the_provider_refuses_is_told_on_its_page(admin_client, address, upstream):
    upstream.default = json_answer({"error": {"message": "No such key"}}, status=401)
    assert "router: No such key" in admin_client.get(address, follow=True).content.decode()
    demo = make_provider("demo", kind="demo")
    address = reverse("admin:routing_provider_synchronise_models", args=[demo.pk])
    assert "has no list of models" in admin_client.get(address, follow=True).content.decode()


def test_only_who_may_change_deployments_may_synchronise(client, django_user_model, address):
    birch = django_user_model.objects.create_user("birch", is_staff=True)
    client.force_login(birch)
    assert client.get(address).status_code == 403
    names = ["change_provider", "add_deployment", "change_deployment"]
    birch.user_permissions.set(Permission.objects.filter(codename__in=names))
    page = client.get(address).content.decode()
    assert boxes(page).keys() == {"a/large", "b/small"}
    assert "prompt price" not in page  # that takes the right to add prices
    form = {"asked": 1, "prices": "on", "shown": shown_digest(page), "apply": "all"}
    client.post(address, form)
    assert Deployment.objects.count() == 2
    assert not Price.objects.exists()


def test_a_fact_that_is_edited_on_its_page_is_an_operators(admin_client, router, address):
    row = make_deployment(
        router,
        "a/large",
        context_window_tokens=5,
        fact_sources={"context_window_tokens": "openrouter list", "takes_tools": "openrouter list"},
    )
    edit = reverse("admin:routing_deployment_change", args=[row.pk])
    assert "context_window_tokens: openrouter list" in admin_client.get(edit).content.decode()
    form = {
        "provider": router.pk,
        "upstream_model": "a/large",
        "enabled": "on",
        "context_window_tokens": "7",
        "takes_tools": "unknown",
        "takes_images": "unknown",
        "can_reason": "unknown",
        "can_cache": "unknown",
        "parameters": "{}",
        "traits": "{}",
    }
    assert admin_client.post(edit, form).status_code == 302

    row.refresh_from_db()
    assert row.fact_sources == {
        "context_window_tokens": "operator",
        "takes_tools": "openrouter list",
    }
    assert "context window" not in admin_client.get(address, {"filter": "a/*"}).content.decode()

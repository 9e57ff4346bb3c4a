"""The admin pages of transformations: what they save, and what they show before anything is saved."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from routing.models import Transformation
from tests.factories.routing import make_alias, make_deployment, make_provider

pytestmark = pytest.mark.django_db
ONE = "/admin/routing/transformation/preview/"
ALL = "/admin/routing/transformation/preview/all/"
KEY = "sk-ant-abcdefghijklmnopqrstuvwxyz0123"


def form(**fields):
    least = {
        "enabled": "on",
        "direction": "request",
        "scope": "everything",
        "position": "0",
        "kind": "regex",
        "pattern": "sk-[a-z0-9-]+",
        "replacement": "[key]",
        "preview-dialect": "anthropic_messages",
        "preview-body": "",
    }
    return {**least, **fields}


def fragment(client, address=ONE, **fields) -> str:
    answer = client.post(address, form(**fields), headers={"x-requested-with": "fetch"})
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_pages_open_and_help(admin_client):
    empty = admin_client.get(reverse("admin:routing_transformation_changelist")).content.decode()
    assert "A transformation changes requests" in empty
    row = Transformation.objects.create(name="Mask keys", pattern="sk-" + "a" * 90)
    page = admin_client.get(reverse("admin:routing_transformation_changelist")).content.decode()
    assert "Mask keys" in page
    assert "a…" in page
    for address in ("add/", f"{row.pk}/change/"):
        page = admin_client.get(f"/admin/routing/transformation/{address}").content.decode()
        assert 'data-preview="/admin/routing/transformation/preview/"' in page
        assert "llmgateway/preview.js" in page


def test_a_list_shows_state_and_scope(admin_client):
    provider = make_provider()
    Transformation.objects.create(pattern="a", enabled=False, scope="provider", provider=provider)
    page = admin_client.get(reverse("admin:routing_transformation_changelist")).content.decode()

    assert "provider openrouter" in page
    assert "off" in page


def test_what_the_scope_and_the_kind_do_not_ask_for_is_not_saved(admin_client):
    provider = make_provider()
    hidden = {"provider": provider.pk, "value": '{"a": 1}'}
    admin_client.post(reverse("admin:routing_transformation_add"), form(**hidden))
    dropping = {"kind": "json_drop", "pattern": "$.user", "scope": "provider", "flags": "x"}
    admin_client.post(reverse("admin:routing_transformation_add"), form(**hidden, **dropping))
    first, second = Transformation.objects.order_by("pk")

    assert (first.provider, first.value, first.replacement) == (None, None, "[key]")
    assert (second.provider, second.value) == (provider, None)
    assert (second.flags, second.replacement) == ("", "")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pattern": "("}, "Not an RE2 expression"),
        ({"scope": "provider"}, "Choose one: the scope asks for it."),
        ({"kind": "json_set", "pattern": "$.a", "value": "{"}, "Enter a valid JSON."),
        ({"kind": "odd"}, "Select a valid choice."),
    ],
)
def test_a_fault_is_told_at_its_field(admin_client, fields, sentence):
    page = admin_client.post(reverse("admin:routing_transformation_add"), form(**fields))

    assert sentence in page.content.decode()
    assert not Transformation.objects.exists()


def test_the_preview_shows_the_difference_and_saves_nothing(admin_client):
    shown = fragment(admin_client)

    assert "Changed in this example." in shown
    assert 'llmgw-diff-removed">-      &quot;content&quot;: &quot;My key is sk-ant-' in shown
    assert 'llmgw-diff-added">+      &quot;content&quot;: &quot;My key is [key], ' in shown
    assert not Transformation.objects.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"preview-dialect": "text", "preview-body": "a sk-b"}, "Changed."),
        ({"preview-dialect": "text", "preview-body": "a b"}, "Nothing changes."),
        ({"direction": "response"}, "Changed in this example."),
        ({"direction": "response"}, "may be the beginning of a match: “sk-”."),
        ({"direction": "response", "pattern": "[ab]"}, "is held back by up to 200 characters"),
        ({"direction": "response", "kind": "json_drop", "pattern": "$.id"}, "not to streamed ones"),
        ({"kind": "json_set", "pattern": "$.top_k", "value": "5"}, "&quot;top_k&quot;: 5"),
        ({"scope": "provider"}, "Changed in this example."),
    ],
)
def test_the_preview_is_of_what_is_in_the_form(admin_client, fields, sentence):
    assert sentence in fragment(admin_client, **fields)


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"pattern": ""}, "pattern", "This field is required."),
        ({"pattern": "("}, "pattern", "Not an RE2 expression"),
        ({"pattern": "a*", "scope": "provider"}, "pattern", "It matches the empty text"),
        ({"replacement": "\\9"}, "replacement", "is a group that the expression does not have"),
        ({"flags": "q"}, "flags", "Unknown: q."),
        ({"kind": "json_add", "pattern": "$.a", "value": "{"}, "value", "Enter a valid JSON."),
        ({"kind": "json_drop", "pattern": "$.model"}, "preview-body", "model: Field required"),
        ({"kind": "json_drop", "pattern": "$.a", "preview-dialect": "text"}, "preview-body", "choose a dialect"),
        ({"preview-body": "{"}, "preview-body", "Not JSON"),
        ({"preview-body": "{", "pattern": "("}, "preview-body", "Not JSON"),
        ({"preview-body": "x" * 300_000}, "preview-body", "more than 256 kB"),
        ({"preview-dialect": "odd"}, "preview-dialect", "Select a valid choice."),
    ],
)  # fmt: skip
def test_a_fault_in_the_preview_is_told_for_its_field(admin_client, fields, field, sentence):
    shown = fragment(admin_client, **fields)

    assert f'data-preview-fault="{field}"' in shown
    assert sentence in shown
    assert "llmgw-diff" not in shown


def test_without_scripts_the_preview_is_a_page_that_keeps_the_form(admin_client):
    page = admin_client.post(ONE, form(**{"preview-body": '{"system": "sk-a"}'})).content.decode()

    assert "What it would do | LLM gateway" in page
    assert '<input type="hidden" name="pattern" value="sk-[a-z0-9-]+">' in page
    assert page.count('name="preview-body"') == 1
    assert "+  &quot;system&quot;: &quot;[key]&quot;" in page
    assert admin_client.get(ONE).headers["location"] == ALL


def test_all_that_are_on_are_shown_together_for_what_is_chosen(admin_client):
    provider = make_provider()
    alias = make_alias("claude", make_deployment(provider))
    Transformation.objects.create(name="Mask", pattern="sk-[a-z0-9-]+", replacement="[key]")
    Transformation.objects.create(name="Cool", kind="json_set", pattern="$.temperature", value=0, scope="provider", provider=provider)  # fmt: skip
    Transformation.objects.create(name="Route", kind="json_drop", pattern="$.system", scope="route", alias=alias, position=3)  # fmt: skip
    Transformation.objects.create(name="Away", pattern="ann@", enabled=False)
    Transformation.objects.create(name="Answer", pattern="ann@", direction="response")
    page = admin_client.get(ALL).content.decode()
    assert "Applied, in this order: Mask." in page
    assert "My key is [key]" in page

    chosen = {"dialect": "openai_chat", "body": "", "direction": "request"}
    shown = fragment(admin_client, ALL, **chosen, provider=provider.pk, alias=alias.pk)
    assert "Applied, in this order: Mask, Cool, Route." in shown
    assert "&quot;temperature&quot;: 0" in shown
    assert "order: Answer." in fragment(admin_client, ALL, **{**chosen, "direction": "response"})
    assert "Select a valid choice" in fragment(admin_client, ALL, **chosen, provider="99")
    Transformation.objects.all().delete()
    assert "None is switched on" in fragment(admin_client, ALL, **chosen)


def test_a_broken_row_is_named_where_all_are_shown(admin_client):
    Transformation.objects.create(name="of old", pattern="(")

    assert "the transformation “of old” cannot be used" in admin_client.get(ALL).content.decode()


def test_the_list_leads_to_the_preview_of_all(admin_client):
    answer = admin_client.get("/admin/routing/transformation/preview_all/")

    assert answer.headers["location"] == ALL


def test_previews_are_for_staff_with_permission_and_with_a_token(client, django_user_model):
    for address in (ONE, ALL):
        assert client.post(address, form()).status_code == 302
    birch = django_user_model.objects.create_user("birch")
    client.force_login(birch)
    assert client.post(ONE, form()).status_code == 302
    birch.is_staff = True
    birch.save()
    for address in (ONE, ALL):
        assert client.post(address, form()).status_code == 403
    birch.user_permissions.add(Permission.objects.get(codename="view_transformation"))
    assert client.post(ONE, form()).status_code == 403
    assert client.get(ALL).status_code == 200
    row = Transformation.objects.create(pattern="a")
    page = client.get(reverse("admin:routing_transformation_change", args=[row.pk]))
    assert "data-preview" not in page.content.decode()


def test_a_preview_needs_the_forms_token(admin_user):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)

    assert strict.post(ONE, form()).status_code == 403
    assert strict.post(ALL, {}).status_code == 403

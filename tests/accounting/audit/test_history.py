"""Tests of the admin's page *History*: what changed, field by field, of an object and of what is edited on its page."""

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from routing.models import Route, RouteTarget
from tests.factories.accounting import make_team
from tests.factories.routing import make_alias, make_deployment, make_provider

pytestmark = pytest.mark.django_db


def history(client, row) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_history"
    page = client.get(reverse(name, args=[row.pk]))
    assert page.status_code == 200
    return page.content.decode()


def test_each_field_is_shown_before_and_after(admin_client):
    provider = make_provider(base_url="https://first.example/v1")
    provider.base_url = "https://second.example/v1"
    provider.save()

    page = history(admin_client, provider)

    assert "Base URL" in page
    assert "<pre>https://first.example/v1</pre>" in page
    assert "<pre>https://second.example/v1</pre>" in page


def test_what_was_edited_within_the_page_is_shown_too(admin_client):
    provider = make_provider()
    first, second = make_deployment(provider, "maker/first"), make_deployment(provider, "maker/2nd")
    alias = make_alias("fast", first, second)
    other = make_alias("other", first)
    route = Route.objects.get(alias=alias)
    route.strategy = "weighted"
    route.save()
    RouteTarget.objects.get(route=route, deployment=second).delete()
    other.routes.get().targets.get().delete()

    page = history(admin_client, alias)

    assert "<pre>in_order</pre>" in page
    assert "Delete route target fast #0 → openrouter: maker/2nd" in page
    assert "other" not in page.split("llmgw-audit", 1)[1]


def test_a_team_has_its_history_too(admin_client):
    team = make_team("alder")
    team.name = "Alder and sons"
    team.save()

    assert "<pre>Alder and sons</pre>" in history(admin_client, team)


def test_what_was_typed_stays_text(admin_client):
    alias = make_alias("fast")
    alias.description = "<script>alert(1)</script>"
    alias.save()

    page = history(admin_client, alias)

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page


def test_who_may_not_see_the_trail_sees_the_short_history_only(client):
    provider = make_provider(base_url="https://first.example/v1")
    person = User.objects.create_user("stan", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_provider"))
    client.force_login(person)

    page = history(client, provider)

    assert "llmgw-audit" not in page
    assert "first.example" not in page

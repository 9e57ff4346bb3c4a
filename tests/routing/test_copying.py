"""Copies of aliases and routes: complete, switched off, and only by who may add all of it."""

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from routing import snapshot, versions
from routing.models import HeaderRule, ModelAlias, Route, RouteTarget, Transformation
from tests.factories.routing import make_alias, make_deployment, make_provider

pytestmark = pytest.mark.django_db
ALIASES = "admin:routing_modelalias_changelist"
ROUTES = "admin:routing_route_changelist"


@pytest.fixture
def alias() -> ModelAlias:
    """With two routes, of which the second is for one team, and a rule of each sort."""
    provider = make_provider()
    near, far = make_deployment(provider, "near"), make_deployment(provider, "far")
    made = make_alias("sonnet", near, far, description="for all")
    only = Route.objects.create(alias=made, position=1, teams="alder", strategy="weighted")
    RouteTarget.objects.create(route=only, deployment=far, weight=7, parameters={"top_k": 1})
    HeaderRule.objects.create(scope="route", alias=made, action="force", name="x-a", value="b")
    Transformation.objects.create(scope="route", alias=made, name="mask", pattern="a")
    return made


def copied(client, address, *rows) -> str:
    name = "copy_aliases" if address == ALIASES else "copy_routes"
    form = {"action": name, "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(address), form, follow=True).content.decode()


def shape(alias: ModelAlias) -> list[object]:
    """What an alias leads to, without the rows' own numbers."""
    return [
        [
            (route.position, route.teams, route.strategy, route.enabled)
            for route in alias.routes.all()
        ],
        list(
            RouteTarget.objects.filter(route__alias=alias)
            .order_by("route__position", "position")
            .values_list("deployment__upstream_model", "position", "weight", "parameters")
        ),
        list(alias.headerrules.values_list("action", "name", "value", "position", "enabled")),
        list(alias.transformations.values_list("name", "pattern", "position", "enabled")),
    ]


def test_an_alias_is_copied_with_all_that_is_its_own_and_switched_off(admin_client, alias):
    before = shape(alias)
    page = copied(admin_client, ALIASES, alias)
    made = ModelAlias.objects.get(name="sonnet-copy")

    assert shape(made) == shape(alias) == before
    assert (made.enabled, made.visible, made.description) == (False, True, "for all")
    assert "1 model alias copied, switched off: " in page
    assert f'href="{reverse("admin:routing_modelalias_change", args=[made.pk])}"' in page
    assert "sonnet-copy" not in snapshot.build().exact


def test_a_second_copy_has_another_name_and_a_long_one_fits(admin_client, alias):
    long = make_alias("m" * 200, make_deployment(make_provider("other")))
    copied(admin_client, ALIASES, alias)
    page = copied(admin_client, ALIASES, alias, long)

    assert "2 model aliases copied, switched off: " in page
    assert set(ModelAlias.objects.values_list("name", flat=True)) >= {
        "sonnet-copy",
        "sonnet-copy-2",
        "m" * 195 + "-copy",
    }


def test_a_route_is_copied_with_its_targets_to_the_end_of_its_alias(admin_client, alias):
    only = alias.routes.get(teams="alder")
    page = copied(admin_client, ROUTES, only)
    made = alias.routes.latest("pk")

    assert "1 route copied, switched off: " in page
    assert (made.position, made.enabled, made.teams) == (2, False, "alder")
    (target,) = made.targets.all()
    assert (target.weight, target.parameters) == (7, {"top_k": 1})
    assert only.targets.count() == 1


def test_a_copy_is_one_version_of_the_configuration_and_says_from_what(admin_client, alias):
    before = versions.record("ada", "what is there").number
    copied(admin_client, ALIASES, alias)
    newest = versions.newest()

    assert newest.number == before + 1
    assert "Copied from sonnet." in newest.summary


@pytest.mark.parametrize("lacks", ["add_modelalias", "add_route", "add_transformation"])
def test_only_who_may_add_all_of_it_may_copy_an_alias(client, alias, lacks):
    user = User.objects.create_user("half", is_staff=True)
    parts = ("modelalias", "route", "routetarget", "headerrule", "transformation")
    names = {f"add_{part}" for part in parts} | {"view_modelalias", "change_modelalias"}
    user.user_permissions.set(
        Permission.objects.filter(codename__in=names - {lacks}, content_type__app_label="routing")
    )
    client.force_login(user)
    copied(client, ALIASES, alias)
    assert ModelAlias.objects.count() == 1

    user.user_permissions.add(Permission.objects.get(codename=lacks))
    copied(client, ALIASES, alias)
    assert ModelAlias.objects.count() == 2

"""Rows that are dragged into order: only what was dragged changes places, on whatever page of whichever list."""

import pytest
from django.urls import reverse

from routing import snapshot
from routing.admin.reordering import reorder
from routing.models import AgentType, HeaderRule, ModelAlias, Route, RouteTarget
from tests.factories.routing import make_alias, make_deployment, make_provider

pytestmark = pytest.mark.django_db


def rule(name, position=0, **fields):
    return HeaderRule.objects.create(action="force", name=name, value="v", position=position, **fields)  # fmt: skip


def names(rows):
    return [row.name for row in rows]


def in_order():
    return list(HeaderRule.objects.order_by("position", "scope", "pk"))


@pytest.mark.parametrize(
    ("positions", "wanted", "found"),
    [
        ([0, 1, 2], "cab", {"c": 0, "a": 1, "b": 2}),
        ([5, 7, 9], "cab", {"c": 5, "a": 7, "b": 9}),
        ([0, 0, 0], "cab", {"c": 0, "a": 1, "b": 1}),
        ([0, 0, 0], "abc", {"a": 0, "b": 0, "c": 0}),
        ([3, 3, 4], "bac", {"b": 3, "a": 4, "c": 4}),
        ([0, 1, 2], "ca", {"c": 0, "b": 1, "a": 2}),
    ],
    ids=["numbered", "with gaps", "all the same", "as before", "pushed on", "some of them"],
)
def test_rows_change_places_and_numbers_as_little_as_can_be(positions, wanted, found):
    rows = [rule(name, position) for name, position in zip("abc", positions, strict=True)]
    pks = {row.name: row.pk for row in rows}

    moved = reorder(rows, [pks[name] for name in wanted], ties=("scope", "pk"))

    assert {row.name: row.position for row in rows} == found
    assert names(moved) == [
        name for name in found if found[name] != dict(zip("abc", positions, strict=True))[name]
    ]


def dragged(rows):
    """What the list's form sends once Unfold's script has numbered the rows as they now lie."""
    form = {
        "form-TOTAL_FORMS": str(len(rows)),
        "form-INITIAL_FORMS": str(len(rows)),
        "_save": "Save",
    }
    for number, (index, row) in enumerate(rows):
        form |= {f"form-{index}-id": str(row.pk), f"form-{index}-position": str(number)}
    return form


def test_dragging_in_a_narrowed_list_leaves_all_other_rows_where_they_are(admin_client):
    provider = make_provider()
    own = {"scope": "provider", "provider": provider}
    rule("first", 0), rule("own-1", 1, **own), rule("between", 2), rule("own-2", 3, **own)
    shown = [row for row in in_order() if row.name.startswith("own")]
    before = snapshot.version()

    answer = admin_client.post(
        reverse("admin:routing_headerrule_changelist") + "?scope__exact=provider",
        dragged([(1, shown[1]), (0, shown[0])]),
        follow=True,
    )

    assert names(in_order()) == ["first", "own-2", "between", "own-1"]
    assert "2 header rules were changed successfully" in answer.content.decode()
    assert snapshot.version() == before + 2


def test_a_row_that_was_not_shown_makes_room(admin_client):
    rows = [rule(name) for name in "abc"]

    admin_client.post(
        reverse("admin:routing_headerrule_changelist"), dragged([(1, rows[1]), (0, rows[0])])
    )

    assert names(in_order()) == ["b", "a", "c"]
    assert [row.position for row in in_order()] == [0, 1, 1]


def test_saving_without_dragging_changes_nothing(admin_client):
    rows = [rule("a", 4), rule("b", 4), rule("c", 7)]
    form = dragged(list(enumerate(rows)))
    form |= {f"form-{index}-position": str(row.position) for index, row in enumerate(rows)}

    admin_client.post(reverse("admin:routing_headerrule_changelist"), form)

    assert [row.position for row in in_order()] == [4, 4, 7]


def test_agent_types_with_the_same_position_go_by_name(admin_client):
    rows = [AgentType.objects.create(slug=slug, value=slug) for slug in "ab"]

    admin_client.post(
        reverse("admin:routing_agenttype_changelist"), dragged([(1, rows[1]), (0, rows[0])])
    )

    assert list(AgentType.objects.values_list("slug", flat=True)) == ["b", "a"]


@pytest.fixture
def alias() -> ModelAlias:
    provider = make_provider()
    return make_alias("fast", *(make_deployment(provider, f"maker/{name}") for name in "abc"))


def form_of(alias, positions, **more):
    """The page of an alias with one route; ``positions`` are those of its targets, None for a new one."""
    route = alias.routes.order_by("position")[0]
    targets = list(route.targets.order_by("position", "pk"))
    form = {
        "name": alias.name,
        "match": alias.match,
        "enabled": "on",
        "visible": "on",
        "headerrules-TOTAL_FORMS": "0",
        "headerrules-INITIAL_FORMS": "0",
        "transformations-TOTAL_FORMS": "0",
        "transformations-INITIAL_FORMS": "0",
        "routes-TOTAL_FORMS": "1",
        "routes-INITIAL_FORMS": "1",
        "routes-0-id": route.pk,
        "routes-0-alias": alias.pk,
        "routes-0-strategy": "in_order",
        "routes-0-position": "0",
        "routes-0-enabled": "on",
        "routes-0-targets-TOTAL_FORMS": str(len(targets)),
        "routes-0-targets-INITIAL_FORMS": str(len(targets)),
    }
    for index, (target, position) in enumerate(zip(targets, positions, strict=True)):
        prefix = f"routes-0-targets-{index}"
        form |= {
            f"{prefix}-id": target.pk,
            f"{prefix}-route": route.pk,
            f"{prefix}-deployment": target.deployment_id,
            f"{prefix}-weight": "1",
            f"{prefix}-position": str(position),
            f"{prefix}-parameters": "{}",
        }
    return {**form, **more}


def models_of(alias):
    rows = RouteTarget.objects.filter(route__alias=alias).order_by("position", "pk")
    return [row.deployment.upstream_model.removeprefix("maker/") for row in rows]


def test_targets_are_dragged_on_the_page_of_their_alias(admin_client, alias):
    address = reverse("admin:routing_modelalias_change", args=[alias.pk])

    answer = admin_client.post(address, form_of(alias, [1, 2, 0]))

    assert answer.status_code == 302, answer.content.decode()[:3000]
    assert models_of(alias) == ["c", "a", "b"]


def test_a_new_target_comes_last(admin_client, alias):
    fourth = make_deployment(alias.routes.get().targets.first().deployment.provider, "maker/d")
    new = {
        "routes-0-targets-TOTAL_FORMS": "4",
        "routes-0-targets-3-deployment": fourth.pk,
        "routes-0-targets-3-weight": "1",
        "routes-0-targets-3-position": "0",
    }

    admin_client.post(
        reverse("admin:routing_modelalias_change", args=[alias.pk]),
        form_of(alias, [1, 0, 2], **new),
    )

    assert models_of(alias) == ["b", "a", "c", "d"]


def test_a_route_that_is_on_asks_for_a_target(admin_client, alias):
    gone = {f"routes-0-targets-{index}-DELETE": "on" for index in range(3)}
    address = reverse("admin:routing_modelalias_change", args=[alias.pk])

    page = admin_client.post(address, form_of(alias, [0, 1, 2], **gone))

    assert page.status_code == 200
    assert "a route needs a target to answer" in page.content.decode()
    assert models_of(alias) == ["a", "b", "c"]

    off = {name: value for name, value in form_of(alias, [0, 1, 2], **gone).items() if name != "routes-0-enabled"}  # fmt: skip
    assert admin_client.post(address, off).status_code == 302
    assert models_of(alias) == []


def test_an_alias_with_many_routes_lists_them_and_drags_them(admin_client, alias):
    for n in range(1, 4):
        Route.objects.create(alias=alias, position=n, teams=f"team-{n}")
    address = reverse("admin:routing_modelalias_change", args=[alias.pk])
    page = admin_client.get(address).content.decode()
    routes = list(alias.routes.order_by("position"))
    assert "routes-0-targets" not in page
    assert all(reverse("admin:routing_route_change", args=[row.pk]) in page for row in routes)
    assert "openrouter: maker/a → openrouter: maker/b → openrouter: maker/c" in page

    form = {
        name: value for name, value in form_of(alias, [0, 0, 0]).items() if "routes-" not in name
    }
    form |= {"routes-TOTAL_FORMS": "4", "routes-INITIAL_FORMS": "4"}
    for index, row in enumerate(routes):
        form |= {
            f"routes-{index}-id": row.pk,
            f"routes-{index}-alias": alias.pk,
            f"routes-{index}-strategy": row.strategy,
            f"routes-{index}-enabled": "on",
            f"routes-{index}-position": str((index + 1) % 4),
        }
    answer = admin_client.post(address, form)

    assert answer.status_code == 302, answer.content.decode()[:3000]
    found = alias.routes.order_by("position")
    assert [row.teams for row in found] == ["team-3", "", "team-1", "team-2"]
    assert models_of(alias) == ["a", "b", "c"]

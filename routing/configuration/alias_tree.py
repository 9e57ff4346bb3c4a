"""Writes model aliases with their routes and targets as trees for YAML."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch

from routing.configuration.keys import ROUTE_WORDS, TARGET_WHEN
from routing.configuration.rule_trees import header_rules_tree, in_order
from routing.models import ModelAlias, Route, RouteTarget

Tree = dict[str, Any]


def aliases() -> Iterable[ModelAlias]:
    """All aliases with all that is written of them, in a handful of queries."""
    targets = RouteTarget.objects.select_related("deployment__provider", "deployment__credential")
    routes = Route.objects.prefetch_related(Prefetch("targets", targets))
    return ModelAlias.objects.prefetch_related("headerrules", Prefetch("routes", routes))


def alias_tree(row: ModelAlias) -> Tree:
    """An alias; its only route, where that has no condition, stands beside its own settings."""
    tree: Tree = {"match": row.match, "visible": row.visible, "enabled": row.enabled}
    if row.description:
        tree["description"] = row.description
    routes = [route_tree(route) for route in in_order(row.routes.all())]
    if len(routes) == 1 and not routes[0].keys() & {"when", "enabled"}:
        tree |= routes[0]
    else:
        tree["routes"] = routes
    rules = header_rules_tree(in_order(row.headerrules.all()))
    return {**tree, "header_rules": rules} if rules else tree


def route_tree(row: Route) -> Tree:
    """A route with its targets."""
    targets = [target_tree(target) for target in in_order(row.targets.all())]
    return {**route_settings(row), "targets": targets}


def route_settings(row: Route) -> Tree:
    """A route without its targets."""
    tree: Tree = {"strategy": str(row.strategy)}
    if not row.is_sticky:
        tree["sticky"] = False
    if not row.enabled:
        tree["enabled"] = False
    when: Tree = {name: words_in(getattr(row, name)) for name in ROUTE_WORDS}
    when["header"] = row.header
    when = {name: value for name, value in when.items() if value}
    return {**tree, "when": when} if when else tree


def words_in(text: str) -> list[str]:
    """The words of a field that separates them by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def target_tree(row: RouteTarget) -> Tree:
    """A target; what is true of its deployment stands at the provider."""
    deployment = row.deployment
    tree: Tree = {
        "provider": deployment.provider.slug,
        "model": deployment.upstream_model,
        "weight": row.weight,
    }
    if deployment.credential:
        tree["credential"] = deployment.credential.label
    if row.parameters:
        tree["parameters"] = row.parameters
    when = {key: getattr(row, name) for key, name in TARGET_WHEN.items()}
    when = {key: value for key, value in when.items() if value not in (None, False)}
    return {**tree, "when": when} if when else tree

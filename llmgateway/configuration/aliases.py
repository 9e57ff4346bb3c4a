"""Reads model aliases with their routes and targets from a file.

An alias's routes are the ones listed, or, in the short form, one whose settings stand at the alias itself. A route that
is there already keeps its place, and with it its primary key.
"""

from dataclasses import dataclass
from typing import Any

from llmgateway.configuration.deployments import save_deployment
from llmgateway.configuration.entries import check_keys, chosen, group_of, items_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import fill, save
from llmgateway.configuration.rules import read_header_rules
from llmgateway.lined_yaml import Lined
from routing.configuration.alias_tree import route_settings, target_tree
from routing.configuration.keys import (
    ALIAS,
    ALIAS_FIELDS,
    FACTS,
    ROUTE,
    ROUTE_FIELDS,
    ROUTE_WHEN,
    ROUTE_WORDS,
    SHORT_ROUTE,
    TARGET,
    TARGET_WHEN,
)
from routing.configuration.rule_trees import in_order
from routing.models import Deployment, ModelAlias, Provider, Route, RouteTarget

WEIGHT_MAX = 32767


@dataclass(frozen=True, slots=True)
class Wanted:
    """A route as the file describes it, and its targets; None where the file does not list them. Nothing is saved."""

    route: Route
    targets: list[RouteTarget] | None


def read_alias(run: Import, name: str, entry: Lined, line: int) -> None:
    """An alias; what is not named of it stays."""
    check_keys(run, entry, ALIAS, f"alias {name!r}")
    values, lines = chosen(entry, ALIAS_FIELDS)
    alias = save(run, ModelAlias, {"name": name}, values, line, f"alias {name}", lines=lines)
    if alias is None:
        return
    short = [key for key in SHORT_ROUTE if key in entry]
    if "routes" in entry and short:
        run.fault(entry.line_of(short[0]), f"{short[0]} belongs into one of the routes")
    elif "routes" in entry:
        wanted = [_read_route(run, alias, item) for item in items_of(run, entry, "routes")]
        _set_routes(run, alias, [route for route in wanted if route is not None])
    elif short:
        _read_short_form(run, alias, entry)
    read_header_rules(run, entry, f"alias {name}", alias=alias)


def _read_short_form(run: Import, alias: ModelAlias, entry: Lined) -> None:
    """The only route, without conditions, where targets are listed; else only its settings are changed."""
    routes = in_order(alias.routes.all())
    first = routes[0] if routes else Route(alias=alias)
    values, lines = chosen(
        entry, {key: ROUTE_FIELDS[key] for key in SHORT_ROUTE if key != "targets"}
    )
    route = Route(alias=alias, strategy=first.strategy, is_sticky=first.is_sticky)
    if "targets" not in entry:
        for name in (*ROUTE_WORDS, "header", "enabled"):
            setattr(route, name, getattr(first, name))
    is_good = fill(run, route, values, entry.line, lines=lines)
    targets = _read_targets(run, entry) if "targets" in entry else None
    if is_good:
        others = [] if "targets" in entry else [Wanted(other, None) for other in routes[1:]]
        _set_routes(run, alias, [Wanted(route, targets), *others])


def _read_route(run: Import, alias: ModelAlias, item: Lined) -> Wanted | None:
    check_keys(run, item, ROUTE, "a route")
    values, lines = chosen(item, ROUTE_FIELDS)
    when = group_of(run, item, "when", ROUTE_WHEN)
    for name in ROUTE_WORDS:
        if name in when:
            values[name] = _words(run, when, name)
    if "header" in when:
        values["header"] = when["header"]
    lines |= {name: when.line_of(name) for name in when}
    route = Route(alias=alias)
    is_good = fill(run, route, values, item.line, lines=lines)
    targets = _read_targets(run, item)
    return Wanted(route, targets) if is_good else None


def _words(run: Import, when: Lined, name: str) -> str:
    """Words as a field separates them."""
    given = when[name]
    words = given.split(",") if isinstance(given, str) else given
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        run.fault(when.line_of(name), f"{name} must be a list of words")
        return ""
    if not isinstance(given, str) and any("," in word for word in words):
        run.fault(when.line_of(name), f"{name}: a comma separates words; make two of them")
    return ", ".join(word.strip() for word in words if word.strip())


def _read_targets(run: Import, entry: Lined) -> list[RouteTarget]:
    targets: list[RouteTarget] = []
    seen: set[Deployment] = set()
    for item in items_of(run, entry, "targets"):
        target = _read_target(run, item)
        if target is None:
            continue
        if target.deployment in seen:
            run.fault(item.line, f"{target.deployment} stands here twice")
        seen.add(target.deployment)
        target.position = len(targets)
        targets.append(target)
    return targets


def _read_target(run: Import, item: Lined) -> RouteTarget | None:
    check_keys(run, item, TARGET, "a target")
    provider = Provider.objects.filter(slug=str(item.get("provider"))).first()
    if provider is None:
        run.fault(item.line_of("provider"), f"there is no provider {item.get('provider')!r}")
        return None
    deployment = save_deployment(run, provider, item, FACTS, "a target")
    weight = item.get("weight", 1)
    is_whole = isinstance(weight, int) and not isinstance(weight, bool)
    if not is_whole or not 0 <= weight <= WEIGHT_MAX:
        run.fault(item.line_of("weight"), f"weight must be a whole number from 0 to {WEIGHT_MAX}")
        return None
    if deployment is None:
        return None
    values, lines = chosen(group_of(run, item, "when", TARGET_WHEN), TARGET_WHEN)
    if "parameters" in item:
        values["parameters"] = item["parameters"]
        lines["parameters"] = item.line_of("parameters")
    target = RouteTarget(deployment=deployment, weight=weight)
    is_good = fill(run, target, values, item.line, lines=lines, not_yet={"route"})
    return target if is_good else None


def _set_routes(run: Import, alias: ModelAlias, wanted: list[Wanted]) -> None:
    if run.faults:
        return
    present = in_order(alias.routes.all())
    for index in range(len(wanted), len(present)):
        present[index].delete()
        run.changes.append(f"- alias {alias}, route {index + 1}")
    position = 0
    for index, entry in enumerate(wanted):
        what = f"alias {alias}, route {index + 1}" if len(wanted) > 1 else f"alias {alias}"
        if index < len(present):
            route = present[index]
            _change_route(run, route, entry.route, what)
        else:
            route = entry.route
            route.position = position
            route.save()
            run.changes.append(f"+ alias {alias}, route {index + 1}")
        position = route.position + 1
        if entry.targets is not None:
            _set_targets(run, route, entry.targets, what)


def _change_route(run: Import, route: Route, wanted: Route, what: str) -> None:
    old, new = route_settings(route), route_settings(wanted)
    if old == new or route.pk == wanted.pk:
        return
    for name in (*ROUTE_FIELDS.values(), *ROUTE_WORDS, "header"):
        setattr(route, name, getattr(wanted, name))
    route.save()
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            run.changes.append(f"~ {what}: {key} {_told(old, key)} -> {_told(new, key)}")


def _told(settings: dict[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "as by default"


def _set_targets(run: Import, route: Route, wanted: list[RouteTarget], what: str) -> None:
    present = in_order(route.targets.select_related("deployment__provider"))
    if [target_tree(row) for row in present] == [target_tree(row) for row in wanted]:
        return
    for row in present:
        row.delete()
    for row in wanted:
        row.route = route
        row.save()
    listed = ", ".join(str(row.deployment) for row in wanted) or "none"
    run.changes.append(f"~ {what}: targets {listed}")

"""Says why the other aliases, routes and targets were not chosen, also those that are switched off."""

import time
from collections.abc import Iterator, Sequence

from routing.live import Live
from routing.models import ModelAlias, Route, RouteTarget
from routing.pictures import AliasPicture, RoutePicture, Snapshot, Target
from routing.planning import Plan
from routing.providers import KINDS

SAID = " is passed over: "


def passed_over(
    held: Snapshot | None, plan: Plan | None, model: str, steps: Sequence[str], live: Live
) -> Iterator[str]:
    """A sentence for each, those first that the plan's own trace told."""
    yield from (step for step in steps if SAID in step)
    alias = _alias_of(held, plan)
    if held is not None and plan is not None and alias is not None:
        yield from _other_aliases(held, alias, plan, model)
        yield from _not_reached(alias, plan)
        yield from _left_out(alias, plan, steps, live)
    yield from _switched_off(plan.alias if plan else model)


def _alias_of(held: Snapshot | None, plan: Plan | None) -> AliasPicture | None:
    if held is None or plan is None:
        return None
    found = held.exact.get(plan.alias)
    return found or next((alias for alias in held.patterns if alias.name == plan.alias), None)


def _other_aliases(held: Snapshot, chosen: AliasPicture, plan: Plan, model: str) -> Iterator[str]:
    """Patterns that match the name too."""
    if plan.tier:
        return
    reason = "an exact name goes before patterns" if chosen.pattern is None else "it is tried later"
    for alias in held.patterns:
        if alias is not chosen and alias.pattern.fullmatch(model):
            yield f"The alias {alias.name!r} matches too, but {reason}."


def _not_reached(alias: AliasPicture, plan: Plan) -> Iterator[str]:
    """Routes behind the one that was taken."""
    is_behind = False
    for number, route in enumerate(alias.routes, 1):
        if is_behind:
            targets = ", ".join(map(_named, route.targets)) or "no target"
            yield f"Route {number} ({targets}) is not looked at: one before it was taken."
        is_behind = is_behind or route.pk == plan.route


def _left_out(alias: AliasPicture, plan: Plan, steps: Sequence[str], live: Live) -> Iterator[str]:
    """Targets of the route that was taken which are neither in the plan nor told of already."""
    route = next((route for route in alias.routes if route.pk == plan.route), None)
    planned = {target.pk for target in plan.targets}
    for target in _targets(route):
        beginning = f"Target {_named(target)}{SAID}"
        if target.pk not in planned and not any(step.startswith(beginning) for step in steps):
            yield beginning + _why_left_out(target, live)


def _targets(route: RoutePicture | None) -> tuple[Target, ...]:
    return route.targets if route else ()


def _why_left_out(target: Target, live: Live) -> str:
    now_s = time.monotonic()
    if live.cooldowns.is_skipped(target.pk, now_s):
        left_s, _failures, reason = live.cooldowns.state(now_s).get(target.pk, (0.0, 0, "failures"))
        return f"it cools down for {left_s:.0f} s more after {reason}."
    return "the feature flags keep the request on the other path."


def _named(target: Target) -> str:
    return f"{target.provider.slug}: {target.upstream_model}"


def _switched_off(name: str) -> Iterator[str]:
    """What the picture does not hold because a row says so."""
    if ModelAlias.objects.filter(name=name, enabled=False).exists():
        yield f"The alias {name!r} is switched off."
    for route in Route.objects.filter(alias__name=name, enabled=False):
        yield f"The route at position {route.position} is switched off."
    rows = RouteTarget.objects.filter(route__alias__name=name, route__enabled=True)
    rows = rows.select_related("deployment__provider", "deployment__credential")
    for row in rows.prefetch_related("deployment__provider__credentials"):
        reason = _why_off(row)
        if reason:
            yield f"Target {row.deployment}{SAID}{reason}."


def _why_off(row: RouteTarget) -> str:
    deployment = row.deployment
    provider = deployment.provider
    if not provider.enabled:
        return "its provider is switched off"
    if not deployment.enabled:
        return "it is switched off"
    kind = KINDS.get(provider.kind)
    own = [
        credential
        for credential in provider.credentials.all()
        if credential.enabled and deployment.credential_id in (None, credential.pk)
    ]
    if kind and kind.needs_credential and provider.credential_mode != "pass_through" and not own:
        return "it has no credential that is switched on"
    return ""

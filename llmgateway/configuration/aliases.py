"""Reads model aliases with their targets from a file."""

from llmgateway.configuration.entries import check_keys, items_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import differences, save, set_and_save
from llmgateway.lined_yaml import Lined
from routing.configuration.keys import ALIAS, DEPLOYMENT, TARGET
from routing.models import Deployment, ModelAlias, Provider, Route, RouteTarget

WEIGHT_MAX = 32767


def read_alias(run: Import, name: str, entry: Lined, line: int) -> None:
    check_keys(run, entry, ALIAS, f"alias {name!r}")
    values = {
        key: entry[key] for key in ("match", "visible", "enabled", "description") if key in entry
    }
    what = f"alias {name}"
    alias = save(run, ModelAlias, {"name": name}, values, line, what, lines=entry.lines)
    if alias is None:
        return
    route = alias.routes.order_by("position", "pk").first()
    if route is None:
        route = Route.objects.create(alias=alias)
    if "strategy" in entry:
        changes = list(differences(route, {"strategy": entry["strategy"]}, what))
        if changes:
            run.changes.extend(changes)
            set_and_save(run, route, {"strategy": entry["strategy"]}, entry.line_of("strategy"))
    if "targets" in entry:
        targets: dict[Deployment, int] = {}
        for item in items_of(run, entry, "targets"):
            target = _read_target(run, item)
            if target is None:
                continue
            deployment, weight = target
            if deployment in targets:
                run.fault(item.line, f"{deployment} stands here twice")
            targets[deployment] = weight
        if not run.faults:
            _set_targets(run, route, list(targets.items()), what)


def _read_target(run: Import, item: Lined) -> tuple[Deployment, int] | None:
    check_keys(run, item, TARGET, "a target")
    provider = Provider.objects.filter(slug=item.get("provider")).first()
    if provider is None:
        run.fault(item.line_of("provider"), f"there is no provider {item.get('provider')!r}")
        return None
    model = item.get("model")
    if not isinstance(model, str):
        run.fault(item.line_of("model"), "a target needs a model")
        return None
    credential = None
    if "credential" in item:
        credential = provider.credentials.filter(label=item["credential"]).first()
        if credential is None:
            run.fault(
                item.line_of("credential"),
                f"provider {provider} has no credential {item['credential']!r}",
            )
            return None
    values = {DEPLOYMENT[key]: item[key] for key in DEPLOYMENT if key in item}
    values = {
        key: dict(value) if isinstance(value, Lined) else value for key, value in values.items()
    }
    keys = {"provider": provider, "upstream_model": model, "credential": credential}
    what = f"deployment {provider.slug}: {model}"
    lines = {DEPLOYMENT[key]: item.line_of(key) for key in DEPLOYMENT if key in item}
    deployment = save(run, Deployment, keys, values, item.line, what, lines=lines)
    weight = item.get("weight", 1)
    is_whole = isinstance(weight, int) and not isinstance(weight, bool)
    if not is_whole or not 0 <= weight <= WEIGHT_MAX:
        run.fault(item.line_of("weight"), f"weight must be a whole number from 0 to {WEIGHT_MAX}")
        return None
    return None if deployment is None else (deployment, weight)


def _set_targets(
    run: Import, route: Route, wanted: list[tuple[Deployment, int]], what: str
) -> None:
    rows = [(row.deployment_id, row.weight) for row in route.targets.order_by("position", "pk")]
    if rows == [(deployment.pk, weight) for deployment, weight in wanted]:
        return
    for row in route.targets.all():
        row.delete()
    for position, (deployment, weight) in enumerate(wanted):
        RouteTarget.objects.create(
            route=route, deployment=deployment, weight=weight, position=position
        )
    listed = ", ".join(str(deployment) for deployment, _weight in wanted) or "none"
    run.changes.append(f"~ {what}: targets {listed}")

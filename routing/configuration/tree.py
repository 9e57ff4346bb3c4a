"""Writes the rows of routing as a tree for YAML; secrets as references to variables, never in clear."""

from decimal import Decimal
from typing import Any

from routing.configuration.keys import DEPLOYMENT, RETRIES, TIMEOUTS
from routing.configuration.variables import variable_name
from routing.models import FeatureFlag, ModelAlias, Provider, RouteTarget


def routing_tree() -> dict[str, Any]:
    """All that routing has, without the version of the form."""
    tree: dict[str, Any] = {
        "providers": {
            row.slug: provider_tree(row) for row in Provider.objects.prefetch_related("credentials")
        },
        "aliases": {row.name: alias_tree(row) for row in ModelAlias.objects.all()},
    }
    flags = flags_tree()
    return {**tree, "flags": flags} if flags else tree


def flags_tree() -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for row in FeatureFlag.objects.order_by("name", "team", "key"):
        entry = tree.setdefault(row.name, {})
        if row.key:
            entry.setdefault("keys", {})[f"{row.team}/{row.key}"] = row.enabled
        elif row.team:
            entry.setdefault("teams", {})[row.team] = row.enabled
        else:
            entry["enabled"] = row.enabled
            if row.percentage != 100:
                entry["percentage"] = row.percentage
    return {
        name: entry.get("enabled") if set(entry) == {"enabled"} else entry
        for name, entry in tree.items()
    }


def provider_tree(row: Provider) -> dict[str, Any]:
    tree: dict[str, Any] = {"kind": row.kind, "base_url": row.base_url, "enabled": row.enabled}
    if row.dialect:
        tree["dialect"] = row.dialect
    tree["timeouts"] = {key: number(getattr(row, name)) for key, name in TIMEOUTS.items()}
    tree["verify_tls"] = row.verify_tls
    if row.ca_bundle_pem:
        tree["ca_bundle_pem"] = row.ca_bundle_pem
    tree["retries"] = {key: number(getattr(row, name)) for key, name in RETRIES.items()}
    credentials = [
        {
            "label": c.label,
            "secret": f"${{{variable_name(row.slug, c.label)}}}",
            "weight": c.weight,
            "enabled": c.enabled,
        }
        for c in row.credentials.all()
    ]
    return {**tree, "credentials": credentials} if credentials else tree


def alias_tree(row: ModelAlias) -> dict[str, Any]:
    tree: dict[str, Any] = {"match": row.match, "visible": row.visible, "enabled": row.enabled}
    if row.description:
        tree["description"] = row.description
    route = row.routes.order_by("position", "pk").first()
    if route is not None:
        tree["strategy"] = route.strategy
        targets = route.targets.select_related("deployment__provider", "deployment__credential")
        tree["targets"] = [_target_tree(target) for target in targets.order_by("position", "pk")]
    return tree


def _target_tree(target: RouteTarget) -> dict[str, Any]:
    deployment = target.deployment
    tree: dict[str, Any] = {
        "provider": deployment.provider.slug,
        "model": deployment.upstream_model,
        "weight": target.weight,
    }
    if deployment.credential:
        tree["credential"] = deployment.credential.label
    for key, name in DEPLOYMENT.items():
        if getattr(deployment, name) not in (None, {}):
            tree[key] = getattr(deployment, name)
    return tree


def number(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)

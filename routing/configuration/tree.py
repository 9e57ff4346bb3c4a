"""Writes the rows of routing as a tree for YAML; secrets as references to variables, never in clear.

What has its default is left out where a reader would only be kept from what matters.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.db.models import Count, Prefetch

from routing.configuration.alias_tree import alias_tree, aliases
from routing.configuration.keys import DEPLOYMENT_FIELDS, PROVIDER_FIELDS, PROVIDER_GROUPS
from routing.configuration.rule_trees import (
    header_rules_tree,
    in_order,
    transformation_tree,
    transformations_in_order,
)
from routing.configuration.variables import variable_names
from routing.models import (
    AgentType,
    Credential,
    Deployment,
    FeatureFlag,
    HeaderRule,
    ModelTier,
    Provider,
)

MAY_BE_LEFT_OUT = {"dialect", "ca_bundle_pem"}
Tree = dict[str, Any]


def routing_tree(*, secret_of: Callable[[Credential, str], Tree] | None = None) -> Tree:
    """All that routing has, without the version of the form. ``secret_of`` writes a credential's secret otherwise."""
    write_secret = secret_of or secret_tree
    variables = variable_names(Credential.objects.values_list("provider__slug", "label"))
    tree: Tree = {
        "providers": {
            row.slug: provider_tree(row, variables, write_secret) for row in _providers()
        },
        "aliases": {row.name: alias_tree(row) for row in aliases()},
    }
    further = {
        "header_rules": header_rules_tree(
            in_order(HeaderRule.objects.filter(scope=HeaderRule.Scope.EVERYTHING))
        ),
        "transformations": [transformation_tree(row) for row in transformations_in_order()],
        "tiers": {row.slug: _tier_tree(row) for row in ModelTier.objects.select_related("alias")},
        "agent_types": _agent_types_tree(),
        "flags": flags_tree(),
    }
    return {**tree, **{name: value for name, value in further.items() if value}}


def secret_tree(_credential: Credential, variable: str) -> Tree:
    """A reference to the variable."""
    return {"secret": f"${{{variable}}}"}


def _providers() -> Iterable[Provider]:
    deployments = (
        Deployment.objects.select_related("credential")
        .annotate(targets_n=Count("targets"))
        .order_by("upstream_model", "credential__label", "pk")
    )
    return Provider.objects.prefetch_related(
        "credentials", "headerrules", Prefetch("deployments", deployments)
    )


def provider_tree(
    row: Provider,
    variables: Mapping[tuple[str, str], str],
    write_secret: Callable[[Credential, str], Tree],
) -> Tree:
    """A provider with its credentials, its deployments and its header rules."""
    tree: Tree = {
        name: getattr(row, name)
        for name in PROVIDER_FIELDS
        if name not in MAY_BE_LEFT_OUT or getattr(row, name)
    }
    for group, fields in PROVIDER_GROUPS.items():
        tree[group] = {key: number(getattr(row, name)) for key, name in fields.items()}
    lists = {
        "credentials": [
            _credential_tree(c, write_secret(c, variables[row.slug, c.label]))
            for c in row.credentials.all()
        ],
        "deployments": [
            deployment_tree(deployment)
            for deployment in row.deployments.all()
            if not deployment.targets_n or is_told_of(deployment)  # type: ignore[attr-defined]
        ],
        "header_rules": header_rules_tree(in_order(row.headerrules.all())),
    }
    return {**tree, **{name: value for name, value in lists.items() if value}}


def _credential_tree(row: Credential, secret: Tree) -> Tree:
    return {"label": row.label, **secret, "weight": row.weight, "enabled": row.enabled}


def deployment_tree(row: Deployment) -> Tree:
    """A deployment with what is known of it; ``sources`` say who told, where that was no operator."""
    tree: Tree = {"model": row.upstream_model}
    if row.credential:
        tree["credential"] = row.credential.label
    for key, name in DEPLOYMENT_FIELDS.items():
        value = getattr(row, name)
        if value not in (None, {}) and not (name == "enabled" and value):
            tree[key] = value
    return {**tree, "sources": row.fact_sources} if row.fact_sources else tree


def is_told_of(row: Deployment) -> bool:
    """Whether there is more to write of a deployment than that a target ends at it."""
    return bool(deployment_tree(row).keys() - {"model", "credential"})


def _tier_tree(row: ModelTier) -> Tree:
    tree = {"alias": row.alias.name}
    return {**tree, "description": row.description} if row.description else tree


def _agent_types_tree() -> Tree:
    tree: Tree = {}
    for index, row in enumerate(AgentType.objects.select_related("tier")):
        entry: Tree = {"header": row.header, "value": row.value}
        if row.tier:
            entry["tier"] = row.tier.slug
        if not row.enabled:
            entry["enabled"] = False
        if row.position != index:
            entry["position"] = row.position
        tree[row.slug] = entry
    return tree


def flags_tree() -> Tree:
    """The flags that have rows."""
    tree: dict[str, Tree] = {}
    for row in FeatureFlag.objects.order_by("name", "team", "key"):
        entry = tree.setdefault(row.name, {})
        if row.key:
            entry.setdefault("keys", {})[f"{row.team}/{row.key}"] = _scoped_flag(row)
        elif row.team:
            entry.setdefault("teams", {})[row.team] = _scoped_flag(row)
        else:
            entry["enabled"] = row.enabled
            if row.percentage != 100:
                entry["percentage"] = row.percentage
    return {
        name: entry["enabled"] if set(entry) == {"enabled"} else entry
        for name, entry in tree.items()
    }


def _scoped_flag(row: FeatureFlag) -> bool | Tree:
    if row.percentage == 100:
        return row.enabled
    return {"enabled": row.enabled, "percentage": row.percentage}


def number(value: Any) -> Any:
    """A decimal as YAML writes numbers; anything else as it is."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)

"""Writes header rules and transformations as trees for YAML, in the order in which they are applied."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from routing.models import HeaderRule, Route, RouteTarget, Transformation
from routing.transformations import SCOPES

Tree = dict[str, Any]
Placed = TypeVar("Placed", HeaderRule, Route, RouteTarget)


def in_order(rows: "Iterable[Placed]") -> "list[Placed]":
    """Rules, routes or targets by rising position, the older one first where two have the same."""
    return sorted(rows, key=lambda row: (row.position, row.pk))


def header_rules_tree(rows: Sequence[HeaderRule]) -> list[Tree]:
    """A list of one scope; ``position`` only where it is not the place in the list."""
    return [header_rule_tree(row, index) for index, row in enumerate(rows)]


def header_rule_tree(row: HeaderRule, index: int) -> Tree:
    """One rule at its place in the list."""
    tree: Tree = {"action": str(row.action), "name": row.name}
    if row.value:
        tree["value"] = row.value
    if not row.enabled:
        tree["enabled"] = False
    return tree if row.position == index else {**tree, "position": row.position}


def transformations_in_order() -> list[Transformation]:
    """All of them, as they are applied."""
    rows = Transformation.objects.select_related("provider", "alias")
    return sorted(rows, key=lambda row: (row.position, SCOPES[row.scope], row.pk))


def transformation_tree(row: Transformation) -> Tree:
    """One transformation; its place in the list is its position."""
    tree: Tree = {"name": row.name} if row.name else {}
    tree["scope"] = str(row.scope)
    if row.provider:
        tree["provider"] = row.provider.slug
    if row.alias:
        tree["alias"] = row.alias.name
    tree |= {"direction": str(row.direction), "kind": str(row.kind), "pattern": row.pattern}
    if row.flags:
        tree["flags"] = row.flags
    if row.replacement:
        tree["replacement"] = row.replacement
    if row.value is not None:
        tree["value"] = row.value
    return tree if row.enabled else {**tree, "enabled": False}

"""Reads header rules and transformations from a file: a list that is given replaces what is there, in its order."""

from typing import Any

from llmgateway.configuration.entries import check_keys, chosen, items_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import fill, set_list
from llmgateway.lined_yaml import Lined
from routing.configuration.keys import HEADER_RULE_FIELDS, TRANSFORMATION, TRANSFORMATION_FIELDS
from routing.configuration.rule_trees import (
    header_rule_tree,
    header_rules_tree,
    in_order,
    transformation_tree,
    transformations_in_order,
)
from routing.models import HeaderRule, ModelAlias, Provider, Transformation


def read_header_rules(
    run: Import,
    entry: Lined,
    what: str,
    *,
    provider: Provider | None = None,
    alias: ModelAlias | None = None,
) -> None:
    """The rules of a provider, of an alias, or, without either, those for everything."""
    if entry.get("header_rules") is None:
        return
    scope: dict[str, Any] = {"provider": provider, "alias": alias, "scope": _scope(provider, alias)}
    wanted = []
    for index, item in enumerate(items_of(run, entry, "header_rules")):
        check_keys(run, item, HEADER_RULE_FIELDS, "a header rule")
        values, lines = chosen(item, HEADER_RULE_FIELDS)
        row = HeaderRule(**scope, position=index)
        if fill(run, row, values, item.line, lines=lines):
            wanted.append((row, header_rule_tree(row, index)))
    rows = in_order(HeaderRule.objects.filter(**scope))
    present = list(zip(rows, header_rules_tree(rows), strict=True))
    set_list(run, present, wanted, f"{what}: header rule" if what else "header rule")


def _scope(provider: Provider | None, alias: ModelAlias | None) -> str:
    if provider is not None:
        return HeaderRule.Scope.PROVIDER
    return HeaderRule.Scope.EVERYTHING if alias is None else HeaderRule.Scope.ROUTE


def read_transformations(run: Import, tree: Lined) -> None:
    """All transformations; the place in the list is the position."""
    if tree.get("transformations") is None:
        return
    wanted = []
    for index, item in enumerate(items_of(run, tree, "transformations")):
        row = _transformation(run, item, index)
        if row is not None:
            wanted.append((row, transformation_tree(row)))
    present = [(row, transformation_tree(row)) for row in transformations_in_order()]
    set_list(run, present, wanted, "transformation")


def _transformation(run: Import, item: Lined, index: int) -> Transformation | None:
    check_keys(run, item, TRANSFORMATION, "a transformation")
    values, lines = chosen(item, TRANSFORMATION_FIELDS)
    lines |= {name: item.line_of(name) for name in ("provider", "alias")}
    if item.get("provider") is not None:
        values["provider"] = Provider.objects.filter(slug=str(item["provider"])).first()
        if values["provider"] is None:
            run.fault(item.line_of("provider"), f"there is no provider {item['provider']!r}")
            return None
    if item.get("alias") is not None:
        values["alias"] = ModelAlias.objects.filter(name=str(item["alias"])).first()
        if values["alias"] is None:
            run.fault(item.line_of("alias"), f"there is no alias {item['alias']!r}")
            return None
    row = Transformation(position=index)
    return row if fill(run, row, values, item.line, lines=lines) else None

"""Reads feature flags from a file."""

from typing import Any

from llmgateway.configuration.entries import check_keys, chosen, group_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import save
from llmgateway.lined_yaml import Lined
from routing.configuration.keys import FLAG, FLAG_SCOPE
from routing.models import FeatureFlag


def read_flags(run: Import, tree: Lined) -> None:
    """``name: true``, or a mapping with ``enabled``, ``percentage``, and ``teams`` and ``keys`` (team/key) of their own."""
    given = tree.get("flags")
    if given is None:
        return
    if not isinstance(given, Lined):
        run.fault(tree.line_of("flags"), "flags must be a mapping")
        return
    for name, entry in given.items():
        line = given.line_of(name)
        if isinstance(entry, bool):
            _save_flag(run, name, "", "", {"enabled": entry}, line)
        elif isinstance(entry, Lined):
            _read_flag(run, name, entry, line)
        else:
            run.fault(line, f"flag {name!r} must be true, false or a mapping")


def _read_flag(run: Import, name: str, entry: Lined, line: int) -> None:
    check_keys(run, entry, FLAG, f"flag {name!r}")
    values, _lines = chosen(entry, FLAG_SCOPE)
    if values:
        _save_flag(run, name, "", "", values, line)
    for section in ("teams", "keys"):
        group = entry.get(section)
        if group is None:
            continue
        if not isinstance(group, Lined):
            run.fault(entry.line_of(section), f"{section} must be a mapping")
            continue
        for scope in group:
            _read_scope(run, name, section, scope, group)


def _read_scope(run: Import, name: str, section: str, scope: str, group: Lined) -> None:
    line = group.line_of(scope)
    team, _, key = scope.partition("/")
    if bool(key) != (section == "keys"):
        run.fault(line, "a key is written team/key, a team by its name alone")
        return
    if isinstance(group[scope], Lined):
        values, _lines = chosen(group_of(run, group, scope, FLAG_SCOPE), FLAG_SCOPE)
    else:
        values = {"enabled": group[scope]}
    _save_flag(run, name, team, key, values, line)


def _save_flag(
    run: Import, name: str, team: str, key: str, values: dict[str, Any], line: int
) -> None:
    scope = "/".join(filter(None, (team, key)))
    what = f"flag {name}" + (f" for {scope}" if scope else "")
    save(run, FeatureFlag, {"name": name, "team": team, "key": key}, values, line, what)

"""Reads feature flags from a file."""

from typing import Any

from llmgateway.configuration.entries import check_keys, group_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import save
from llmgateway.lined_yaml import Lined
from routing.configuration.keys import FLAG
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
            _read_scoped_flag(run, name, entry, line)
        else:
            run.fault(line, f"flag {name!r} must be true, false or a mapping")


def _read_scoped_flag(run: Import, name: str, entry: Lined, line: int) -> None:
    check_keys(run, entry, FLAG, f"flag {name!r}")
    values = {key: entry[key] for key in ("enabled", "percentage") if key in entry}
    if values:
        _save_flag(run, name, "", "", values, line)
    for section in ("teams", "keys"):
        group = group_of(run, entry, section, set(entry.get(section) or ()))
        for scope, enabled in group.items():
            team, _, key = scope.partition("/")
            if bool(key) == (section == "keys"):
                _save_flag(run, name, team, key, {"enabled": enabled}, group.line_of(scope))
            else:
                run.fault(
                    group.line_of(scope), "a key is written team/key, a team by its name alone"
                )


def _save_flag(
    run: Import, name: str, team: str, key: str, values: dict[str, Any], line: int
) -> None:
    scope = "/".join(filter(None, (team, key)))
    what = f"flag {name}" + (f" for {scope}" if scope else "")
    save(run, FeatureFlag, {"name": name, "team": team, "key": key}, values, line, what)

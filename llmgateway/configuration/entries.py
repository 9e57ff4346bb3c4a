"""Walks the mappings and lists of a file, and notes with its line what is not of the form that it should be."""

from collections.abc import Iterator

from llmgateway.configuration.faults import Import
from llmgateway.lined_yaml import Lined


def entries_of(run: Import, tree: Lined, section: str) -> Iterator[tuple[str, Lined, int]]:
    entries = tree.get(section)
    if entries is None:
        return
    if not isinstance(entries, Lined):
        run.fault(tree.line_of(section), f"{section} must be a mapping")
        return
    for name, entry in entries.items():
        line = entries.line_of(name)
        if entry is None:
            entry = Lined()
            entry.line = line
        if isinstance(entry, Lined):
            yield name, entry, line
        else:
            run.fault(line, f"{name!r} must be a mapping")


def check_keys(run: Import, entry: Lined, known: set[str], what: str) -> None:
    for key in entry:
        if key not in known:
            run.fault(
                entry.line_of(key),
                f"{what} has no setting {key!r} in this version; known are {', '.join(sorted(known))}",
            )


def group_of(run: Import, entry: Lined, name: str, known: set[str]) -> Lined:
    group = entry.get(name)
    if isinstance(group, Lined):
        check_keys(run, group, known, name)
        return group
    if group is not None:
        run.fault(entry.line_of(name), f"{name} must be a mapping")
    return Lined()


def items_of(run: Import, entry: Lined, name: str) -> Iterator[Lined]:
    items = entry.get(name)
    if items is None:
        return
    if not isinstance(items, list):
        run.fault(entry.line_of(name), f"{name} must be a list")
        return
    for item in items:
        if isinstance(item, Lined):
            yield item
        else:
            run.fault(entry.line_of(name), f"each of {name} must be a mapping")

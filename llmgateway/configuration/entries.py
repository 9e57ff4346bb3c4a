"""Walks the mappings and lists of a file, and notes with its line what is not of the form that it should be."""

from collections.abc import Collection, Iterator, Mapping

from llmgateway.configuration.faults import Import
from llmgateway.lined_yaml import Lined


def entries_of(run: Import, tree: Lined, section: str) -> Iterator[tuple[str, Lined, int]]:
    """The mappings of a section by their names, with their lines."""
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


def check_keys(run: Import, entry: Lined, known: Collection[str], what: str) -> None:
    """Note keys that are not known."""
    for key in entry:
        if key not in known:
            run.fault(
                entry.line_of(key),
                f"{what} has no setting {key!r} in this version; known are {', '.join(sorted(known))}",
            )


def group_of(run: Import, entry: Lined, name: str, known: Collection[str]) -> Lined:
    """The mapping under a key; an empty one where there is none."""
    group = entry.get(name)
    if isinstance(group, Lined):
        check_keys(run, group, known, name)
        return group
    if group is not None:
        run.fault(entry.line_of(name), f"{name} must be a mapping")
    return Lined()


def items_of(run: Import, entry: Lined, name: str) -> Iterator[Lined]:
    """The mappings in the list under a key."""
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


def chosen(
    entry: Lined, fields: Mapping[str, str] | Collection[str]
) -> tuple[dict[str, object], dict[str, int]]:
    """What stands under the keys that are there, by the names of their fields, and their lines."""
    names = fields if isinstance(fields, Mapping) else {key: key for key in fields}
    values = {name: entry[key] for key, name in names.items() if key in entry}
    return values, {name: entry.line_of(key) for key, name in names.items() if key in entry}

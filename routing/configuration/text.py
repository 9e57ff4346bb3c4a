"""The configuration as YAML text. Writes anew what has changed, and takes the rest from the text before.

YAML's writer takes a second for two thousand routes, in steps of Python that requests have to wait for. What it says of
a provider or an alias depends on nothing beside it, so each is written by itself, and kept with what it was written of.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from routing.configuration.tree import Tree

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_Place = tuple[str, str]


class _Kept:
    """What the newest text was made of: the text of each entry, with its tree as ``repr`` tells it."""

    texts: Mapping[_Place, tuple[str, str]] = {}


def write_text(tree: Tree) -> str:
    """The tree as YAML, in its own order."""
    before, now = _Kept.texts, {}
    pieces: list[str] = []
    for section, content in tree.items():
        if not isinstance(content, dict) or not content:
            pieces.append(_dump({section: content}))
            continue
        heading = f"{_dump({section: None}).partition(':')[0]}:\n"
        pieces.append(heading)
        for name, entry in content.items():
            place = (section, name)
            told = repr(entry)  # which tells 1 from True, as no comparison does
            held = before.get(place)
            if held is None or held[0] != told:
                held = (told, _dump({section: {name: entry}}).removeprefix(heading))
            now[place] = held
            pieces.append(held[1])
    _Kept.texts = now
    return "".join(pieces)


def _dump(tree: Tree) -> str:
    return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000))

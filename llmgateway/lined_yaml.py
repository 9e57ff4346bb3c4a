"""YAML with line numbers, so that every complaint about a file can say where."""

from typing import Any

import yaml

NODES_MAX = 1_000_000
"""So much may a text say in all, what aliases repeat counted again: a kilobyte of them can stand for gigabytes."""


class Lined(dict[str, Any]):
    """A mapping that knows the line it begins at, and that of each of its keys; lines count from 1."""

    line: int = 0

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}

    def line_of(self, key: str) -> int:
        """The key's line, or the mapping's own for a key it does not have."""
        return self.lines.get(key, self.line)


def plain(value: Any) -> Any:
    """The value without its lines: dictionaries and lists, as JSON and a YAML dumper take them."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


class BadYaml(Exception):
    """The text is no YAML; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with our mappings."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Lined:
    mapping = Lined()
    mapping.line = node.start_mark.line + 1
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        line = key_node.start_mark.line + 1
        if key in mapping:
            raise BadYaml(line, f"{key!r} stands here twice")
        mapping[key] = loader.construct_object(value_node, deep=True)
        mapping.lines[key] = line
    return mapping


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def load(text: str) -> Any:
    """What the text says.

    Raises:
        BadYaml: it is no YAML, says a key twice, or too much in all.
    """
    try:
        return _read(text)
    except RecursionError as error:
        raise BadYaml(1, "it is nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadYaml(mark.line + 1 if mark else 1, error.problem or "not valid YAML") from error
    except yaml.YAMLError as error:
        raise BadYaml(1, f"not valid YAML: {error}") from error
    except ValueError as error:  # a date or a number in form only, such as 2026-13-45
        raise BadYaml(1, f"a value that YAML cannot read: {error}") from error


def _read(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _nodes_in(node, {}) > NODES_MAX:
            raise BadYaml(1, f"its aliases repeat more than {NODES_MAX} values, or themselves")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _nodes_in(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds with itself; more than all for one that holds itself. ``known`` are those counted."""
    count = known.get(id(node))
    if count is not None:
        return count
    known[id(node)] = NODES_MAX + 1
    count = 1
    for part in node.value if isinstance(node, yaml.CollectionNode) else ():
        count += sum(
            _nodes_in(each, known) for each in (part if isinstance(part, tuple) else (part,))
        )
    known[id(node)] = count
    return count

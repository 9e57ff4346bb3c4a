"""JSONPath (RFC 9535) as edits of bodies: drop, add, set. Never in place: what is on the way to a change is copied."""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

import orjson
import re2
from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError
from jsonpath.filter import BaseExpression, FilterQuery, RootFilterQuery
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.segments import JSONPathChildSegment, JSONPathRecursiveDescentSegment
from jsonpath.selectors import Filter, IndexSelector, NameSelector

from conversion.errors import TransformationFailed
from routing.regexes import compile_regex

Change: TypeAlias = Callable[[dict[str, Any]], Any]
Parts: TypeAlias = tuple[int | str, ...]
DEPTH_MAX = 250
DESCENTS_MAX = 2
SELECTORS_MAX = 100


class PathInvalid(ValueError):
    """A text is no JSONPath, or none that can be used so."""


class ValueInvalid(ValueError):
    """A value cannot be written as JSON."""


class _Matching(FilterFunction):
    """RFC 9535's ``match`` and ``search``, by RE2: the package's own can take for ever."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]
    return_type = ExpressionType.LOGICAL

    def __init__(self, *, is_whole: bool) -> None:
        self._is_whole = is_whole

    def __call__(self, value: object, pattern: object) -> bool:
        if not isinstance(value, str) or not isinstance(pattern, str):
            return False
        try:
            compiled = compile_regex(pattern, "")
        except re2.error:
            return False
        found = compiled.fullmatch(value) if self._is_whole else compiled.search(value)
        return found is not None


class _Environment(JSONPathEnvironment):
    max_recursion_depth = DEPTH_MAX

    def setup_function_extensions(self) -> None:
        """The functions of RFC 9535."""
        super().setup_function_extensions()
        self.function_extensions["match"] = _Matching(is_whole=True)
        self.function_extensions["search"] = _Matching(is_whole=False)


_ENVIRONMENT = _Environment(strict=True)


@lru_cache(maxsize=512)
def compile_path(text: str) -> JSONPath:
    """The path, compiled.

    Raises:
        PathInvalid: with a sentence that says why it cannot be used.
    """
    try:
        path = _ENVIRONMENT.compile(text)
    except (JSONPathError, RecursionError) as error:
        message = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise PathInvalid(f"Not a JSONPath (RFC 9535): {message}") from error
    if not isinstance(path, JSONPath) or not path.segments:
        raise PathInvalid("The path names the whole body; go on with a member, such as $.metadata.")
    _check_effort(path)
    return path


def _check_effort(path: JSONPath, *, is_condition: bool = False) -> None:
    """See to it that the effort grows with the body, and not with its square.

    Raises:
        PathInvalid: it would not.
    """
    descents = sum(
        isinstance(segment, JSONPathRecursiveDescentSegment) for segment in path.segments
    )
    if descents > (0 if is_condition else DESCENTS_MAX):
        raise PathInvalid("“..” takes long: it may stand twice in a path, and not in a condition.")
    if math.prod(len(segment.selectors) for segment in path.segments) > SELECTORS_MAX:
        raise PathInvalid("The path names too many things side by side.")
    selectors = (selector for segment in path.segments for selector in segment.selectors)
    for selector in selectors:
        if isinstance(selector, Filter):
            _check_condition(selector.expression)


def _check_condition(expression: BaseExpression) -> None:
    if isinstance(expression, FilterQuery):
        if isinstance(expression, RootFilterQuery) and not expression.path.singular_query():
            raise PathInvalid("Of the whole body a condition may ask for one value, as $.stream.")
        _check_effort(expression.path, is_condition=True)
    for child in expression.children():
        _check_condition(child)


def change_for(kind: str, label: str, text: str, value: Any) -> Change:
    """The change that a row of one of the JSONPath kinds makes.

    Raises:
        PathInvalid: the path cannot be used so.
        ValueInvalid: the value is none that JSON has.
    """
    path = compile_path(text)
    if kind == "json_drop":
        return _guarded(label, lambda body: _drop(path, body))
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ValueInvalid(f"It cannot be written as JSON: {error}") from error
    holders, last = _split(path)
    if kind == "json_add":
        if last is None:
            raise PathInvalid("To add, the path must end in one name or index, such as .user.")
        return _guarded(label, lambda body: _put(_absent(holders, last, body), value, body))
    return _guarded(label, lambda body: _set(path, holders, last, value, body))


def _guarded(label: str, change: Change) -> Change:
    def guarded(body: dict[str, Any]) -> Any:
        try:
            return change(body)
        except JSONPathError as error:
            if "recursion" in str(error):
                raise RecursionError from error
            raise TransformationFailed(
                f"The transformation “{label}” (Routing → Transformations) failed: {error}"
            ) from error

    return guarded


def _split(path: JSONPath) -> tuple[JSONPath, int | str | None]:
    """The path to the holders, and the name or index in them; None when the path ends in anything else."""
    *before, last = path.segments
    holders = JSONPath(env=path.env, segments=before)
    selectors = last.selectors if isinstance(last, JSONPathChildSegment) else ()
    match selectors:
        case (NameSelector(name=str(name)),):
            return holders, name
        case (IndexSelector(index=int(index)),):
            return holders, index
    return holders, None


def _drop(path: JSONPath, body: dict[str, Any]) -> Any:
    draft = Draft(body)
    for parts in _deepest_first(match.parts for match in path.finditer(body)):
        holder = draft.at(parts[:-1])
        del holder[parts[-1]]
    return draft.root


def _set(
    path: JSONPath, holders: JSONPath, last: int | str | None, value: Any, body: dict[str, Any]
) -> Any:
    places = [match.parts for match in path.finditer(body) if not _is_same(match.obj, value)]
    if last is not None:
        places += _absent(holders, last, body)
    return _put(places, value, body)


def _put(places: Iterable[Parts], value: Any, body: dict[str, Any]) -> Any:
    draft = Draft(body)
    for parts in _deepest_first(places):
        holder, last = draft.at(parts[:-1]), parts[-1]
        if isinstance(holder, list) and last == len(holder):
            holder.append(value)
        else:
            holder[last] = value
    return draft.root


def _absent(holders: JSONPath, last: int | str, body: dict[str, Any]) -> list[Parts]:
    """Where the holders are there and the last segment is not: a new member, or the place behind a list's end."""
    return [
        (*match.parts, last)
        for match in holders.finditer(body)
        if (isinstance(match.obj, dict) and isinstance(last, str) and last not in match.obj)
        or (isinstance(match.obj, list) and last == len(match.obj))
    ]


def _is_same(old: object, new: object) -> bool:
    return type(old) is type(new) and not isinstance(old, dict | list) and old == new


def _deepest_first(places: Iterable[Any]) -> list[Any]:
    """Each place once: what is inside of another before it, the end of a list before its beginning."""
    return sorted(
        set(places),
        key=lambda parts: (len(parts), parts[-1] if isinstance(parts[-1], int) else 0),
        reverse=True,
    )


class Draft:
    """A body that is being changed: each container on the way to a change is copied, once."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._own: set[int] = set()

    def at(self, parts: Parts) -> Any:
        """The container at that place, free to be changed."""
        node = self.root = self._owned(self.root)
        for part in parts:
            child = self._owned(node[part])
            node[part] = child
            node = child
        return node

    def _owned(self, node: Any) -> Any:
        if id(node) in self._own:
            return node
        copy = node.copy()
        self._own.add(id(copy))
        return copy

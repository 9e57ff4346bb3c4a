"""What the parts of a request's conversion share: the target's traits, the notes, and readers that name the field."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from conversion.errors import RequestInvalid
from conversion.report import Report
from conversion.traits import ChatTraits

NAME_HASH_CHARS = 8


@dataclass(slots=True)
class Reading:
    """One request on its way. ``binary_chars`` counts base64, which is no text to estimate tokens from."""

    traits: ChatTraits
    report: Report
    tool_names: dict[str, str] = field(default_factory=dict)
    upstream_names: dict[str, str] = field(default_factory=dict)
    cache_control_dropped: bool = False
    binary_chars: int = 0
    _noted: set[str] = field(default_factory=set)
    _taken_names: set[str] = field(default_factory=set)

    def dropped_once(self, path: str, why: str) -> None:
        """Note something that may be there a hundred times, once."""
        if path not in self._noted:
            self._noted.add(path)
            self.report.dropped(path, why)

    def mapped_once(self, path: str, why: str) -> None:
        """As ``dropped_once``, for what crossed in another form."""
        if path not in self._noted:
            self._noted.add(path)
            self.report.mapped(path, why)

    def tool_name(self, name: str) -> str:
        """The name the upstream is told: the client's, or a legal one made from it that can be traced back.

        Chat completions take ``^[a-zA-Z0-9_-]{1,64}$`` (OpenAI's API reference, read August 2026).
        """
        known = self.upstream_names.get(name)
        if known is not None:
            return known
        legal = name
        if (
            len(name) > self.traits.tool_name_chars_max
            or not is_legal_name(name)
            or name in self.tool_names
        ):
            legal = self._alias(name)
            self.tool_names[legal] = name
            self.mapped_once(
                "tools[].name", "made shorter or legal for this target, and restored in the answer"
            )
        self.upstream_names[name] = legal
        self._taken_names.add(legal)
        return legal

    def _alias(self, name: str) -> str:
        """The name's beginning and a hash of it: the same in each request, unless another tool is called just so."""
        chars_max = self.traits.tool_name_chars_max
        head = "".join(char if is_legal_name(char) else "_" for char in name[:chars_max])
        salt = ""
        while True:
            mark = "_" + sha256((name + salt).encode()).hexdigest()[:NAME_HASH_CHARS]
            alias = head[: chars_max - len(mark)] + mark
            if alias not in self._taken_names:
                return alias
            salt += "+"

    def with_cache_mark(self, part: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
        """The part with the block's cache mark, where the target takes it."""
        mark = block.get("cache_control")
        if mark is not None:
            if self.traits.cache_control:
                part["cache_control"] = mark
            else:
                self.cache_control_dropped = True
        return part


def is_legal_name(name: str) -> bool:
    """Whether chat completions take the name."""
    return name.isascii() and all(char.isalnum() or char in "_-" for char in name) and bool(name)


def as_object(value: Any, path: str) -> dict[str, Any]:
    """The value as an object; none at all is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestInvalid("Input should be a valid dictionary", path=path)
    return value


def as_list(value: Any, path: str) -> list[Any]:
    """The value as a list; none at all is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise RequestInvalid("Input should be a valid list", path=path)
    return value


def need_text(holder: dict[str, Any], name: str, path: str) -> str:
    """The member as a string, which must be there."""
    value = holder.get(name)
    if not isinstance(value, str):
        raise RequestInvalid("Field required: a string", path=f"{path}.{name}")
    return value


def write_json(value: Any, path: str) -> bytes:
    """The value as JSON. orjson reads 1024 levels and writes 254, so not all that could be read can be written."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        message = "nested too deeply to be sent on"
        if not path:
            message = f"the request body is {message}"
        raise RequestInvalid(message, path=path) from error

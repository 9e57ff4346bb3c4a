"""What the parts of a request's conversion share: the target's traits, the notes, and readers that name the field."""

from typing import Any

import orjson

from conversion.errors import RequestInvalid
from conversion.noting import Noting
from conversion.traits import ChatTraits


class Reading(Noting, kw_only=True):
    """One request on its way. ``binary_chars`` counts base64, which is no text to estimate tokens from."""

    traits: ChatTraits
    cache_control_dropped: bool = False
    binary_chars: int = 0

    def with_cache_mark(self, part: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
        """The part with the block's cache mark, where the target takes it."""
        mark = block.get("cache_control")
        if mark is not None:
            if self.traits.cache_control:
                part["cache_control"] = mark
                self.note_lifetime(mark)
            else:
                self.cache_control_dropped = True
        return part


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

"""Puts the tool calls of an answer together, however their pieces are cut, numbered and repeated.

Pieces belong together by ``index``, where it is missing by ``id``, else to the call before (traps 9 and 10). The
first name and the first id count (trap 15). What the calls become on the client's side is not decided here.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from conversion.errors import UpstreamInvalid


class ToolCall:
    """One call in the making. ``arguments`` are pieces of JSON text, in order."""

    __slots__ = (
        "_checked",
        "_complete",
        "arguments",
        "client_id",
        "extra",
        "extra_sent",
        "id",
        "index",
        "name",
        "sent",
        "state",
    )

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.client_id = ""
        """The id of its block; empty until it has one."""
        self.arguments: list[str] = []
        self.extra: Any = None
        self.extra_sent = False
        self.state = "waiting"
        """``waiting``, then ``open`` while its block is, then ``closed``: kept here for the stream's sake."""
        self.sent = 0
        """How many pieces of ``arguments`` the client has."""
        self._checked = -1
        self._complete = False

    def text(self) -> str:
        """The arguments so far."""
        return "".join(self.arguments)

    def is_complete(self) -> bool:
        """Whether the arguments are whole JSON, so that nothing more can belong to them."""
        if self._checked != len(self.arguments):
            self._checked = len(self.arguments)
            try:
                orjson.loads(self.text())
                self._complete = True
            except orjson.JSONDecodeError:
                self._complete = False
        return self._complete

    def is_object(self) -> bool:
        """Whether the arguments begin like an object, and may be passed on piece by piece."""
        for piece in self.arguments:
            start = piece.lstrip()
            if start:
                return start.startswith("{")
        return False


class ToolCalls:
    """All calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self._by_key: dict[int | str, ToolCall] = {}

    def read(self, entry: dict[str, Any]) -> tuple[ToolCall, str]:
        """The call that an entry of ``tool_calls`` belongs to, and its piece of arguments, not yet taken."""
        function = entry.get("function")
        function = function if isinstance(function, dict) else {}
        index = entry.get("index")
        index = index if isinstance(index, int) and not isinstance(index, bool) else None
        call_id, name = _text(entry.get("id")), _text(function.get("name"))
        call = self._call_of(index, call_id, name)
        call.id = call.id or call_id
        call.name = call.name or name
        if call.extra is None:
            call.extra = entry.get("extra_content")
        return call, _read_arguments(function.get("arguments"))

    def _call_of(self, index: int | None, call_id: str, name: str) -> ToolCall:
        key = call_id or None if index is None else index
        last = self.calls[-1] if self.calls else None
        call = last if key is None else self._by_key.get(key)
        if call is None and index is None and last is not None and not (name or last.id):
            call = last  # its id comes late
        if call is None or (name and _is_another(call, key, call_id) and call.is_complete()):
            call = ToolCall(index)
            self.calls.append(call)
            if key is not None:
                self._by_key[key] = call
            if call_id:
                self._by_key.setdefault(call_id, call)
        return call


def read_calls(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of ``tool_calls`` in a message or a delta; the old ``function_call`` is one too."""
    entries = message.get("tool_calls")
    if isinstance(entries, list):
        yield from (entry for entry in entries if isinstance(entry, dict))
    function = message.get("function_call")
    if isinstance(function, dict):
        yield {"index": 0, "function": function}


def read_input(arguments: str) -> dict[str, Any]:
    """The input of a tool_use block. Nothing is an empty object (trap 13); what is no object is wrapped in one.

    Raises:
        UpstreamInvalid: the arguments are not JSON.
    """
    if not arguments.strip():
        return {}
    try:
        value = orjson.loads(arguments)
        if isinstance(value, str):
            # Some servers encode twice.
            value = _decoded(value)
    except orjson.JSONDecodeError as error:
        raise UpstreamInvalid(f"the arguments of a tool call are not JSON: {error}") from error
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"arguments": value}


def _decoded(text: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, dict) else text


def _is_another(call: ToolCall, key: int | str | None, call_id: str) -> bool:
    """Whether an entry with a name may begin a call of its own although its key is taken.

    Gemini's OpenAI endpoint has numbered all calls of an answer 0; others give neither index nor id.
    """
    return key is None or bool(call_id and call.id and call_id != call.id)


def _read_arguments(value: Any) -> str:
    """Arguments as JSON text. Ollama has sent the object itself (trap 14)."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

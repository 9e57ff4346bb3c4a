"""Tools, and which of them the model is to use."""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from conversion.anthropic_over_openai.reading import Reading, as_list, as_object, need_text
from conversion.errors import RequestInexpressible, RequestInvalid

KNOWN = frozenset({"name", "description", "input_schema", "type", "strict", "cache_control"})

# Client tools whose schema only Anthropic's models know: written out here as their documentation describes them
# (tool use, read August 2026), so that any model can call them.
_COMMANDS = ["view", "create", "str_replace", "insert"]
_TEXT_EDITOR = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "enum": _COMMANDS},
        "path": {"type": "string", "description": "Absolute path of the file or directory."},
        "file_text": {"type": "string", "description": "For create: the file's content."},
        "old_str": {
            "type": "string",
            "description": "For str_replace: the text to replace; must occur once.",
        },
        "new_str": {"type": "string", "description": "For str_replace: the text to put there."},
        "insert_line": {
            "type": "integer",
            "description": "For insert: the line to insert after; 0 is the top.",
        },
        "insert_text": {"type": "string", "description": "For insert: the text to insert."},
        "view_range": {
            "type": "array",
            "items": {"type": "integer"},
            "description": "For view: first and last line.",
        },
    },
    "required": ["command", "path"],
}
_BASH = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "The command to run."},
        "restart": {"type": "boolean", "description": "Restart the shell instead."},
    },
}
_MEMORY = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "enum": [*_COMMANDS, "delete", "rename"]},
        "path": {"type": "string"},
        "file_text": {"type": "string"},
        "old_str": {"type": "string"},
        "new_str": {"type": "string"},
        "insert_line": {"type": "integer"},
        "insert_text": {"type": "string"},
        "view_range": {"type": "array", "items": {"type": "integer"}},
        "old_path": {"type": "string"},
        "new_path": {"type": "string"},
    },
    "required": ["command"],
}
CLIENT_TOOLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("bash_", "Run a command in a persistent bash shell.", _BASH),
    ("text_editor_", "View, create and edit text files.", _TEXT_EDITOR),
    ("memory_", "View, create and edit the files of a memory directory at /memories.", _MEMORY),
)


WEB_SEARCH = "web_search_"
# OpenRouter's web plugin by the names of Anthropic's web search (OpenRouter's SDK reference, WebSearchPlugin, read
# November 2026; case request_web_search_plugin).
WEB_SETTINGS = {
    "max_uses": "max_uses",
    "allowed_domains": "include_domains",
    "blocked_domains": "exclude_domains",
    "user_location": "user_location",
}


@dataclass(slots=True)
class _Offer:
    """The tools as the target gets them; ``missing`` are those it has no way to offer, as (path, type)."""

    functions: list[dict[str, Any]] = field(default_factory=list)
    plugins: list[dict[str, Any]] = field(default_factory=list)
    plugin_names: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)


def write_tools(body: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """The fields of the request that tools need: ``tools``, ``tool_choice`` and their like; empty without tools.

    Raises:
        RequestInexpressible: none of the tools can be offered, or the one that must be used cannot.
    """
    offer = _Offer()
    given = as_list(body.get("tools"), "tools")
    for number, tool in enumerate(given):
        path = f"tools[{number}]"
        if not isinstance(tool, dict):
            raise RequestInvalid("Input should be a valid dictionary", path=path)
        kind = tool.get("type")
        if kind is None or kind == "custom":
            offer.functions.append(_custom(tool, path, reading))
        elif not isinstance(kind, str):
            raise RequestInvalid("Input should be a valid string", path=f"{path}.type")
        else:
            _offer_typed(tool, kind, path, reading, offer)
    if offer.missing and not offer.functions and not offer.plugins:
        path, kind = offer.missing[0]
        raise RequestInexpressible(f"this target has no tool {kind}", path=f"{path}.type")
    for path, kind in offer.missing:
        reading.report.dropped(path, f"this target has no tool {kind}")
    chosen = _write_choice(body, offer, reading)
    fields: dict[str, Any] = {}
    if offer.functions:
        fields["tools"] = offer.functions
    if offer.plugins:
        fields["plugins"] = offer.plugins
    return fields | chosen


def _custom(tool: dict[str, Any], path: str, reading: Reading) -> dict[str, Any]:
    function: dict[str, Any] = {"name": reading.tool_name(need_text(tool, "name", path))}
    if tool.get("description"):
        function["description"] = need_text(tool, "description", path)
    function["parameters"] = _parameters(tool.get("input_schema"), f"{path}.input_schema")
    strict = tool.get("strict")
    if strict is not None:
        if not isinstance(strict, bool):
            raise RequestInvalid("Input should be a valid boolean", path=f"{path}.strict")
        if reading.traits.strict_tools:
            function["strict"] = strict
        elif strict:
            reading.dropped_once("tools[].strict", "this target has no strict tools")
    for name in tool:
        if name in KNOWN:
            continue
        why = (
            "all tools are sent at once"
            if name == "defer_loading"
            else "a function has no such field"
        )
        reading.dropped_once(f"tools[].{name}", why)
    return reading.with_cache_mark({"type": "function", "function": function}, tool)


def _parameters(schema: Any, path: str) -> dict[str, Any]:
    """The schema, with what OpenAI asks for and Anthropic does not: a type and properties (trap 62)."""
    if schema is None:
        return {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise RequestInvalid("Input should be a valid dictionary", path=path)
    if "type" in schema and "properties" in schema:
        return schema
    return {"type": "object", "properties": {}, **schema}


def _offer_typed(
    tool: dict[str, Any], kind: str, path: str, reading: Reading, offer: _Offer
) -> None:
    for prefix, description, schema in CLIENT_TOOLS:
        if kind.startswith(prefix):
            name = reading.tool_name(need_text(tool, "name", path))
            function = {"name": name, "description": description, "parameters": schema}
            part: dict[str, Any] = {"type": "function", "function": function}
            offer.functions.append(reading.with_cache_mark(part, tool))
            reading.mapped_once(
                f"{path}.type", f"{kind} is sent as a function with a schema written out"
            )
            _note_settings(tool, path, reading, known=())
            return
    if kind.startswith(WEB_SEARCH) and reading.traits.web_search_plugin:
        plugin: dict[str, Any] = {"id": "web"}
        for name, plugin_name in WEB_SETTINGS.items():
            if tool.get(name) is not None:
                plugin[plugin_name] = tool[name]
        offer.plugins.append(plugin)
        offer.plugin_names.append(need_text(tool, "name", path))
        reading.mapped_once(f"{path}.type", "the upstream's own web search is used")
        _note_settings(tool, path, reading, known=WEB_SETTINGS)
    elif kind.startswith(("computer_", "browser_")):
        raise RequestInexpressible(f"this target has no tool {kind}", path=f"{path}.type")
    else:
        offer.missing.append((path, kind))


def _note_settings(
    tool: dict[str, Any], path: str, reading: Reading, *, known: Container[str]
) -> None:
    for name, value in tool.items():
        if value is None or name in {"type", "name", "cache_control"} or name in known:
            continue
        why = (
            "all tools are sent at once"
            if name == "defer_loading"
            else "this target's tool has no such setting"
        )
        reading.dropped_once(f"{path}.{name}", why)


def _write_choice(body: dict[str, Any], offer: _Offer, reading: Reading) -> dict[str, Any]:
    """``tool_choice`` and ``parallel_tool_calls``, which are refused where there are no functions (trap 38)."""
    if body.get("tool_choice") is None:
        return {}
    choice = as_object(body["tool_choice"], "tool_choice")
    kind = choice.get("type")
    if kind not in ("auto", "any", "tool", "none"):
        raise RequestInvalid(
            "Input should be 'auto', 'any', 'tool' or 'none'", path="tool_choice.type"
        )
    if kind == "none" and offer.plugins:
        # The plugin searches once per request, whatever the choice.
        offer.plugins.clear()
        reading.report.dropped(
            "tools", "no tool may be used, so the upstream's search is not asked for"
        )
    if not offer.functions:
        if kind != "auto" or not offer.plugins:
            reading.report.dropped("tool_choice", "there are no functions to choose from")
        return {}
    fields: dict[str, Any] = {}
    if kind == "tool":
        name = need_text(choice, "name", "tool_choice")
        if name in offer.plugin_names:
            reading.report.dropped("tool_choice", "the upstream's search runs without being chosen")
        else:
            fields["tool_choice"] = _function_chosen(name, body, offer, reading)
    else:
        fields["tool_choice"] = "required" if kind == "any" else kind
    if choice.get("disable_parallel_tool_use") is True:
        if reading.traits.parallel_tool_calls:
            fields["parallel_tool_calls"] = False
        else:
            reading.report.dropped(
                "tool_choice.disable_parallel_tool_use", "this target cannot be told so"
            )
    return fields


def _function_chosen(
    name: str, body: dict[str, Any], offer: _Offer, reading: Reading
) -> dict[str, Any]:
    upstream_name = reading.tool_name(name)
    if any(tool["function"]["name"] == upstream_name for tool in offer.functions):
        return {"type": "function", "function": {"name": upstream_name}}
    if any(tool.get("name") == name for tool in body["tools"]):
        raise RequestInexpressible("this target has no such tool", path="tool_choice.name")
    raise RequestInvalid(f"Tool '{name}' not found in provided tools", path="tool_choice.name")

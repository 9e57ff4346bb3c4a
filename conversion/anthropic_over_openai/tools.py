"""Tools, and which of them the model is to use."""

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


def write_tools(body: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """The fields of the request that tools need: ``tools``, ``tool_choice`` and their like; empty without tools."""
    given = as_list(body.get("tools"), "tools")
    written: list[dict[str, Any]] = []
    plugins: list[dict[str, Any]] = []
    for number, tool in enumerate(given):
        path = f"tools[{number}]"
        if not isinstance(tool, dict):
            raise RequestInvalid("Input should be a valid dictionary", path=path)
        kind = tool.get("type")
        if kind is None or kind == "custom":
            written.append(_custom(tool, path, reading))
        elif not isinstance(kind, str):
            raise RequestInvalid("Input should be a valid string", path=f"{path}.type")
        else:
            _typed(
                tool, kind, path, reading, written=written, plugins=plugins, is_only=len(given) == 1
            )
    fields: dict[str, Any] = {}
    if plugins:
        fields["plugins"] = plugins
    if written:
        fields["tools"] = written
        _write_choice(fields, body, reading)
    elif body.get("tool_choice") is not None and not plugins:
        reading.report.dropped("tool_choice", "there are no tools to choose from")
    return fields


def _custom(tool: dict[str, Any], path: str, reading: Reading) -> dict[str, Any]:
    function: dict[str, Any] = {"name": reading.tool_name(need_text(tool, "name", path))}
    description = tool.get("description")
    if isinstance(description, str) and description:
        function["description"] = description
    function["parameters"] = _parameters(tool.get("input_schema"), f"{path}.input_schema")
    if isinstance(tool.get("strict"), bool):
        if reading.traits.strict_tools:
            function["strict"] = tool["strict"]
        else:
            reading.dropped_once("tools[].strict", "this target has no strict tools")
    for name in tool.keys() - KNOWN:
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


def _typed(
    tool: dict[str, Any],
    kind: str,
    path: str,
    reading: Reading,
    *,
    written: list[dict[str, Any]],
    plugins: list[dict[str, Any]],
    is_only: bool,
) -> None:
    for prefix, description, schema in CLIENT_TOOLS:
        if kind.startswith(prefix):
            name = reading.tool_name(need_text(tool, "name", path))
            function = {"name": name, "description": description, "parameters": schema}
            written.append(
                reading.with_cache_mark({"type": "function", "function": function}, tool)
            )
            reading.mapped_once(
                f"{path}.type", f"{kind} is sent as a function with a schema written out"
            )
            return
    if kind.startswith("web_search_") and reading.traits.web_search_plugin:
        plugins.append({"id": "web"})
        reading.mapped_once(f"{path}.type", "the upstream's own web search is used")
        for name in tool.keys() - {"type", "name", "cache_control"}:
            reading.dropped_once(f"{path}.{name}", "the upstream's web search has no such setting")
        return
    if is_only or kind.startswith(("computer_", "browser_")):
        raise RequestInexpressible(f"this target has no tool {kind}", path=f"{path}.type")
    reading.report.dropped(path, f"this target has no tool {kind}")


def _write_choice(fields: dict[str, Any], body: dict[str, Any], reading: Reading) -> None:
    choice = as_object(body.get("tool_choice"), "tool_choice")
    if not choice:
        return
    kind = choice.get("type")
    if kind == "auto":
        fields["tool_choice"] = "auto"
    elif kind == "any":
        fields["tool_choice"] = "required"
    elif kind == "none":
        fields["tool_choice"] = "none"
    elif kind == "tool":
        name = reading.tool_name(need_text(choice, "name", "tool_choice"))
        fields["tool_choice"] = {"type": "function", "function": {"name": name}}
    else:
        raise RequestInvalid(
            "Input should be 'auto', 'any', 'tool' or 'none'", path="tool_choice.type"
        )
    if choice.get("disable_parallel_tool_use") is True:
        if reading.traits.parallel_tool_calls:
            fields["parallel_tool_calls"] = False
        else:
            reading.report.dropped(
                "tool_choice.disable_parallel_tool_use", "this target cannot be told so"
            )

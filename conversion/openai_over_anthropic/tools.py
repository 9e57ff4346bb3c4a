"""Tools and the deprecated functions, and which of them the model is to use."""

from typing import Any

from conversion.anthropic_over_openai.reading import as_list, as_object, need_text
from conversion.errors import RequestInexpressible, RequestInvalid
from conversion.openai_over_anthropic.reading import Reading
from conversion.openai_over_anthropic.schemas import FITTED, fit_schema

Tool = dict[str, Any]
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
TOOL_FIELDS = frozenset({"type", "function", "cache_control"})
FUNCTION_FIELDS = frozenset({"name", "description", "parameters", "strict", "cache_control"})


def write_tools(body: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """``tools`` and ``tool_choice``; empty without tools.

    Raises:
        RequestInvalid: a tool breaks the dialect, or the one that must be used is not there.
        RequestInexpressible: a tool is none that this target can offer.
    """
    tools = [
        _tool(tool, f"tools[{number}]", reading)
        for number, tool in enumerate(as_list(body.get("tools"), "tools"))
    ]
    if tools:
        _note_deprecated(body, reading)
        choice, filtered = _read_choice(body.get("tool_choice"), tools, reading)
    else:
        tools = _functions(body, reading)
        choice, filtered = _read_function_call(body.get("function_call"), tools, reading), tools
        if body.get("tool_choice") is not None:
            reading.report.dropped("tool_choice", "there are no tools to choose from")
    if not filtered:
        return {}
    if _one_call_only(body) and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": filtered, "tool_choice": choice} if choice else {"tools": filtered}


def write_called_tools(turns: list[dict[str, Any]], reading: Reading) -> dict[str, Any]:
    """``tools`` for a request that offers none but holds calls, which Anthropic and Bedrock have refused.

    They are named after the calls and may not be used (anthropics/anthropic-sdk-python#494).
    """
    blocks = [block for turn in turns for block in turn["content"]]
    names = {block["name"]: None for block in blocks if block["type"] == "tool_use"}
    if not names:
        return {}
    reading.report.mapped("tools", "earlier calls need their tools: named, but not to be used")
    tools = [{"name": name, "input_schema": _schema(None, "")} for name in names]
    return {"tools": tools, "tool_choice": {"type": "none"}}


def answers_with_function_call(body: dict[str, Any]) -> bool:
    """Whether the client knows the deprecated functions only, and is to be answered in their way."""
    return bool(body.get("functions")) and not body.get("tools")


def _tool(tool: Any, path: str, reading: Reading) -> Tool:
    tool = as_object(tool, path)
    kind = tool.get("type", "function")
    if kind != "function":
        if not isinstance(kind, str):
            raise RequestInvalid("Input should be a valid string", path=f"{path}.type")
        raise RequestInexpressible(f"this target has no tools of the type {kind[:40]}", path=path)
    where = f"{path}.function"
    function = as_object(tool.get("function"), where)
    written = _function(function, where, reading)
    reading.with_cache_mark(written, function, where)
    _note_others(tool, TOOL_FIELDS, "tools[]", reading)
    return reading.with_cache_mark(written, tool, path)


def _function(function: dict[str, Any], path: str, reading: Reading) -> Tool:
    tool: Tool = {"name": reading.tool_name(need_text(function, "name", path))}
    if function.get("description"):
        tool["description"] = need_text(function, "description", path)
    tool["input_schema"] = _schema(function.get("parameters"), f"{path}.parameters")
    strict = function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise RequestInvalid("Input should be a valid boolean", path=f"{path}.strict")
    if strict and reading.traits.strict_tools:
        tool["strict"] = True
        fitted = fit_schema(tool["input_schema"], f"{path}.parameters")
        if fitted != tool["input_schema"]:
            reading.mapped_once("tools[].function.parameters", FITTED)
            tool["input_schema"] = fitted
    elif strict:
        reading.dropped_once("tools[].function.strict", "this target cannot keep to a schema")
    _note_others(function, FUNCTION_FIELDS, "tools[].function", reading)
    return tool


def _note_others(
    holder: dict[str, Any], known: frozenset[str], path: str, reading: Reading
) -> None:
    for name, value in holder.items():
        if name not in known and value is not None:
            reading.dropped_once(f"{path}.{name}", "a tool has no such field")


def _schema(parameters: Any, path: str) -> dict[str, Any]:
    """The schema with the members that must be there (trap 62); without any the function takes nothing."""
    schema = as_object(parameters, path)
    return {"type": "object", "properties": {}, **schema} if "type" not in schema else schema


def _functions(body: dict[str, Any], reading: Reading) -> list[Tool]:
    given = as_list(body.get("functions"), "functions")
    tools = []
    for number, function in enumerate(given):
        path = f"functions[{number}]"
        tools.append(_function(as_object(function, path), path, reading))
    return tools


def _note_deprecated(body: dict[str, Any], reading: Reading) -> None:
    for name in ("functions", "function_call"):
        if body.get(name) is not None:
            reading.report.dropped(name, "tools and tool_choice say it in today's words")


def _read_choice(
    given: Any, tools: list[Tool], reading: Reading
) -> tuple[dict[str, Any] | None, list[Tool]]:
    """(``tool_choice``, the tools that may be chosen)."""
    if given is None:
        return None, tools
    if isinstance(given, str):
        return _mode(given, "tool_choice"), tools
    choice = as_object(given, "tool_choice")
    if choice.get("type") == "allowed_tools":
        return _allowed(choice, tools, reading)
    name = _function_name(choice, "tool_choice")
    return {"type": "tool", "name": _known_name(name, _names(tools), "tool_choice", reading)}, tools


def _mode(word: Any, path: str) -> dict[str, Any]:
    if not isinstance(word, str) or word not in CHOICES:
        raise RequestInvalid("Input should be 'auto', 'required' or 'none'", path=path)
    return {"type": CHOICES[word]}


def _allowed(
    choice: dict[str, Any], tools: list[Tool], reading: Reading
) -> tuple[dict[str, Any], list[Tool]]:
    """Only the allowed tools are offered: Anthropic's choice knows one tool or all."""
    path = "tool_choice.allowed_tools"
    allowed = as_object(choice.get("allowed_tools"), path)
    offered, names = _names(tools), set()
    for number, entry in enumerate(as_list(allowed.get("tools"), f"{path}.tools")):
        where = f"{path}.tools[{number}]"
        name = _function_name(as_object(entry, where), where)
        names.add(_known_name(name, offered, where, reading))
    if not names:
        raise RequestInvalid("Field required: at least one tool", path=f"{path}.tools")
    mode = _mode(allowed.get("mode", "auto"), f"{path}.mode")
    reading.report.mapped("tool_choice", "only the allowed tools are offered")
    return mode, [tool for tool in tools if tool["name"] in names]


def _function_name(choice: dict[str, Any], path: str) -> str:
    if choice.get("type") == "custom":
        raise RequestInexpressible("this target has no custom tools", path=path)
    if choice.get("type") != "function":
        raise RequestInvalid("Input should be 'function' or 'allowed_tools'", path=f"{path}.type")
    where = f"{path}.function"
    return need_text(as_object(choice.get("function"), where), "name", where)


def _names(tools: list[Tool]) -> set[str]:
    return {tool["name"] for tool in tools}


def _known_name(name: str, offered: set[str], path: str, reading: Reading) -> str:
    upstream_name = reading.tool_name(name)
    if upstream_name not in offered:
        raise RequestInvalid(f"Tool '{name}' not found in 'tools'", path=path)
    return upstream_name


def _read_function_call(given: Any, tools: list[Tool], reading: Reading) -> dict[str, Any] | None:
    if given is None:
        return None
    if not tools:
        reading.report.dropped("function_call", "there are no functions to choose from")
        return None
    if isinstance(given, str):
        if given not in ("auto", "none"):
            raise RequestInvalid("Input should be 'auto', 'none' or a name", path="function_call")
        return {"type": given}
    name = need_text(as_object(given, "function_call"), "name", "function_call")
    return {"type": "tool", "name": _known_name(name, _names(tools), "function_call", reading)}


def _one_call_only(body: dict[str, Any]) -> bool:
    """Whether the model is to make one call at a time; ``function_call`` has room for one only."""
    given = body.get("parallel_tool_calls")
    if given is not None and not isinstance(given, bool):
        raise RequestInvalid("Input should be a valid boolean", path="parallel_tool_calls")
    return given is False or answers_with_function_call(body)

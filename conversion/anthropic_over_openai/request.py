"""A Messages request as a chat completions request: the top level, and the order of its parts.

The client's body is read, never edited: another target may translate it again. What the target cannot take is
left out with a note, or refused where leaving it out would change what is asked for.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from conversion.anthropic_over_openai.reading import Reading, as_list, as_object, write_json
from conversion.anthropic_over_openai.thinking import write_reasoning
from conversion.anthropic_over_openai.tools import write_tools
from conversion.anthropic_over_openai.turns import write_messages
from conversion.call import Call
from conversion.errors import RequestInexpressible, RequestInvalid
from conversion.report import Report
from conversion.tool_names import ToolNames
from conversion.traits import ChatTraits

CHARS_PER_TOKEN = 4
HANDLED = frozenset(
    {
        "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k",
        "metadata", "tools", "tool_choice", "thinking", "output_config", "output_format", "cache_control",
    }
)  # fmt: skip
TOOL_FIELDS = frozenset({"tools", "tool_choice"})
WISHES = frozenset({"thinking", "output_config", "output_format"})
REFUSED = {
    "mcp_servers": "this target cannot call MCP servers",
    "container": "this target has no code execution container",
}


class WrittenRequest(msgspec.Struct):
    """What goes to the upstream, and what the answer's conversion must know of the request.

    ``tool_names`` leads from the upstream's names to the client's, for those that had to be changed.
    ``prompt_tokens_estimate`` is counted from the text at four characters a token. ``one_hour_asked`` when it asks for
    cache entries of one hour.
    """

    body: bytes
    report: Report
    tool_names: Mapping[str, str]
    prompt_tokens_estimate: int
    stop_sequences: tuple[str, ...]
    omit_thinking_text: bool
    one_hour_asked: bool


def write_request(call: Call, traits: ChatTraits) -> WrittenRequest:
    """The chat completions request for a Messages call.

    Raises:
        RequestInvalid: the body breaks the Messages dialect; names the field.
        RequestInexpressible: it asks for what this target has no way to do.
    """
    body, report = call.body, Report()
    for name, why in REFUSED.items():
        if body.get(name):
            raise RequestInexpressible(why, path=name)
    names = ToolNames(traits.tool_name_chars_max)
    reading = Reading(report=report, names=names, traits=traits)
    # What a body says nothing of needs no writing: most small ones say nothing of most.
    tools = {} if TOOL_FIELDS.isdisjoint(body) else write_tools(body, reading)
    request: dict[str, Any] = {"model": traits.model, "messages": write_messages(body, reading)}
    _write_limits(request, call, reading)
    request |= tools
    omit_thinking_text = False
    if not WISHES.isdisjoint(body):
        omit_thinking_text = write_reasoning(body, request, reading)
        _write_output_format(request, body, reading)
    if "metadata" in body:
        _write_user(request, body, reading)
    if traits.cache_control and body.get("cache_control"):
        request["cache_control"] = mark = as_object(body["cache_control"], "cache_control")
        reading.note_lifetime(mark)
    elif body.get("cache_control"):
        reading.cache_control_dropped = True
    if call.stream:
        request["stream"] = True
        if traits.stream_usage_option:
            request["stream_options"] = {"include_usage": True}
    _note_unknown(body, reading)
    request.update(traits.parameters)
    return WrittenRequest(
        body=write_json(request, ""),
        report=report,
        tool_names=reading.names.client_names,
        prompt_tokens_estimate=max(1, (len(call.raw) - reading.binary_chars) // CHARS_PER_TOKEN),
        stop_sequences=tuple(
            text for text in body.get("stop_sequences") or () if isinstance(text, str)
        ),
        omit_thinking_text=omit_thinking_text,
        one_hour_asked=reading.one_hour_asked,
    )


def _write_limits(request: dict[str, Any], call: Call, reading: Reading) -> None:
    traits, body, report = reading.traits, call.body, reading.report
    limit = call.max_output_tokens or 0
    if limit == 0:
        raise RequestInexpressible(
            "0 warms Anthropic's prompt cache, which this target cannot do", path="max_tokens"
        )
    if traits.max_output_tokens is not None and limit > traits.max_output_tokens:
        report.mapped(
            "max_tokens", f"cut down from {limit} to the model's {traits.max_output_tokens}"
        )
        limit = traits.max_output_tokens
    request[traits.max_tokens_field] = limit
    if "stop_sequences" in body:
        _write_stop(request, body, reading)
    for name in ("temperature", "top_p"):
        if body.get(name) is not None:
            if traits.sampling:
                request[name] = _number(body[name], name)
            else:
                report.dropped(name, "this model takes no sampling parameters")
    if body.get("top_k") is not None:
        if traits.top_k and traits.sampling:
            request["top_k"] = _number(body["top_k"], "top_k")
        else:
            report.dropped("top_k", "this target has no top_k")


def _number(value: Any, path: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RequestInvalid("Input should be a valid number", path=path)
    return value


def _write_stop(request: dict[str, Any], body: dict[str, Any], reading: Reading) -> None:
    sequences: list[str] = []
    for number, text in enumerate(as_list(body.get("stop_sequences"), "stop_sequences")):
        path = f"stop_sequences[{number}]"
        if not isinstance(text, str):
            raise RequestInvalid("Input should be a valid string", path=path)
        if not text.strip():
            reading.report.dropped(path, "a stop sequence of white space only is not taken")
        elif len(sequences) >= reading.traits.stop_sequences_max:
            reading.report.dropped(
                path, f"this target takes {reading.traits.stop_sequences_max} stop sequences"
            )
        else:
            sequences.append(text)
    if sequences:
        request["stop"] = sequences


def _write_output_format(request: dict[str, Any], body: dict[str, Any], reading: Reading) -> None:
    path = "output_config.format"
    wanted = as_object(body.get("output_config"), "output_config").get("format")
    if wanted is None:
        path, wanted = "output_format", body.get("output_format")
    elif body.get("output_format") is not None:
        reading.report.dropped("output_format", "output_config.format says it already")
    if wanted is None:
        return
    wanted = as_object(wanted, path)
    if wanted.get("type") != "json_schema":
        raise RequestInvalid("Input should be 'json_schema'", path=f"{path}.type")
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        raise RequestInvalid("Field required: a JSON schema", path=f"{path}.schema")
    request["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "output", "schema": schema, "strict": True},
    }


def _write_user(request: dict[str, Any], body: dict[str, Any], reading: Reading) -> None:
    metadata = as_object(body.get("metadata"), "metadata")
    user_id = metadata.get("user_id")
    for name in metadata:
        if name != "user_id":
            reading.report.dropped(f"metadata.{name}", "chat completions have no place for it")
    if user_id is None:
        return
    if not isinstance(user_id, str):
        raise RequestInvalid("Input should be a valid string", path="metadata.user_id")
    field = reading.traits.user_field
    if field == "none":
        reading.report.dropped("metadata.user_id", "this target takes no user id")
        return
    # Claude Code's is 150 characters and more, and may hold an account's address: hashed, it is 64 and tells nobody.
    request[field] = sha256(user_id.encode()).hexdigest()
    reading.report.mapped("metadata.user_id", "sent as its SHA-256")


def _note_unknown(body: dict[str, Any], reading: Reading) -> None:
    for name, value in body.items():
        if name not in HANDLED and name not in REFUSED and value is not None:
            reading.report.dropped(name, "chat completions have no such field")
    if "output_config" in body:
        for name in as_object(body["output_config"], "output_config"):
            if name not in {"effort", "format"}:
                reading.report.dropped(
                    f"output_config.{name}", "chat completions have no such field"
                )
    if reading.cache_control_dropped:
        takes = reading.traits.cache_control
        why = "no place for some of them" if takes else "this target does not take cache marks"
        reading.report.dropped("cache_control", why)

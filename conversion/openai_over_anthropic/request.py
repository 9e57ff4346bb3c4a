"""A chat completions request as a Messages request: the top level, and the order of its parts.

The client's body is read, never edited: another target may translate it again. What the target cannot take is
left out with a note, or refused where leaving it out would change what is asked for.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from conversion.anthropic_over_openai.reading import as_list, as_object, write_json
from conversion.anthropic_over_openai.request import CHARS_PER_TOKEN
from conversion.call import Call
from conversion.errors import RequestInexpressible, RequestInvalid
from conversion.openai_over_anthropic.formats import write_format
from conversion.openai_over_anthropic.limits import write_max_tokens, write_sampling, write_stop
from conversion.openai_over_anthropic.reading import TOOL_NAME_CHARS_MAX, Reading
from conversion.openai_over_anthropic.thinking import write_thinking
from conversion.openai_over_anthropic.tools import (
    answers_with_function_call,
    write_called_tools,
    write_tools,
)
from conversion.openai_over_anthropic.turns import write_turns
from conversion.report import Report
from conversion.tool_names import ToolNames
from conversion.traits import MessagesTraits

HANDLED = frozenset(
    {
        "model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "stop", "temperature",
        "top_p", "top_k", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call",
        "response_format", "reasoning_effort", "reasoning", "user", "safety_identifier", "prompt_cache_key",
        "cache_control", "n",
    }
)  # fmt: skip
HARMLESS: dict[str, Any] = {
    "store": False,
    "logprobs": False,
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
    "metadata": {},
}
"""Values that ask for nothing a Messages answer would not be without them; they are left out without a note."""
USER_FIELDS = ("user", "safety_identifier", "prompt_cache_key")
USER_CHARS_MAX = 256


class WrittenRequest(msgspec.Struct):
    """What goes to the upstream, and what the answer's conversion must know of the request.

    ``tool_names`` leads from the upstream's names to the client's, for those that had to be changed.
    ``prompt_tokens_estimate`` is counted from the text at four characters a token. ``include_usage`` when the client asked
    for a stream's usage; ``function_call`` when it knows the deprecated functions only; ``one_hour_asked`` when it asks
    for cache entries of one hour.
    """

    body: bytes
    report: Report
    tool_names: Mapping[str, str]
    prompt_tokens_estimate: int
    include_usage: bool
    function_call: bool
    one_hour_asked: bool


def write_request(call: Call, traits: MessagesTraits) -> WrittenRequest:
    """The Messages request for a chat completions call.

    Raises:
        RequestInvalid: the body breaks the chat dialect; names the field.
        RequestInexpressible: it asks for what this target has no way to do.
    """
    body, report = call.body, Report()
    _refuse(body)
    names = ToolNames(TOOL_NAME_CHARS_MAX)
    reading = Reading(report=report, names=names, traits=traits)
    tools = write_tools(body, reading)
    system, turns = write_turns(as_list(body.get("messages"), "messages"), reading)
    request: dict[str, Any] = {
        "model": traits.model,
        "max_tokens": write_max_tokens(call, reading),
        "messages": turns,
        **(tools or write_called_tools(turns, reading)),
    }
    write_format(body, request, system, reading)
    if system:
        request["system"] = system
    is_thinking = write_thinking(body, request, reading)
    request |= write_stop(body, reading)
    request |= write_sampling(body, reading, is_thinking=is_thinking)
    _write_user(request, body, reading)
    reading.with_cache_mark(request, body, "")
    include_usage = _read_stream_options(body, reading)
    if call.stream:
        request["stream"] = True
    _note_unknown(body, reading)
    request.update(traits.parameters)
    return WrittenRequest(
        body=write_json(request, ""),
        report=report,
        tool_names=reading.names.client_names,
        prompt_tokens_estimate=max(1, (len(call.raw) - reading.binary_chars) // CHARS_PER_TOKEN),
        include_usage=include_usage,
        function_call=answers_with_function_call(body),
        one_hour_asked=reading.one_hour_asked,
    )


def _refuse(body: dict[str, Any]) -> None:
    """Refuse what would be another answer if it were left out."""
    n = body.get("n")
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise RequestInvalid("Input should be a positive integer", path="n")
    if n is not None and n > 1:
        raise RequestInexpressible("this target gives one answer at a time", path="n")
    for name in ("logprobs", "top_logprobs"):
        if body.get(name):
            raise RequestInexpressible("this target tells no probabilities", path=name)
    if body.get("audio") is not None:
        raise RequestInexpressible("this target does not speak", path="audio")
    if "audio" in as_list(body.get("modalities"), "modalities"):
        raise RequestInexpressible("this target does not speak", path="modalities")


def _write_user(request: dict[str, Any], body: dict[str, Any], reading: Reading) -> None:
    """``metadata.user_id`` (anthropic 2.11.0, ``types/metadata_param.py``: opaque, at most 256 characters, no name or address)."""
    told = [name for name in USER_FIELDS if body.get(name) not in (None, "")]
    for number, name in enumerate(told):
        user = body[name]
        if not isinstance(user, str):
            raise RequestInvalid("Input should be a valid string", path=name)
        if number:
            reading.report.dropped(name, f"{told[0]} says already who asks")
        elif reading.traits.user_field == "none":
            reading.report.dropped(name, "this target takes no user id")
        elif len(user) > USER_CHARS_MAX or "@" in user:
            request["metadata"] = {"user_id": sha256(user.encode()).hexdigest()}
            reading.report.mapped(name, "sent as its SHA-256")
        else:
            request["metadata"] = {"user_id": user}


def _read_stream_options(body: dict[str, Any], reading: Reading) -> bool:
    """Whether the client asked for the usage of a stream."""
    options = as_object(body.get("stream_options"), "stream_options")
    for name, value in options.items():
        if name != "include_usage" and value is not None:
            reading.report.dropped(f"stream_options.{name}", "Messages have no such field")
    return options.get("include_usage") is True


def _note_unknown(body: dict[str, Any], reading: Reading) -> None:
    for name, value in body.items():
        harmless = name in HARMLESS and value == HARMLESS[name]
        if name not in HANDLED and value is not None and not harmless:
            reading.report.dropped(name, "Messages have no such field")

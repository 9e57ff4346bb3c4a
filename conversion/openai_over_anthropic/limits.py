"""How long the answer may be, where it stops, and how freely it is sampled."""

from typing import Any

from conversion.anthropic_over_openai.reading import as_list
from conversion.call import Call
from conversion.errors import RequestInvalid
from conversion.openai_over_anthropic.reading import Reading

TOP_P_WITH_THINKING_MIN = 0.95
"""Anthropic's page on extended thinking, read August 2026; temperature and top_k may not be set there at all."""


def write_max_tokens(call: Call, reading: Reading) -> int:
    """The most tokens to answer with, thinking included, at both ends."""
    traits, body, report = reading.traits, call.body, reading.report
    name = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    if name != "max_tokens" and body.get("max_tokens") is not None:
        report.dropped("max_tokens", "max_completion_tokens says it already")
    limit = call.max_output_tokens
    if limit is None:
        limit = traits.max_output_tokens or traits.max_tokens_default
        report.mapped("max_completion_tokens", f"not told, so {limit} are asked for")
    elif limit == 0:
        raise RequestInvalid("Input should be greater than or equal to 1", path=name)
    elif traits.max_output_tokens is not None and limit > traits.max_output_tokens:
        report.mapped(name, f"cut down from {limit} to the model's {traits.max_output_tokens}")
        limit = traits.max_output_tokens
    return limit


def write_stop(body: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """``stop_sequences``, where the client set any."""
    given = body.get("stop")
    sequences = []
    for number, text in enumerate([given] if isinstance(given, str) else as_list(given, "stop")):
        path = "stop" if isinstance(given, str) else f"stop[{number}]"
        if not isinstance(text, str):
            raise RequestInvalid("Input should be a valid string", path=path)
        if text.strip():
            sequences.append(text)
        else:
            reading.report.dropped(path, "a stop sequence of white space only is not taken")
    return {"stop_sequences": sequences} if sequences else {}


def write_sampling(
    body: dict[str, Any], reading: Reading, *, is_thinking: bool
) -> dict[str, int | float]:
    """``temperature``, ``top_p`` and ``top_k``, as far as the model takes them."""
    fields: dict[str, int | float] = {}
    for name in ("temperature", "top_p", "top_k"):
        if body.get(name) is None:
            continue
        value = _number(body[name], name)
        if not reading.traits.sampling:
            reading.report.dropped(name, "this model takes no sampling parameters")
        elif is_thinking and not (name == "top_p" and value >= TOP_P_WITH_THINKING_MIN):
            reading.report.dropped(name, "a model that thinks does not take it")
        elif name == "top_p" and "temperature" in fields:
            # Refused together since Claude Opus 4.1 (BerriAI/litellm#15097); Anthropic's reference advises against both.
            reading.report.dropped(name, "temperature is told already, and models refuse both")
        elif name == "temperature" and value > 1:
            reading.report.mapped(name, f"cut down from {value} to 1, the most there is")
            fields[name] = 1
        else:
            fields[name] = value
    return fields


def _number(value: Any, path: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestInvalid("Input should be a valid number", path=path)
    if value < 0:
        raise RequestInvalid("Input should be greater than or equal to 0", path=path)
    return value

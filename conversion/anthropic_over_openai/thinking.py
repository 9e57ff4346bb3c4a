"""How much the model is asked to think, and its earlier thoughts on their way back."""

from typing import Any

from conversion import reasoning
from conversion.anthropic_over_openai.reading import Reading, as_object
from conversion.anthropic_over_openai.thoughts import is_shown, shown_text
from conversion.errors import RequestInvalid

ALL_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
BUDGET_LOW_MAX = 2048
BUDGET_MEDIUM_MAX = 8192
BUDGET_MIN = 1024
CLAUDE_FORMAT = "anthropic-claude-v1"


def write_reasoning(body: dict[str, Any], request: dict[str, Any], reading: Reading) -> bool:
    """Put the wish to think into the request; whether the client wants thinking without its text."""
    thinking = as_object(body.get("thinking"), "thinking")
    kind = thinking.get("type")
    if body.get("thinking") is not None and not isinstance(kind, str):
        raise RequestInvalid("Field required: a string", path="thinking.type")
    effort = _read_effort(body, reading)
    if reading.traits.reasoning == "none":
        if kind not in {None, "disabled"}:
            reading.report.dropped("thinking", "this target is not asked to think")
        if effort:
            reading.report.dropped("output_config.effort", "this target takes no effort")
    elif reading.traits.reasoning == "openrouter":
        _write_openrouter(thinking, effort, request, reading)
    else:
        _write_effort(thinking, effort, request, reading)
    return thinking.get("display") == "omitted"


def _read_effort(body: dict[str, Any], reading: Reading) -> str | None:
    effort = as_object(body.get("output_config"), "output_config").get("effort")
    if effort is None:
        return None
    if not isinstance(effort, str) or effort not in ALL_EFFORTS:
        raise RequestInvalid(
            "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'", path="output_config.effort"
        )
    return _clamped(effort, reading)


def _clamped(effort: str, reading: Reading) -> str | None:
    """The effort, or the strongest one known that is weaker; the weakest where none is. None where none is known."""
    known = reading.traits.efforts
    if not known:
        reading.report.dropped("output_config.effort", "this target takes no effort")
        return None
    if effort in known or effort == "none":
        return effort
    rank = ALL_EFFORTS.index(effort)
    weaker = [name for name in known if name in ALL_EFFORTS and ALL_EFFORTS.index(name) < rank]
    chosen = weaker[-1] if weaker else known[0]
    reading.report.mapped(
        "output_config.effort", f"{effort} is not known here; {chosen} is asked for"
    )
    return chosen


def _budget(thinking: dict[str, Any]) -> int:
    budget = thinking.get("budget_tokens")
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise RequestInvalid("Field required: a positive integer", path="thinking.budget_tokens")
    return budget


def _write_openrouter(
    thinking: dict[str, Any], effort: str | None, request: dict[str, Any], reading: Reading
) -> None:
    """OpenRouter's ``reasoning`` object: effort or max_tokens, never both (its page on reasoning, August 2026)."""
    kind = thinking.get("type")
    if kind == "disabled":
        request["reasoning"] = {"enabled": False}
        _write_verbosity(effort, request, reading)
        return
    if kind == "enabled":
        budget, limit = _budget(thinking), request[reading.traits.max_tokens_field]
        if budget >= limit:
            if limit <= BUDGET_MIN:
                least = reading.traits.efforts[:1]
                request["reasoning"] = {"effort": least[0]} if least else {"enabled": True}
                reading.report.mapped(
                    "thinking.budget_tokens",
                    "does not fit into max_tokens; the least effort is asked for",
                )
                return
            reading.report.mapped(
                "thinking.budget_tokens", f"brought below max_tokens, from {budget} to {limit - 1}"
            )
            budget = limit - 1
        request["reasoning"] = {"max_tokens": budget}
        _write_verbosity(effort, request, reading)
        return
    if effort:
        request["reasoning"] = {"effort": effort}
    elif kind is not None:
        request["reasoning"] = {"enabled": True}


def _write_verbosity(effort: str | None, request: dict[str, Any], reading: Reading) -> None:
    """An effort beside a budget, or with thinking off.

    OpenRouter makes Claude's effort of it (its page on parameters, August 2026). To other models verbosity is how
    long the answer is to be, which is another thing, and it knows fewer levels.
    """
    if effort is None:
        return
    if is_claude(reading.traits.model):
        request["verbosity"] = effort
        reading.report.mapped("output_config.effort", "sent as verbosity")
    else:
        reading.report.dropped("output_config.effort", "thinking is off, or has a budget already")


def _write_effort(
    thinking: dict[str, Any], effort: str | None, request: dict[str, Any], reading: Reading
) -> None:
    kind = thinking.get("type")
    if kind == "disabled":
        if "none" in reading.traits.efforts:
            request["reasoning_effort"] = "none"
            if effort:
                reading.report.dropped("output_config.effort", "thinking is off")
            return
        reading.report.dropped("thinking", "this target cannot be told not to think")
    elif kind == "enabled":
        budget = _budget(thinking)
        if effort is None:
            effort = _clamped(_level(budget), reading)
        if effort:
            reading.report.mapped(
                "thinking.budget_tokens", f"{budget} tokens are sent as effort {effort}"
            )
        else:
            reading.report.dropped("thinking.budget_tokens", "this target takes no effort either")
    if effort:
        request["reasoning_effort"] = effort


def _level(budget: int) -> str:
    if budget <= BUDGET_LOW_MAX:
        return "low"
    return "medium" if budget <= BUDGET_MEDIUM_MAX else "high"


def is_claude(model: str) -> bool:
    """Whether an upstream's model name, such as ``anthropic/claude-model``, is one of Anthropic's."""
    return "claude" in model or "anthropic/" in model


class Replay:
    """The thoughts of one assistant turn, in order, as the target takes them back."""

    __slots__ = ("_details", "_extras", "_reading", "_texts")

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._details: list[dict[str, Any]] = []
        self._texts: list[str] = []
        self._extras: dict[str, Any] = {}

    def add_thinking(self, block: dict[str, Any], path: str) -> None:
        """A ``thinking`` block."""
        text, signature = block.get("thinking"), block.get("signature")
        if not isinstance(text, str):
            raise RequestInvalid("Field required: a string", path=f"{path}.thinking")
        signature = signature if isinstance(signature, str) else ""
        details = reasoning.unpack_details(signature, thinking=text)
        # A client that asked for thinking without its text shows none: it is inside the signature then.
        self._texts.append(text or "".join(map(shown_text, details or ())))
        if details is not None and self._is_claude and _is_unsigned_mark(details):
            self._reading.dropped_once(
                "messages[].content[].thinking", "Claude takes no thoughts that it did not sign"
            )
        elif details is not None:
            self._details.extend(details)
        elif signature and not reasoning.is_ours(signature) and self._is_claude:
            self._details.append(
                {
                    "type": "reasoning.text",
                    "text": text,
                    "signature": signature,
                    "format": CLAUDE_FORMAT,
                    "index": len(self._details),
                }
            )
        elif self._reading.traits.reasoning_replay != "content":
            self._reading.dropped_once(
                "messages[].content[].thinking", "signed by another vendor, or not at all"
            )

    def add_redacted(self, block: dict[str, Any], path: str) -> None:
        """A ``redacted_thinking`` block: reasoning details, the extra content of a tool call, or Anthropic's own."""
        data = block.get("data")
        if not isinstance(data, str):
            raise RequestInvalid("Field required: a string", path=f"{path}.data")
        extra = reasoning.unpack_extra(data)
        if extra is not None:
            self._extras[extra["tool_id"]] = extra["extra_content"]
            return
        details = reasoning.unpack_details(data)
        if details is not None:
            self._details.extend(details)
        elif not reasoning.is_ours(data) and self._is_claude:
            entry = {
                "type": "reasoning.encrypted",
                "data": data,
                "format": CLAUDE_FORMAT,
                "index": len(self._details),
            }
            self._details.append(entry)
        else:
            self._reading.dropped_once(
                "messages[].content[].redacted_thinking", "encrypted by another vendor"
            )

    def extra_content(self, client_id: str, upstream_id: str) -> Any:
        """What a tool call must carry beside itself; None as a rule (Gemini's thought signatures, trap 44)."""
        return self._extras.get(client_id, self._extras.get(upstream_id))

    def write(self, message: dict[str, Any]) -> None:
        """Put the thoughts on the assistant's message."""
        way, text = self._reading.traits.reasoning_replay, "".join(self._texts)
        if way == "details" and self._details:
            message["reasoning_details"] = self._details
        elif way == "content" and text:
            message["reasoning_content"] = text
            if not all(map(is_shown, self._details)):
                self._reading.dropped_once(
                    "messages[].content[].redacted_thinking", "this target takes no sealed thoughts"
                )
        elif self._details or self._texts:
            self._reading.dropped_once(
                "messages[].content[].thinking", "this target takes no earlier thoughts back"
            )

    @property
    def _is_claude(self) -> bool:
        traits = self._reading.traits
        return traits.reasoning_replay == "details" and is_claude(traits.model)


def _is_unsigned_mark(details: list[dict[str, Any]]) -> bool:
    """Whether this is the gateway's mark for the plain text of an upstream that signs nothing, and no more."""
    return all(entry.keys() <= {"type", "text"} for entry in details)

"""Reads Anthropic's usage and stop reasons into ours.

``input_tokens`` are what was neither read from nor written to a cache, so the prompt is the sum of three figures
(anthropic 2.11.0, ``types/usage.py``). A ``message_delta`` is cumulative: its figures replace those of the start.
"""

from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from conversion.usage import COUNT_MAX, FinishReason, Usage, is_amount

FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "tool_use": FinishReason.TOOL_CALLS,
    "pause_turn": FinishReason.PAUSE,
    "refusal": FinishReason.CONTENT_FILTER,
}


class _Costs(msgspec.Struct):
    cost: Decimal | None = None


class _Priced(msgspec.Struct):
    usage: _Costs | None = None


class _Begun(msgspec.Struct):
    message: _Priced


class AnthropicCounts:
    """The figures of one message, as they come in."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._cost_usd: Decimal | None = None

    def read(self, usage: Any, raw: bytes) -> None:
        """Take over the figures of a ``usage`` object; those that are null or absent keep their value.

        ``raw`` is the JSON object whose member it is, or whose ``message``'s, for the digits of OpenRouter's ``cost``.
        """
        if not isinstance(usage, dict):
            return
        split, details = usage.get("cache_creation"), usage.get("output_tokens_details")
        flat = {
            **usage,
            "1h": split.get("ephemeral_1h_input_tokens") if isinstance(split, dict) else None,
            "thinking": details.get("thinking_tokens") if isinstance(details, dict) else None,
        }
        for name in (*_PROMPT_PARTS, "output_tokens", "1h", "thinking"):
            value = flat.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX:
                self._counts[name] = value
        if "cost" in usage:
            self._cost_usd = _read_cost(raw)

    @property
    def usage(self) -> Usage:
        """What has been told so far."""
        counts = self._counts
        usage = Usage(
            completion_tokens=counts.get("output_tokens"),
            cache_read_tokens=counts.get("cache_read_input_tokens"),
            cache_write_tokens=counts.get("cache_creation_input_tokens"),
            cache_write_1h_tokens=counts.get("1h"),
            reasoning_tokens=counts.get("thinking"),
            cost_usd=self._cost_usd,
        )
        if "input_tokens" not in counts:
            return usage
        return replace(usage, prompt_tokens=sum(counts.get(part, 0) for part in _PROMPT_PARTS))


_PROMPT_PARTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def _read_cost(raw: bytes) -> Decimal | None:
    try:
        costs = msgspec.json.decode(raw, type=_Priced).usage
        if costs is None:
            costs = msgspec.json.decode(raw, type=_Begun).message.usage
    except (ValueError, RecursionError):  # no money, or what is beside it is nested too deeply
        return None
    cost = costs.cost if costs else None
    return cost if cost is not None and is_amount(cost) else None

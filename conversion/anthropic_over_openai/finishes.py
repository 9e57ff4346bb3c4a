"""Why an answer ended: OpenAI's finish reasons into ours, ours into Anthropic's stop reasons."""

from collections.abc import Sequence
from typing import Any

import msgspec

from conversion.usage import FinishReason
from conversion.wire.anthropic_answer import Stop

_BY_WORD = {
    "stop": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "error": FinishReason.ERROR,
    # Words of one vendor each, as they and their users tell of them in November 2026: the context window is full at Mistral and
    # Z.ai, whose filter has its own word; DeepSeek and Z.ai broke off; Gemini threw away a call that was malformed.
    "model_length": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "sensitive": FinishReason.CONTENT_FILTER,
    "insufficient_system_resource": FinishReason.ERROR,
    "network_error": FinishReason.ERROR,
    "function_call_filter": FinishReason.ERROR,
}

_STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.STOP_SEQUENCE: "stop_sequence",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}


class Ending(msgspec.Struct):
    """What has been heard so far about why the answer ends.

    ``heard`` is true once any finish reason came, also one that nobody knows: then the end of the stream is no cut.
    """

    stop_sequences: Sequence[str] = ()
    reason: FinishReason | None = None
    stop_sequence: str | None = None
    heard: bool = False
    refused: bool = False

    def read(self, choice: dict[str, Any]) -> None:
        """Take note of a choice. The last reason wins, but tool calls stay (a later "stop" is common)."""
        word = choice.get("finish_reason")
        if not word or not isinstance(word, str):
            return
        self.heard = True
        # Gemini says behind the word what it found: "content_filter: RECITATION".
        reason = _BY_WORD.get(word.lower().partition(":")[0])
        if reason is None or (
            self.reason is FinishReason.TOOL_CALLS and reason is FinishReason.STOP
        ):
            return
        self.reason = reason
        if reason is FinishReason.STOP and self.stop_sequences:
            self.stop_sequence = self._matched(choice)

    def _matched(self, choice: dict[str, Any]) -> str | None:
        """The stop sequence that was hit, where the upstream tells: "stop" alone may also be a natural end."""
        for key in ("stop_reason", "matched_stop"):  # vLLM, SGLang
            if isinstance(choice.get(key), str) and choice[key] in self.stop_sequences:
                matched: str = choice[key]
                return matched
        # OpenRouter tells that one was hit, not which.
        if choice.get("native_finish_reason") == "stop_sequence" and len(self.stop_sequences) == 1:
            return self.stop_sequences[0]
        return self.stop_sequence

    @property
    def is_cut(self) -> bool:
        """Whether the answer was ended before the model was done, perhaps in the middle of a call."""
        return self.reason in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)

    def settled(self, *, has_tools: bool) -> FinishReason:
        """The reason in the end: with calls the client is to run them, without any it must not wait (traps 16, 17)."""
        if self.refused or self.reason is FinishReason.CONTENT_FILTER:
            return FinishReason.CONTENT_FILTER
        if self.reason is FinishReason.LENGTH:
            return FinishReason.LENGTH
        if has_tools:
            return FinishReason.TOOL_CALLS
        return FinishReason.STOP if self.stop_sequence is None else FinishReason.STOP_SEQUENCE


def write_stop(reason: FinishReason, stop_sequence: str | None) -> Stop:
    """The stop members of a message and of a ``message_delta``; their keys are always there (trap 54)."""
    refused = reason is FinishReason.CONTENT_FILTER
    return {
        "stop_reason": _STOP_REASONS[reason],
        "stop_sequence": stop_sequence if reason is FinishReason.STOP_SEQUENCE else None,
        "stop_details": {"type": "refusal", "category": None, "explanation": None}
        if refused
        else None,
    }

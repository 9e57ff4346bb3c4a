"""What the answer is to look like, and what has been learnt from it: shared by whole answers and streams."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from conversion.anthropic_counts import FINISH_REASONS, AnthropicCounts
from conversion.anthropic_over_openai.counts import with_cache_lifetime
from conversion.anthropic_over_openai.request import CHARS_PER_TOKEN
from conversion.report import Report
from conversion.usage import FinishReason, Usage

SERVICE_TIERS = {"standard": "default", "priority": "priority"}
"""Anthropic's word (2.11.0, ``types/usage.py``) -> OpenAI's (2.54, ``types/chat/chat_completion.py``), which has none for batches."""

_FINISH_WORDS = {
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
}
_REFUSED = "The model declined to answer."


class Expected(msgspec.Struct):
    """What the request says about the answer.

    ``model`` is the name the client asked for. ``tool_names`` leads from the upstream's names to the client's.
    ``include_usage`` when the client asked for a stream's usage; ``function_call`` when it knows the deprecated functions
    only. ``one_hour_asked`` tells whether it asked for cache entries of one hour.
    """

    chat_id: str
    model: str
    created_s: int
    tool_names: Mapping[str, str] = {}
    prompt_tokens_estimate: int = 0
    include_usage: bool = False
    function_call: bool = False
    one_hour_asked: bool = False

    def call_id(self, number: int) -> str:
        """An id for a call that the upstream gave none, or one that another call has."""
        return f"call_{self.chat_id.removeprefix('chatcmpl-')}_{number}"


class Facts(msgspec.Struct):
    """What is known so far. ``answer_chars`` counts all that the model wrote, thinking and arguments included.

    ``seen`` once the upstream has begun to answer, ``is_final`` once it has told the usage of the whole answer, ``heard``
    once it has said why the answer ends.
    """

    expected: Expected
    report: Report
    upstream_id: str = ""
    answered_model: str = ""
    answered_by: str = ""
    service_tier: str | None = None
    finish_reason: FinishReason | None = None
    refusal: str = ""
    seen: bool = False
    heard: bool = False
    is_final: bool = False
    answer_chars: int = 0
    _counts: AnthropicCounts = msgspec.field(default_factory=AnthropicCounts)
    _noted: set[str] = set()

    @property
    def usage(self) -> Usage:
        """Tokens as reported, gaps filled with estimates; nothing at all before the upstream has begun to answer.

        The first figures of a stream count hardly any completion tokens, so until the last ones have come what was
        written is estimated.
        """
        if not self.seen:
            return Usage()
        usage = with_cache_lifetime(self._counts.usage, one_hour_asked=self.expected.one_hour_asked)
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        if self.is_final and prompt is not None and completion is not None:
            return usage
        if completion is None or not self.is_final:
            completion = max(completion or 0, -(-self.answer_chars // CHARS_PER_TOKEN))
        if prompt is None:
            cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
            prompt = max(cached, self.expected.prompt_tokens_estimate)
        return replace(
            usage,
            prompt_tokens=prompt,
            completion_tokens=completion,
            estimated=True,
        )

    def read_message(self, message: dict[str, Any], raw: bytes) -> None:
        """Learn from a whole message, or from the one that begins a stream. ``raw`` is its JSON, or that of its event."""
        self.seen = True
        self.upstream_id = _text(message.get("id"))
        self.answered_model = _text(message.get("model"))
        self.answered_by = _text(message.get("provider"))  # OpenRouter
        usage = message.get("usage")
        self.read_usage(usage, raw)
        if isinstance(usage, dict):
            self.service_tier = SERVICE_TIERS.get(_text(usage.get("service_tier")))
        self.read_stop(message)

    def read_usage(self, usage: Any, raw: bytes) -> None:
        """Take over figures; those of a ``message_delta`` are cumulative, and null keeps the earlier one."""
        self._counts.read(usage, raw)

    def read_stop(self, holder: dict[str, Any]) -> None:
        """Learn why the answer ends, from a message or the ``delta`` of a ``message_delta``."""
        word = holder.get("stop_reason")
        if not isinstance(word, str) or not word:
            return
        self.heard = True
        # A reason that is not known yet is still an end.
        self.finish_reason = FINISH_REASONS.get(word, FinishReason.STOP)
        if self.finish_reason is FinishReason.CONTENT_FILTER:
            details = holder.get("stop_details")
            told = details.get("explanation") if isinstance(details, dict) else None
            self.refusal = _text(told) or _REFUSED

    def settle(self, *, has_tools: bool) -> str:
        """OpenAI's word for why the answer ended.

        With calls the client is to run them, without any it must not wait for some (traps 16 and 17).
        """
        reason = self.finish_reason
        if has_tools and reason in (None, FinishReason.STOP):
            reason = FinishReason.TOOL_CALLS
        if reason is None or (reason is FinishReason.TOOL_CALLS and not has_tools):
            reason = FinishReason.STOP
        self.finish_reason = reason
        if reason is FinishReason.PAUSE:
            self.report.mapped("answer.stop_reason", "a pause is told as a stop")
        if reason is FinishReason.TOOL_CALLS and self.expected.function_call:
            return "function_call"
        return _FINISH_WORDS.get(reason, "stop")

    def note_dropped(self, name: str, why: str) -> None:
        """Note one thing that was left out of the answer, once."""
        if name not in self._noted:
            self._noted.add(name)
            self.report.dropped(f"answer.{name}", why)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

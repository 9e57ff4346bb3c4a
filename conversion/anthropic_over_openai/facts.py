"""What the answer is to look like, and what has been learnt from it: shared by whole answers and streams."""

from collections.abc import Mapping
from typing import Any

import msgspec

from conversion.anthropic_over_openai.counts import read_usage, with_cache_lifetime, with_estimates
from conversion.anthropic_over_openai.errors import read_error_value
from conversion.anthropic_over_openai.finishes import Ending
from conversion.errors import UpstreamBroken
from conversion.report import Report
from conversion.tool_ids import to_client
from conversion.usage import FinishReason, Usage


class Expected(msgspec.Struct):
    """What the request says about the answer.

    ``model`` is the name the client asked for. ``tool_names`` leads from the upstream's names to the client's.
    ``one_hour_asked`` tells whether the client asked for cache entries of one hour.
    """

    message_id: str
    model: str
    tool_names: Mapping[str, str] = {}
    prompt_tokens_estimate: int = 0
    omit_thinking_text: bool = False
    one_hour_asked: bool = False

    def tool_id(self, upstream_id: str, *, number: int) -> str:
        """The client's id for a call; made from the message's where the upstream gave none."""
        if upstream_id:
            return to_client(upstream_id)
        return to_client(f"toolu_{self.message_id.removeprefix('msg_')}_{number}")


class Facts(msgspec.Struct):
    """What is known so far. ``answer_chars`` counts all that the model wrote, thinking and arguments included."""

    expected: Expected
    report: Report
    ending: Ending
    upstream_id: str = ""
    answered_model: str = ""
    answered_by: str = ""
    finish_reason: FinishReason | None = None
    reported: Usage | None = None
    answer_chars: int = 0
    seen: bool = False
    _noted: set[str] = set()

    @property
    def usage(self) -> Usage:
        """Tokens as reported, else as estimated; nothing at all before the upstream has begun to answer."""
        reported = self.reported
        if not self.seen:
            return reported or Usage()
        if (
            reported is not None
            and reported.prompt_tokens is not None
            and reported.completion_tokens is not None
            and not reported.cache_write_tokens
        ):
            return reported  # as nearly all are: there is nothing to add
        usage = with_estimates(
            reported,
            prompt_tokens=self.expected.prompt_tokens_estimate,
            answer_chars=self.answer_chars,
        )
        return with_cache_lifetime(usage, one_hour_asked=self.expected.one_hour_asked)

    def read_answer(self, answer: dict[str, Any], raw: bytes) -> None:
        """Learn from a chunk or a whole answer what is not content.

        Raises:
            UpstreamError: it is an error.
        """
        if answer.get("usage") or "x_groq" in answer:
            self.reported = read_usage(answer, raw) or self.reported
        if answer.get("error"):
            self.finish_reason = FinishReason.ERROR
            raise read_error_value(answer["error"])
        if answer.get("object") == "error":  # vLLM
            self.finish_reason = FinishReason.ERROR
            raise read_error_value(answer)

    def read_origin(self, answer: dict[str, Any]) -> None:
        """Learn who answered. Azure's first chunk has the keys, but empty (recording azure-model-router)."""
        told, model, provider = answer.get("id"), answer.get("model"), answer.get("provider")
        if not self.upstream_id and isinstance(told, str):
            self.upstream_id = told
        if not self.answered_model and isinstance(model, str):
            self.answered_model = model
        if not self.answered_by and isinstance(provider, str):
            self.answered_by = provider

    def read_ending(self, choice: dict[str, Any]) -> None:
        """Learn why the answer ends.

        Raises:
            UpstreamError: because it failed.
        """
        if choice.get("error"):
            self.finish_reason = FinishReason.ERROR
            raise read_error_value(choice["error"])
        self.ending.read(choice)
        if self.ending.reason is FinishReason.ERROR:
            self.finish_reason = FinishReason.ERROR
            why = _text(choice.get("native_finish_reason"))
            if not why and choice["finish_reason"] != "error":
                why = choice["finish_reason"]
            raise UpstreamBroken(
                "the upstream failed while it answered" + (f" ({why[:100]})" if why else ""),
                upstream_code=why[:100],
            )

    def note_left_out(self, message: dict[str, Any]) -> None:
        """Note what a Messages answer has no place for, once each."""
        for name in LEFT_OUT:
            if message.get(name):
                self.note_dropped(name, LEFT_OUT[name])

    def note_blank_text(self) -> None:
        """Note that a text of white space only was left out."""
        self.note_dropped("content", "a text of white space only could not be sent back")

    def note_dropped(self, name: str, why: str) -> None:
        """Note one thing that was left out of the answer, once."""
        if name not in self._noted:
            self._noted.add(name)
            self.report.dropped(f"answer.{name}", why)


LEFT_OUT = {
    "annotations": "a citation of Anthropic's needs an encrypted index, which only Anthropic can make",
    "images": "a Messages answer holds no images",
    "audio": "a Messages answer holds no audio",
}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

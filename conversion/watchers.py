"""Reads along while an answer passes untouched: usage, finish reason, origin, failure. One watcher per dialect.

Most frames are not decoded at all: ``is_marked`` finds those that may hold something to learn. JSON strings cannot hold an
unescaped quote, so a mark in the text of an answer is never mistaken for a key.
"""

import re
from typing import Any, Literal, NoReturn, TypeAlias

import orjson
from msgspec.structs import replace

from conversion.anthropic_counts import FINISH_REASONS, AnthropicCounts
from conversion.anthropic_over_openai.errors import read_error_value
from conversion.anthropic_over_openai.facts import Expected, Facts
from conversion.anthropic_over_openai.finishes import Ending
from conversion.errors import UpstreamInvalid
from conversion.report import Report
from conversion.sse import is_end_mark
from conversion.usage import FinishReason, Usage

Verdict: TypeAlias = Literal["pass", "drop", "end"]


_CONSTANT_MARKS = (b'"error"', b"[DONE]", b"event:")
_NO_REASON = b'"finish_reason":null'
_USUALLY_NULL = (
    (b'"finish_reason"', _NO_REASON, b'"finish_reason":"'),
    (b'"usage"', b'"usage":null', b'"usage":{'),
)


class OpenAIWatcher:
    """Reads chat completions. ``hide_usage`` when only the gateway asked for the usage chunk.

    ``has_one_choice`` when the upstream was asked for no more: then no chunk tells of two.
    """

    _marks = re.compile(
        rb'"(?:usage|error)"\s*:\s*[{"\[]|"object"\s*:\s*"error"|"finish_reason"\s*:\s*"|\[DONE\]|^event:',
        re.MULTILINE,
    )
    content = re.compile(
        rb'"(?:content|text|reasoning|reasoning_content|refusal|arguments|name)"\s*:\s*"[^"]'
    )

    def __init__(self, *, hide_usage: bool, has_one_choice: bool = False) -> None:
        self._has_one_choice = has_one_choice
        self._facts = Facts(Expected(message_id="", model=""), Report(), Ending())
        self._hide_usage = hide_usage

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended, as the upstream said it."""
        return self._facts.finish_reason or self._facts.ending.reason

    @property
    def answered_model(self) -> str:
        """The model that the upstream says it used."""
        return self._facts.answered_model

    @property
    def answered_by(self) -> str:
        """OpenRouter's ``provider``."""
        return self._facts.answered_by

    @property
    def upstream_id(self) -> str:
        """The upstream's own id of the answer."""
        return self._facts.upstream_id

    @property
    def usage(self) -> Usage:
        """Tokens as reported."""
        return self._facts.reported or Usage()

    @property
    def has_ended(self) -> bool:
        """Whether a finish reason came, also one that nobody knows."""
        return self._facts.ending.heard

    @property
    def is_final(self) -> bool:
        """Whether the usage is that of the whole answer."""
        return self._facts.reported is not None

    def is_marked(self, frame: bytes) -> bool:
        """Whether there may be something to learn in this frame."""
        return not self.is_plain(frame) and self._marks.search(frame) is not None

    def is_plain(self, frames: bytes) -> bool:
        """Whether there is surely nothing to learn in these frames. Written out: it is asked of every piece."""
        return (
            b'"error"' not in frames
            and b"[DONE]" not in frames
            and b"event:" not in frames
            and frames.count(b'"finish_reason"') == frames.count(b'"finish_reason":null')
            and (
                b'"usage"' not in frames
                or frames.count(b'"usage"') == frames.count(b'"usage":null')
            )
        )

    def count_plain(self, frames: bytes) -> int:
        """How many frames there are, where there is surely nothing to learn in them; else 0.

        Where each has a line for its data, an empty one, and one reason that is null, none is of another sort: four
        searches instead of eight, which are a microsecond for each event that comes with many others.
        """
        last = frames.rfind(b"\n\n", 0, len(frames) - 2) + 1
        if self._has_one_choice and frames.find(_NO_REASON, last) >= 0:
            count = frames.count(_NO_REASON)
            if 2 * count == frames.count(b"\n"):
                is_plain = b'"error"' not in frames and (
                    b'"usage"' not in frames
                    or frames.count(b'"usage"') == frames.count(b'"usage":null')
                )
                return count if is_plain else 0
        if frames.find(b"[DONE]", last) >= 0 or not self.is_plain(frames):
            return 0
        return frames.count(b"data:")

    def first_mark(self, frames: bytes) -> int:
        """A place at or before the first thing that may be worth learning in these frames; -1 where there is none.

        Searches for constant bytes are many times faster than the pattern, and most frames have nothing but nulls
        under these keys.
        """
        places = [frames.find(mark) for mark in _CONSTANT_MARKS]
        for key, null, told in _USUALLY_NULL:
            keys = frames.count(key)
            if keys and keys != frames.count(null):
                place = frames.find(told)
                is_all = keys == frames.count(null) + frames.count(told)
                # Written in another way, with spaces: from the first key on everything is looked at.
                places.append(place if is_all else frames.find(key))
        found = [place for place in places if place >= 0]
        return min(found) if found else -1

    def read_frame(self, event: bytes, data: bytes) -> Verdict:
        """Learn from one frame."""
        if is_end_mark(data):
            return "end"
        if event == b"error":
            raise read_error_value(data.decode("utf-8", errors="replace"))
        chunk = _read_object(data)
        facts = self._facts
        facts.read_answer(chunk, data)
        facts.read_origin(chunk)
        choice = _first_choice(chunk)
        if choice is None:
            return "drop" if self._hide_usage and chunk.get("usage") else "pass"
        facts.read_ending(choice)
        return "pass"

    def read_whole(self, body: bytes) -> None:
        """Learn from a whole answer."""
        answer = _read_object(body)
        self._facts.read_answer(answer, body)
        self._facts.read_origin(answer)
        choice = _first_choice(answer)
        if choice is None:
            raise UpstreamInvalid("the upstream's answer holds no choices")
        self._facts.read_ending(choice)


class EmbeddingsWatcher(OpenAIWatcher):
    """Reads embeddings, which come whole, and end because there is no more."""

    def __init__(self) -> None:
        super().__init__(hide_usage=False)

    @property
    def usage(self) -> Usage:
        """Tokens as reported; an embedding has no completion."""
        reported = super().usage
        return (
            reported if reported.prompt_tokens is None else replace(reported, completion_tokens=0)
        )

    @property
    def is_final(self) -> bool:
        """Always: there is nothing to estimate the length of a list of numbers by."""
        return True

    def read_whole(self, body: bytes) -> None:
        """Learn from the answer."""
        answer = _read_object(body)
        self._facts.read_answer(answer, body)
        self._facts.read_origin(answer)
        if not isinstance(answer.get("data"), list):
            raise UpstreamInvalid("the upstream's answer holds no embeddings")
        self._facts.finish_reason = FinishReason.STOP


class AnthropicWatcher:
    """Reads Messages answers."""

    content = re.compile(rb'"type"\s*:\s*"content_block_start"')

    def __init__(self) -> None:
        self.finish_reason: FinishReason | None = None
        self.answered_model = ""
        self.answered_by = ""
        self.upstream_id = ""
        self.is_final = False
        self._counts = AnthropicCounts()

    @property
    def usage(self) -> Usage:
        """Tokens as reported."""
        return self._counts.usage

    @property
    def has_ended(self) -> bool:
        """Whether a stop reason came."""
        return self.finish_reason is not None

    def is_marked(self, frame: bytes) -> bool:
        """Whether there may be something to learn in this frame: a message's own event, or an error."""
        return self.first_mark(frame) >= 0

    def is_plain(self, frames: bytes) -> bool:
        """Whether there is surely nothing to learn in these frames."""
        return b'"message_' not in frames and b'"error"' not in frames

    def count_plain(self, frames: bytes) -> int:
        """How many frames there are, where there is surely nothing to learn in them; else 0."""
        return frames.count(b"data:") if self.is_plain(frames) else 0

    def first_mark(self, frames: bytes) -> int:
        """The place of the first message's own event, or error, in these frames; -1 where there is none."""
        message, error = frames.find(b'"message_'), frames.find(b'"error"')
        return max(message, error) if min(message, error) < 0 else min(message, error)

    def read_frame(self, event: bytes, data: bytes) -> Verdict:
        """Learn from one frame."""
        value = _read_object(data)
        kind = value.get("type")
        if kind == "error" or value.get("error"):
            self._fail(value)
        if kind == "message_start":
            message = value.get("message")
            if isinstance(message, dict):
                self._read_message(message, data)
        elif kind == "message_delta":
            delta = value.get("delta")
            self._counts.read(value.get("usage"), data)
            self.is_final = True
            if isinstance(delta, dict):
                self._read_stop(delta)
        return "end" if kind == "message_stop" else "pass"

    def read_whole(self, body: bytes) -> None:
        """Learn from a whole answer."""
        answer = _read_object(body)
        if answer.get("type") == "error" or answer.get("error"):
            self._fail(answer)
        if answer.get("type") != "message":
            raise UpstreamInvalid("the upstream's answer is no message")
        self._read_message(answer, body)
        self.is_final = True

    def _fail(self, value: dict[str, Any]) -> NoReturn:
        self.finish_reason = FinishReason.ERROR
        raise read_error_value(value)

    def _read_message(self, message: dict[str, Any], raw: bytes) -> None:
        self.upstream_id = _text(message.get("id"))
        self.answered_model = _text(message.get("model"))
        self.answered_by = _text(message.get("provider"))  # OpenRouter
        self._counts.read(message.get("usage"), raw)
        self._read_stop(message)

    def _read_stop(self, holder: dict[str, Any]) -> None:
        reason = holder.get("stop_reason")
        if isinstance(reason, str):
            # A reason that is not known yet is still an end.
            self.finish_reason = FINISH_REASONS.get(reason, FinishReason.STOP)


def estimated(usage: Usage, *, request_bytes: int, answer_tokens: int) -> Usage:
    """Usage with its gaps filled by rough estimates, for an answer that ended before it told."""
    return replace(
        usage,
        prompt_tokens=request_bytes // 4 if usage.prompt_tokens is None else usage.prompt_tokens,
        completion_tokens=max(usage.completion_tokens or 0, answer_tokens),
        estimated=True,
    )


def _read_object(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UpstreamInvalid("the upstream's answer is not JSON") from error
    if not isinstance(value, dict):
        raise UpstreamInvalid("the upstream's answer is no JSON object")
    return value


def _first_choice(answer: dict[str, Any]) -> dict[str, Any] | None:
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

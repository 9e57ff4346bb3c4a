"""One attempt of an OpenAI chat client at an upstream that speaks Anthropic's Messages."""

import re

from conversion.call import Call
from conversion.errors import GatewayError
from conversion.openai_over_anthropic.facts import Expected, Facts
from conversion.openai_over_anthropic.request import write_request
from conversion.openai_over_anthropic.response import write_completion
from conversion.openai_over_anthropic.stream import ChunkStream
from conversion.report import Report
from conversion.traits import MessagesTraits
from conversion.usage import FinishReason, Usage

_ONE_HOUR = re.compile(rb'"ttl"\s*:\s*"1h"')


class OpenAIOverAnthropic:
    """Implements :class:`conversion.dialects.Converter`."""

    def __init__(
        self, call: Call, traits: MessagesTraits, *, answer_id: str, created_s: int
    ) -> None:
        """Translate the request. ``created_s`` is the answer's moment, in seconds since 1970.

        Raises:
            RequestInvalid: the body breaks the chat dialect.
            RequestInexpressible: it asks for what this target cannot do.
        """
        written = write_request(call, traits)
        self.request: bytes = written.body
        self.report: Report = written.report
        expected = Expected(
            chat_id=f"chatcmpl-{answer_id}",
            model=call.alias,
            created_s=created_s,
            tool_names=written.tool_names,
            prompt_tokens_estimate=written.prompt_tokens_estimate,
            include_usage=written.include_usage,
            function_call=written.function_call,
            one_hour_asked=lambda: _ONE_HOUR.search(call.raw) is not None,
        )
        self._facts = Facts(expected, self.report)
        self._stream = ChunkStream(self._facts)
        # Not wrapped: this is called for every piece of every stream.
        self.feed = self._stream.feed
        self.finish = self._stream.finish

    def read_answer(self, body: bytes) -> bytes:
        """The whole answer as a chat completion.

        Raises:
            UpstreamInvalid: the body is no message.
            UpstreamError: the body is an error in the clothes of a success.
        """
        return write_completion(body, self._facts)

    @property
    def usage(self) -> Usage:
        """Tokens as reported so far, else as estimated from what has come so far."""
        return self._facts.usage

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it has not."""
        return self._facts.finish_reason

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
    def started(self) -> bool:
        """Whether bytes were returned by ``feed`` or ``finish``."""
        return self._stream.started

    @property
    def content_started(self) -> bool:
        """Whether those bytes held content."""
        return self._stream.content_started

    @property
    def done(self) -> bool:
        """Whether the upstream said that it was finished."""
        return self._stream.done

    @property
    def failure(self) -> GatewayError | None:
        """What the stream failed with."""
        return self._stream.failure

"""One attempt of an Anthropic Messages client at an OpenAI chat upstream."""

import orjson

from conversion.anthropic_over_openai.facts import Expected, Facts
from conversion.anthropic_over_openai.finishes import Ending
from conversion.anthropic_over_openai.request import write_request
from conversion.anthropic_over_openai.response import write_message
from conversion.anthropic_over_openai.stream import MessageStream
from conversion.call import Call
from conversion.errors import TOO_DEEP, UpstreamInvalid
from conversion.report import Report
from conversion.telling import Telling
from conversion.traits import ChatTraits


class AnthropicOverOpenAI(Telling[Facts]):
    """Implements :class:`conversion.dialects.Converter`."""

    def __init__(self, call: Call, traits: ChatTraits, *, message_id: str) -> None:
        """Translate the request.

        Raises:
            RequestInvalid: the body breaks the Messages dialect.
            RequestInexpressible: it asks for what this target cannot do.
        """
        written = write_request(call, traits)
        self.request = written.body
        self.report: Report = written.report
        expected = Expected(
            message_id=message_id,
            model=call.alias,
            tool_names=written.tool_names,
            prompt_tokens_estimate=written.prompt_tokens_estimate,
            omit_thinking_text=written.omit_thinking_text,
            one_hour_asked=written.one_hour_asked,
        )
        self._facts = Facts(expected, self.report, Ending(written.stop_sequences))

    def _make_stream(self) -> MessageStream:
        return MessageStream(self._facts)

    def read_answer(self, body: bytes) -> bytes:
        """The whole answer as a message.

        Raises:
            UpstreamInvalid: the body is no chat completion, or one nested too deeply.
            UpstreamError: the body is an error in the clothes of a success.
        """
        try:
            return write_message(body, self._facts)
        except orjson.JSONEncodeError as error:
            raise UpstreamInvalid(TOO_DEEP) from error

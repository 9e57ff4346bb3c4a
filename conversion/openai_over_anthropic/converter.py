"""One attempt of an OpenAI chat client at an upstream that speaks Anthropic's Messages."""

from conversion.call import Call
from conversion.openai_over_anthropic.facts import Expected, Facts
from conversion.openai_over_anthropic.request import write_request
from conversion.openai_over_anthropic.response import write_completion
from conversion.openai_over_anthropic.stream import ChunkStream
from conversion.report import Report
from conversion.telling import Telling
from conversion.traits import MessagesTraits


class OpenAIOverAnthropic(Telling[Facts]):
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
        self.request = written.body
        self.report: Report = written.report
        expected = Expected(
            chat_id=f"chatcmpl-{answer_id}",
            model=call.alias,
            created_s=created_s,
            tool_names=written.tool_names,
            prompt_tokens_estimate=written.prompt_tokens_estimate,
            include_usage=written.include_usage,
            function_call=written.function_call,
            one_hour_asked=written.one_hour_asked,
        )
        self._facts = Facts(expected, self.report)

    def _make_stream(self) -> ChunkStream:
        return ChunkStream(self._facts)

    def read_answer(self, body: bytes) -> bytes:
        """The whole answer as a chat completion.

        Raises:
            UpstreamInvalid: the body is no message.
            UpstreamError: the body is an error in the clothes of a success.
        """
        return write_completion(body, self._facts)

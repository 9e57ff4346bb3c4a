"""The answer half alone, with a fixed estimate of the prompt: how prompts are estimated is another test's matter."""

from typing import Any

import orjson

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.openai_over_anthropic.facts import Expected, Facts
from conversion.openai_over_anthropic.request import write_request
from conversion.openai_over_anthropic.response import write_completion
from conversion.openai_over_anthropic.stream import ChunkStream
from conversion.report import Report
from conversion.traits import MessagesTraits

REQUEST = {
    "model": "chat-alias",
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "hi"}],
}
PROMPT_TOKENS = 20
CREATED_S = 1790000000


class Answering:
    """What the converter does with an answer, for a request of the client's."""

    def __init__(self, request: dict[str, Any] | None = None) -> None:
        raw = orjson.dumps(request or REQUEST)
        call = read_call(Dialect.OPENAI_CHAT, raw)
        written = write_request(call, MessagesTraits(model="claude-model"))
        self.include_usage = written.include_usage
        self.report = Report()
        self.facts = Facts(
            Expected(
                chat_id="chatcmpl-case",
                model=call.alias,
                created_s=CREATED_S,
                tool_names=written.tool_names,
                prompt_tokens_estimate=PROMPT_TOKENS,
                include_usage=written.include_usage,
                function_call=written.function_call,
                one_hour_asked=b'"1h"' in raw,
            ),
            self.report,
        )
        self.stream = ChunkStream(self.facts)
        self.feed = self.stream.feed
        self.finish = self.stream.finish

    def read_answer(self, body: bytes) -> bytes:
        return write_completion(body, self.facts)

    @property
    def usage(self):
        return self.facts.usage

    @property
    def failure(self):
        return self.stream.failure

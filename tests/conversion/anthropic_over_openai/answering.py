"""The answer half alone, with a fixed estimate of the prompt: how prompts are estimated is another test's matter."""

from typing import Any

import orjson

from conversion.anthropic_over_openai.facts import Expected, Facts
from conversion.anthropic_over_openai.finishes import Ending
from conversion.anthropic_over_openai.request import write_request
from conversion.anthropic_over_openai.response import write_message
from conversion.anthropic_over_openai.stream import MessageStream
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.report import Report
from conversion.traits import ChatTraits

REQUEST = {
    "model": "claude-alias",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi"}],
}
PROMPT_TOKENS = 20


class Answering:
    """What the converter does with an answer, for a request of the client's."""

    def __init__(self, request: dict[str, Any] | None = None) -> None:
        raw = orjson.dumps(request or REQUEST)
        call = read_call(Dialect.ANTHROPIC_MESSAGES, raw)
        written = write_request(call, ChatTraits(model="acme/large", cache_control=True))
        self.report = Report()
        self.facts = Facts(
            Expected(
                message_id="msg_case",
                model=call.alias,
                tool_names=written.tool_names,
                prompt_tokens_estimate=PROMPT_TOKENS,
                omit_thinking_text=written.omit_thinking_text,
                one_hour_asked=b'"1h"' in raw,
            ),
            self.report,
            Ending(written.stop_sequences),
        )
        self.stream = MessageStream(self.facts)
        self.feed = self.stream.feed
        self.finish = self.stream.finish

    def read_answer(self, body: bytes) -> bytes:
        return write_message(body, self.facts)

    @property
    def usage(self):
        return self.facts.usage

    @property
    def failure(self):
        return self.stream.failure

"""Anthropic Messages events out of OpenAI chat chunks, in any order that chunks are known to come.

Theory of operation
===================
A Messages stream is a sequence of blocks, one open at a time, each with a number; a chat stream is a heap of deltas
for one message. The machine below keeps at most one block open (``BlockWriter``) and opens the next when a delta of
another kind comes:

    nothing  --first chunk with a choice-->  message_start
    any      --reasoning text-->   thinking block     --left-->  one signature_delta, stop
    any      --sealed reasoning--> redacted_thinking, start and stop at once
    any      --content-->          text block
    any      --tool call-->        tool_use block, once its id and its name are known
    [DONE]   --> close, write what is held, message_delta, message_stop

Tool calls may come interleaved, blocks may not. The first call streams; the others wait until the answer ends or goes
on with text, and are then written whole, in the order of their indexes. Text or reasoning that comes while the arguments
of some call are still incomplete JSON is held until the calls have been written: moved, but not lost. White space waits
for the text that it belongs to; alone it makes no block, which Anthropic would refuse to take back (trap 30).

The end is the end mark, never the finish reason, because usage follows it (trap 2). A stream that closes without either
has been cut, and the client is told so instead of a made-up ``end_turn`` (trap 23).

``feed`` never raises. What breaks the dialect, and what the upstream reports as an error, becomes ``failure``; the open
block stays open, since nothing but the error event may follow (rule S8), and writing that is up to the caller.

Accepted as inexact: a signature that comes after its thinking block was closed gets a block of its own, without text;
arguments that are no JSON object cannot be streamed and wait for the end of their call; arguments that begin like an
object are passed as they come, so that a client sees how far a call got that was cut at ``max_tokens`` (trap 12). Where
nothing was cut and they turn out to be no JSON, the stream fails at the end of the call, which nobody may run.
"""

from typing import Any

import orjson

from conversion.anthropic_over_openai.block_writer import TEXT, THINKING, TOOL, BlockWriter
from conversion.anthropic_over_openai.contents import read_content
from conversion.anthropic_over_openai.counts import write_delta_usage, write_usage
from conversion.anthropic_over_openai.errors import read_error, read_error_value
from conversion.anthropic_over_openai.facts import LEFT_OUT, Facts
from conversion.anthropic_over_openai.finishes import write_stop
from conversion.anthropic_over_openai.thoughts import (
    Detail,
    Thought,
    is_empty,
    is_shown,
    read_reasoning,
)
from conversion.anthropic_over_openai.tool_calls import (
    ToolCall,
    ToolCalls,
    read_calls,
    read_input,
)
from conversion.errors import UpstreamInvalid, UpstreamStreamCut
from conversion.framed import FramedStream
from conversion.reasoning import pack_details, pack_extra
from conversion.sse import is_end_mark, write_anthropic_event
from conversion.usage import FinishReason, Usage
from conversion.wire.anthropic_answer import Message, MessageDelta, MessageStart

_PLAIN = frozenset({"role", "content"})


class MessageStream(FramedStream):
    """The client's events of one attempt; ``feed`` pieces of the upstream's stream, then ``finish``."""

    def __init__(self, facts: Facts) -> None:
        self._blocks = BlockWriter()
        super().__init__(self._blocks.out)
        self.facts = facts
        self._thought = Thought()
        self._calls = ToolCalls()
        self._unclosed: list[ToolCall] = []
        self._ids: set[str] = set()
        self._held: list[str | Detail] = []
        self._blank: list[str] = []
        self._tool_blocks = 0

    @property
    def content_started(self) -> bool:
        """Whether a block has been started."""
        return self._blocks.count > 0

    # Reading

    def _read(self, event: bytes, data: bytes) -> None:
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            if is_end_mark(data):
                self._end()
                return
            if event == b"error":
                self.facts.finish_reason = FinishReason.ERROR
                raise read_error(None, data) from error
            raise UpstreamInvalid(f"the upstream sent a chunk that is not JSON: {error}") from error
        if not isinstance(chunk, dict):
            raise UpstreamInvalid("the upstream sent a chunk that is no JSON object")
        facts = self.facts
        facts.read_answer(chunk, data)
        if event == b"error":
            facts.finish_reason = FinishReason.ERROR
            raise read_error_value(chunk)
        choices = chunk.get("choices")
        # Azure begins with a chunk about its content filter, and usage comes with a list that is empty (trap 1).
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return
        choice = choices[0]
        if not facts.upstream_id:
            facts.read_origin(chunk)
        if not facts.seen:
            self._start()
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            # Servers that stream in one piece only have been seen to send a whole message.
            delta = choice.get("message")
        if isinstance(delta, dict):
            self._read_delta(delta)
        if choice.get("finish_reason") or "error" in choice:
            facts.read_ending(choice)

    def _read_delta(self, delta: dict[str, Any]) -> None:
        content = delta.get("content")
        if content and isinstance(content, str) and delta.keys() <= _PLAIN:
            self._say(content)  # nine chunks in ten
            return
        if (
            delta.get("reasoning_details")
            or delta.get("reasoning_content")
            or delta.get("reasoning")
        ):
            for detail in read_reasoning(delta):
                self._think(detail)
        if content:
            if isinstance(content, str):
                self._say(content)
            else:
                self._read_parts(content)
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self._refuse(refusal)
        if delta.get("tool_calls") or delta.get("function_call"):
            for entry in read_calls(delta):
                self._call(entry)
        if not LEFT_OUT.keys().isdisjoint(delta):
            self.facts.note_left_out(delta)

    def _read_parts(self, content: Any) -> None:
        for kind, text in read_content(content, self.facts):
            if kind == "text":
                self._say(text)
            elif kind == "refusal":
                self._refuse(text)
            else:
                self._think({"type": "reasoning.text", "text": text})

    def _refuse(self, text: str) -> None:
        self.facts.ending.refused = True
        self._say(text)

    # Text and thinking

    def _say(self, text: str) -> None:
        if self._unclosed and not self._calls_are_done():
            self._held.append(text)
            return
        blocks = self._blocks
        self.facts.answer_chars += len(text)
        if blocks.kind != TEXT:
            if text.isspace():
                self._blank.append(text)
                return
            if self._blank:
                text = "".join((*self._blank, text))
                self._blank.clear()
            self._close_block()
            blocks.open(TEXT, {"type": "text", "text": ""})
        blocks.delta(text)

    def _think(self, detail: Detail) -> None:
        if self._unclosed and not self._calls_are_done():
            self._held.append(detail)
            return
        blocks = self._blocks
        if not is_shown(detail):
            self._close_block()
            data = pack_details([detail], thinking=None)
            blocks.whole({"type": "redacted_thinking", "data": data})
            return
        if blocks.kind != THINKING or not self._thought.continues(detail):
            if is_empty(detail):
                return
            self._close_block()
            self._thought = Thought()
            blocks.open(THINKING, {"type": "thinking", "thinking": "", "signature": ""})
        text = self._thought.add(detail)
        self.facts.answer_chars += len(text)
        if text and not self.facts.expected.omit_thinking_text:
            blocks.delta(text)

    def _close_block(self) -> None:
        if self._blocks.kind == THINKING:
            hidden = self.facts.expected.omit_thinking_text
            self._blocks.signature(self._thought.signature(hidden=hidden))
        if self._blank:
            self._blank.clear()
            self.facts.note_blank_text()
        self._blocks.close()

    # Tool calls

    def _call(self, entry: dict[str, Any]) -> None:
        call, piece = self._calls.read(entry)
        if call.state == "closed":
            if piece.strip():
                raise UpstreamInvalid("the upstream went on with a tool call that was complete")
            return
        if call not in self._unclosed:
            self._unclosed.append(call)
        if piece:
            call.arguments.append(piece)
            self.facts.answer_chars += len(piece)
        if call.state == "waiting" and call.id and call.name and self._blocks.kind != TOOL:
            self._open_call(call)
        if call.state == "open":
            self._send_arguments(call)

    def _calls_are_done(self) -> bool:
        """Whether all calls could be written, so that something else may follow."""
        if not all(call.name and call.is_complete() for call in self._unclosed):
            return False
        self._write_calls()
        return True

    def _write_calls(self) -> None:
        """Close the open call, write the waiting ones in the order of their indexes, then what was held."""
        calls, self._unclosed = self._unclosed, []
        for call in sorted(calls, key=lambda call: (call.state != "open", _order(call))):
            if call.state == "waiting":
                if not call.name:
                    self._miss_name(call)
                    continue
                self._open_call(call)
            self._end_arguments(call)
            call.state = "closed"
            self._blocks.close()
        held, self._held = self._held, []
        for piece in held:
            if isinstance(piece, str):
                self._say(piece)
            else:
                self._think(piece)

    def _open_call(self, call: ToolCall) -> None:
        self._close_block()
        self._tool_blocks += 1
        expected = self.facts.expected
        tool_id = expected.tool_id(call.id, number=self._tool_blocks)
        if tool_id in self._ids:  # two calls under one id could not be answered
            tool_id = expected.tool_id("", number=self._tool_blocks)
        self._ids.add(tool_id)
        call.client_id = tool_id
        self._write_extra(call)
        name = expected.tool_names.get(call.name, call.name)
        block = {"type": "tool_use", "id": tool_id, "name": name, "input": {}}
        self._blocks.open(TOOL, block)
        call.state = "open"

    def _write_extra(self, call: ToolCall) -> None:
        if call.extra is not None and call.client_id and not call.extra_sent:
            data = pack_extra(call.client_id, call.extra)
            call.extra_sent = True
            self._blocks.whole({"type": "redacted_thinking", "data": data})

    def _send_arguments(self, call: ToolCall) -> None:
        if call.sent or call.is_object():
            piece = "".join(call.arguments[call.sent :])
            if piece:
                call.sent = len(call.arguments)
                self._blocks.delta(piece)

    def _end_arguments(self, call: ToolCall) -> None:
        """Write the arguments that could not be streamed: none at all, or no object. The others must be whole by now."""
        try:
            given = read_input(call.text())
        except UpstreamInvalid:
            if not self.facts.ending.is_cut:
                raise
        else:
            if not call.sent:
                self._blocks.delta(orjson.dumps(given).decode())

    def _miss_name(self, call: ToolCall) -> None:
        if call.text().strip():
            raise UpstreamInvalid("the upstream sent a tool call without a name")
        self.facts.note_dropped("tool_calls", "an empty entry without a name is no call")

    # Beginning and end

    def _start(self) -> None:
        self.facts.seen = True
        expected = self.facts.expected
        message: Message = {
            "id": expected.message_id,
            "type": "message",
            "role": "assistant",
            "model": expected.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": write_usage(
                Usage(prompt_tokens=expected.prompt_tokens_estimate, completion_tokens=0)
            ),
        }
        event: MessageStart = {"type": "message_start", "message": message}
        self._blocks.out.append(write_anthropic_event("message_start", event))

    def _end_early(self) -> None:
        if not self.facts.ending.heard:
            raise UpstreamStreamCut("the upstream's stream ended before its answer did")
        self._end()

    def _end(self) -> None:
        facts, blocks = self.facts, self._blocks
        nothing = not (facts.ending.heard or blocks.count or self._unclosed)
        if not facts.seen or nothing:
            raise UpstreamInvalid("the upstream ended its stream without an answer")
        if self._unclosed:
            self._write_calls()
        self._close_block()
        for call in self._calls.calls:
            self._write_extra(call)  # such as came too late for their place before the call
        reason = facts.ending.settled(has_tools=self._tool_blocks > 0)
        facts.finish_reason = reason
        event: MessageDelta = {
            "type": "message_delta",
            "delta": write_stop(reason, facts.ending.stop_sequence),
            "usage": write_delta_usage(facts.usage),
        }
        blocks.out.append(write_anthropic_event("message_delta", event))
        blocks.out.append(write_anthropic_event("message_stop", {"type": "message_stop"}))
        self.done = True


def _order(call: ToolCall) -> float:
    return float("inf") if call.index is None else call.index

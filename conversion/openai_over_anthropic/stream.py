"""OpenAI chat chunks out of Anthropic Messages events.

Theory of operation
===================
``pieces.py`` knows what becomes of the blocks; here events are read and chunks written:

    message_start        -->  the first chunk: the role, and content that is empty
    content_block_*      -->  a chunk for each piece
    message_delta        -->  kept: why the answer ends, and the usage of all of it
    message_stop         -->  what was not ended, the refusal, the finish chunk, usage if asked for, [DONE]
    ping, unknown types  -->  nothing (rules S5 and S10)
    error                -->  ``failure``

The finish chunk waits for ``message_stop``, so that an error in between is never preceded by a made-up end. A stream that
closes behind a stop reason has said all there is to say and is ended here; one that closes before has been cut.

``feed`` never raises. What breaks the dialect, and what the upstream reports as an error, becomes ``failure``; nothing but
the error event may follow, and writing that is up to the caller.

Accepted as inexact: citations come at the end of their block, when it is known how far they reach; the order of thoughts
among text and calls is lost, as it is in any chat completion.
"""

from typing import Any

import orjson

from conversion.dialects import Dialect
from conversion.errors import UpstreamInvalid, UpstreamStreamCut
from conversion.framed import FramedStream
from conversion.openai_over_anthropic.counts import write_usage
from conversion.openai_over_anthropic.errors import is_error, read_event_error, read_raw_error
from conversion.openai_over_anthropic.facts import Facts
from conversion.openai_over_anthropic.pieces import Pieces
from conversion.sse import END_MARK, is_end_mark, write_openai_chunk
from conversion.usage import FinishReason
from conversion.wire.openai_completion import Chunk, Delta


class ChunkStream(FramedStream):
    """The client's chunks of one attempt; ``feed`` pieces of the upstream's stream, then ``finish``."""

    def __init__(self, facts: Facts) -> None:
        super().__init__([])
        self.facts = facts
        self.content_started = False
        self._pieces = Pieces(facts)
        self._head = b""
        self._tail = b""

    # Reading

    def _read(self, event: bytes, data: bytes) -> None:
        value = self._decoded(event, data)
        if value is None:
            self._end_early()
            return
        kind = value.get("type")
        if kind == "content_block_delta":
            delta = value.get("delta")
            if isinstance(delta, dict):
                self._write(self._begun().add(_index(value), delta))
        elif is_error(value) or event == b"error":
            self.facts.finish_reason = FinishReason.ERROR
            raise read_event_error(value)
        elif kind == "message_start":
            self._start(value.get("message"), data)
        elif kind == "content_block_start":
            block = value.get("content_block")
            if isinstance(block, dict):
                self._write(self._begun().begin(_index(value), block))
        elif kind == "content_block_stop":
            self._write(self._begun().end(_index(value)))
        elif kind == "message_delta":
            self._read_message_delta(value, data)
        elif kind == "message_stop":
            self._begun()
            self._end()

    def _decoded(self, event: bytes, data: bytes) -> dict[str, Any] | None:
        """The event; None for OpenAI's end mark, with which some end their streams in this dialect too."""
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            if is_end_mark(data):
                return None
            if event == b"error":
                self.facts.finish_reason = FinishReason.ERROR
                raise read_raw_error(data) from error
            raise UpstreamInvalid(
                f"the upstream sent an event that is not JSON: {error}"
            ) from error
        if not isinstance(value, dict):
            raise UpstreamInvalid("the upstream sent an event that is no JSON object")
        return value

    def _begun(self) -> Pieces:
        if not self.facts.seen:
            raise UpstreamInvalid("the upstream's stream began in the middle")
        return self._pieces

    def _read_message_delta(self, value: dict[str, Any], data: bytes) -> None:
        self._begun()
        self.facts.read_usage(value.get("usage"), data)
        self.facts.is_final = True
        delta = value.get("delta")
        if isinstance(delta, dict):
            self.facts.read_stop(delta)

    # Writing

    def _start(self, message: Any, data: bytes) -> None:
        if self.facts.seen:
            return
        if not isinstance(message, dict):
            raise UpstreamInvalid("the upstream's stream begins with no message")
        self.facts.read_message(message, data)
        chunk = orjson.dumps(self._chunk({}, finish=None))
        self._head, _, self._tail = chunk.partition(b'"delta":{}')
        self._head = b'data: %b"delta":' % self._head
        self._tail += b"\n\n"
        self._write([{"role": "assistant", "content": ""}])
        self.content_started = False

    def _write(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            self._out.append(b"%b%b%b" % (self._head, orjson.dumps(delta), self._tail))
            self.content_started = True

    def _chunk(self, delta: Delta, *, finish: str | None) -> Chunk:
        facts, expected = self.facts, self.facts.expected
        chunk: Chunk = {
            "id": expected.chat_id,
            "object": "chat.completion.chunk",
            "created": expected.created_s,
            "model": expected.model,
            "system_fingerprint": None,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        }
        if facts.service_tier is not None:
            chunk["service_tier"] = facts.service_tier
        if expected.include_usage:
            chunk["usage"] = None
        return chunk

    def _end_early(self) -> None:
        if not self.facts.heard:
            raise UpstreamStreamCut("the upstream's stream ended before its answer did")
        self._end()

    def _end(self) -> None:
        facts = self.facts
        self._write(self._pieces.end_all())
        finish = facts.settle(has_tools=self._pieces.calls > 0)
        if facts.refusal:
            self._write([{"refusal": facts.refusal}])
        chunk = self._chunk({}, finish=finish)
        self._out.append(write_openai_chunk(chunk))
        if facts.expected.include_usage:
            told: Chunk = {**chunk, "choices": [], "usage": write_usage(facts.usage)}
            self._out.append(write_openai_chunk(told))
        self._out.append(END_MARK[Dialect.OPENAI_CHAT])
        self.done = True


def _index(event: dict[str, Any]) -> int:
    """The number of the block. One that is no number stands for the same block each time."""
    index = event.get("index")
    return index if isinstance(index, int) else -1

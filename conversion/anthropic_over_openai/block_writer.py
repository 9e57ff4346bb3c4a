"""Writes the events of content blocks: never two open at once, numbered without gaps (rules S2 and S3)."""

from typing import Any

import orjson

from conversion.sse import write_anthropic_event

TEXT = "text"
THINKING = "thinking"
TOOL = "tool_use"

_DELTAS = {
    TEXT: b'"delta":{"type":"text_delta","text":',
    THINKING: b'"delta":{"type":"thinking_delta","thinking":',
    TOOL: b'"delta":{"type":"input_json_delta","partial_json":',
}
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,%b'
_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'


class BlockWriter:
    """The blocks of one message. ``kind`` is that of the open block, or empty; ``out`` is for the owner to empty."""

    __slots__ = ("_prefix", "count", "kind", "out")

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.kind = ""
        self.count = 0
        self._prefix = b""

    def open(self, kind: str, block: dict[str, Any]) -> None:
        """Start a block, after the one that is open has been closed."""
        self.close()
        self.kind = kind
        self._prefix = _DELTA % (self.count, _DELTAS[kind])
        self._start(block)

    def delta(self, text: str) -> None:
        """Write a piece of the open block."""
        self.out.append(b"%b%b}}\n\n" % (self._prefix, orjson.dumps(text)))

    def signature(self, signature: str) -> None:
        """Write the signature of the open thinking block; exactly one, right before it is closed."""
        delta = b'"delta":{"type":"signature_delta","signature":%b}}\n\n' % orjson.dumps(signature)
        self.out.append(_DELTA % (self.count - 1, delta))

    def close(self) -> None:
        """Stop the open block, if there is one."""
        if self.kind:
            self.kind = ""
            self.out.append(_STOP % (self.count - 1))

    def whole(self, block: dict[str, Any]) -> None:
        """Write a block that has no deltas (rule S6)."""
        self.close()
        self._start(block)
        self.out.append(_STOP % (self.count - 1))

    def _start(self, block: dict[str, Any]) -> None:
        event = {"type": "content_block_start", "index": self.count, "content_block": block}
        self.out.append(write_anthropic_event("content_block_start", event))
        self.count += 1

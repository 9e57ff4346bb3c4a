"""Ollama's answers as chat completions: one JSON object, or a line of JSON for each piece of a stream.

Sources: Ollama's API documentation and ``api/types.go`` (read August 2026). A call comes whole, with its arguments as
an object; a failure in the middle of a stream is a line with ``error``, under a status of 200.
"""

from typing import Any

import orjson

from conversion.dialects import Dialect
from conversion.errors import UpstreamInvalid
from conversion.sse import END_MARK, write_openai_chunk

LINE_BYTES_MAX = 16 * 1024 * 1024
FINISHES = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}


class ChatLines:
    """The lines of one answer as chat completions; ``answer_id`` names it, and its calls."""

    def __init__(self, *, answer_id: str, created_s: int) -> None:
        self._answer_id = answer_id
        self._created_s = created_s
        self._calls = 0
        self._role_told = False
        self._held = b""

    def write_whole(self, body: bytes) -> bytes:
        """A whole answer.

        Raises:
            UpstreamInvalid: it is none.
        """
        line = _read_object(body)
        if "error" in line:
            return orjson.dumps({"error": {"message": line["error"]}})
        message = line.get("message")
        if not isinstance(message, dict):
            raise UpstreamInvalid("the upstream's answer holds no message")
        answer = {"role": "assistant", **self._said(message)}
        answer.setdefault("content", "")
        choice = {"index": 0, "message": answer, "finish_reason": self._finish(line)}
        head = self._head(line, "chat.completion")
        return orjson.dumps({**head, "choices": [choice], "usage": _usage(line)})

    def feed(self, data: bytes) -> bytes:
        """The chunks that one piece of the stream makes due.

        Raises:
            UpstreamInvalid: a line is no JSON object, or has no end.
        """
        *lines, self._held = (self._held + data).split(b"\n")
        if len(self._held) > LINE_BYTES_MAX:
            raise UpstreamInvalid(f"the upstream sent over {LINE_BYTES_MAX} bytes in one line")
        return b"".join(self._chunks(line) for line in lines if line.strip())

    def close(self) -> bytes:
        """The chunks of a last line that was not ended."""
        rest, self._held = self._held, b""
        return self._chunks(rest) if rest.strip() else b""

    def _chunks(self, raw: bytes) -> bytes:
        line = _read_object(raw)
        if "error" in line:
            return write_openai_chunk({"error": {"message": line["error"]}})
        message = line.get("message")
        delta = self._said(message) if isinstance(message, dict) else {}
        head = self._head(line, "chat.completion.chunk")
        chunks = []
        if delta:
            # Once: OpenAI's SDK joins what it is told twice, to "assistantassistant".
            role = {} if self._role_told else {"role": "assistant"}
            self._role_told = True
            choice = {"index": 0, "delta": {**role, **delta}, "finish_reason": None}
            chunks.append(write_openai_chunk({**head, "choices": [choice]}))
        if line.get("done") is True:
            choice = {"index": 0, "delta": {}, "finish_reason": self._finish(line)}
            chunks.append(write_openai_chunk({**head, "choices": [choice]}))
            chunks.append(write_openai_chunk({**head, "choices": [], "usage": _usage(line)}))
            chunks.append(END_MARK[Dialect.OPENAI_CHAT])
        return b"".join(chunks)

    def _head(self, line: dict[str, Any], kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._answer_id}",
            "object": kind,
            "created": self._created_s,
            "model": line.get("model", ""),
        }

    def _said(self, message: dict[str, Any]) -> dict[str, Any]:
        """What a message, or a piece of one, holds, under OpenAI's names."""
        said: dict[str, Any] = {}
        for name, own_name in (("content", "content"), ("thinking", "reasoning")):
            if isinstance(message.get(name), str) and message[name]:
                said[own_name] = message[name]
        calls = message.get("tool_calls")
        if isinstance(calls, list) and calls:
            said["tool_calls"] = [self._call(call) for call in calls if isinstance(call, dict)]
        return said

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index, self._calls = self._calls, self._calls + 1
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments or {}).decode()
        # Ollama names no calls; a result must be able to name its own.
        return {
            "index": index,
            "id": f"call_{self._answer_id}_{index}"[-40:],
            "type": "function",
            "function": {"name": function.get("name", ""), "arguments": arguments},
        }

    def _finish(self, line: dict[str, Any]) -> str:
        reason = FINISHES.get(str(line.get("done_reason")), "stop")
        return "tool_calls" if self._calls and reason == "stop" else reason


def _usage(line: dict[str, Any]) -> dict[str, int]:
    """The counts; a prompt that lies in the cache whole has none at some versions."""
    prompt, completion = (
        count if isinstance(count := line.get(name), int) else 0
        for name in ("prompt_eval_count", "eval_count")
    )
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise UpstreamInvalid("the upstream's answer is not JSON") from error
    if not isinstance(line, dict):
        raise UpstreamInvalid("the upstream's answer is no JSON object")
    return line

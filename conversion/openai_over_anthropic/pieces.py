"""The content blocks of a message as pieces of a chat completion: the same for whole answers and for streams.

A Messages answer is a sequence of blocks, a chat completion one message. Text blocks follow one another without a
separator. Thinking goes out three times, because clients read it in three places: ``reasoning_content`` (DeepSeek's),
``reasoning`` and ``reasoning_details`` (OpenRouter's); the details alone hold the signature, and a client that sends them
back has its thoughts continued. Calls are counted, blocks are not (trap 57). What Anthropic's own servers did (search,
fetching, code) has no place in a chat and is left out with a note; what they found stands in the text.

A block is begun with its first event or as a whole: what it holds then already is told as if it had come in a delta. So a
whole answer is nothing but the sum of its pieces (``response.py``).
"""

from typing import Any

import orjson

from conversion.errors import UpstreamInvalid
from conversion.openai_over_anthropic.facts import Facts
from conversion.wire.openai_completion import Annotation, Delta, FunctionPiece, ReasoningDetail

KIND_CHARS_MAX = 40
DELTAS_OF_A_BLOCK = ("thinking_delta", "signature_delta", "input_json_delta", "citations_delta")
SERVERS_OWN = "what Anthropic's servers did themselves has no place in a chat"


class Pieces:
    """The pieces of one answer. The methods return those that are due, in order."""

    def __init__(self, facts: Facts) -> None:
        self.calls = 0
        """How many calls the client has been told of."""
        self._facts = facts
        self._open: dict[Any, _Block] = {}
        self._content_chars = 0
        self._annotations = 0
        self._thoughts = 0
        self._ids: set[str] = set()

    def begin(self, index: Any, block: dict[str, Any]) -> list[Delta]:
        """A block has begun. One that is still open under the same index is over."""
        over = self.end(index)
        kind = block.get("type")
        begin = _BEGIN.get(kind) if isinstance(kind, str) else None
        if begin is None:
            self._facts.note_dropped(_word(kind), SERVERS_OWN)
            self._open[index] = _Block()
            return over
        self._open[index], due = begin(self, block)
        return over + due

    def add(self, index: Any, delta: dict[str, Any]) -> list[Delta]:
        """A delta of a block has come. Unknown kinds pass by (rule S10)."""
        kind = delta.get("type")
        block = self._open.get(index)
        if kind == "text_delta":
            return self._text(delta.get("text"))
        if block is None and kind in DELTAS_OF_A_BLOCK:
            raise UpstreamInvalid("the upstream went on with a block that it had not begun")
        if kind == "thinking_delta" and isinstance(block, _Thought):
            return self._thought(block, delta.get("thinking"))
        if kind == "signature_delta" and isinstance(block, _Thought):
            block.sign(delta.get("signature"))
        elif kind == "input_json_delta" and isinstance(block, _Call):
            return self._arguments(block, delta.get("partial_json"))
        elif kind == "citations_delta" and isinstance(block, _Text):
            block.cite(delta.get("citation"), self._facts)
        return []

    def end(self, index: Any) -> list[Delta]:
        """A block is over."""
        block = self._open.pop(index, None)
        if isinstance(block, _Text):
            annotations = block.annotations(self._content_chars, first=self._annotations)
            self._annotations += len(annotations)
            return [{"annotations": annotations}] if annotations else []
        if isinstance(block, _Thought) and block.signature:
            detail = block.detail()
            detail["signature"] = block.signature
            return [{"reasoning_details": [detail]}]
        if isinstance(block, _Call) and not block.has_arguments:
            return self._arguments(block, _write_input(block.input))
        return []

    def end_all(self) -> list[Delta]:
        """The message is over, and with it what was not ended."""
        return [piece for index in list(self._open) for piece in self.end(index)]

    def _text(self, text: Any) -> list[Delta]:
        if not text or not isinstance(text, str):
            return []
        self._content_chars += len(text)
        self._facts.answer_chars += len(text)
        return [{"content": text}]

    def _thought(self, block: "_Thought", text: Any) -> list[Delta]:
        if not text or not isinstance(text, str):
            return []
        self._facts.answer_chars += len(text)
        detail = block.detail()
        detail["text"] = text
        return [{"reasoning_content": text, "reasoning": text, "reasoning_details": [detail]}]

    def _begin_text(self, block: dict[str, Any]) -> tuple["_Block", list[Delta]]:
        opened = _Text(self._content_chars)
        citations = block.get("citations")
        for citation in citations if isinstance(citations, list) else ():
            opened.cite(citation, self._facts)
        return opened, self._text(block.get("text"))

    def _begin_thought(self, block: dict[str, Any]) -> tuple["_Block", list[Delta]]:
        opened = _Thought(self._thoughts)
        self._thoughts += 1
        opened.sign(block.get("signature"))
        return opened, self._thought(opened, block.get("thinking"))

    def _begin_redacted(self, block: dict[str, Any]) -> tuple["_Block", list[Delta]]:
        data = block.get("data")
        if not isinstance(data, str):
            return _Block(), []
        detail: ReasoningDetail = {
            "type": "reasoning.encrypted",
            "data": data,
            "format": "anthropic-claude-v1",
            "index": self._thoughts,
        }
        self._thoughts += 1
        return _Block(), [{"reasoning_details": [detail]}]

    def _begin_call(self, block: dict[str, Any]) -> tuple["_Block", list[Delta]]:
        name = block.get("name")
        if not isinstance(name, str) or not name:
            raise UpstreamInvalid("the upstream sent a tool call without a name")
        name = self._facts.expected.tool_names.get(name, name)
        if not self._facts.expected.function_call:
            call = _Call(self.calls, block.get("input"))
            self.calls += 1
            function: FunctionPiece = {"name": name, "arguments": ""}
            entry = {
                "index": call.index,
                "id": self._call_id(block.get("id")),
                "type": "function",
                "function": function,
            }
            return call, [{"tool_calls": [entry]}]  # type: ignore[list-item]
        if self.calls:
            self._facts.note_dropped("tool_use", "function_call has room for one call only")
            return _Block(), []
        self.calls = 1
        call = _Call(None, block.get("input"))
        return call, [{"function_call": {"name": name, "arguments": ""}}]

    def _call_id(self, upstream_id: Any) -> str:
        call_id = upstream_id if isinstance(upstream_id, str) else ""
        if not call_id or call_id in self._ids:  # two calls under one id could not be answered
            call_id = self._facts.expected.call_id(self.calls)
        self._ids.add(call_id)
        return call_id

    def _arguments(self, call: "_Call", piece: Any) -> list[Delta]:
        if not piece or not isinstance(piece, str):
            return []
        call.has_arguments = True
        self._facts.answer_chars += len(piece)
        if call.index is None:
            return [{"function_call": {"arguments": piece}}]
        return [{"tool_calls": [{"index": call.index, "function": {"arguments": piece}}]}]


_BEGIN = {
    "text": Pieces._begin_text,
    "thinking": Pieces._begin_thought,
    "redacted_thinking": Pieces._begin_redacted,
    "tool_use": Pieces._begin_call,
}


class _Block:
    """An open block that nothing is told of, or nothing more."""

    __slots__ = ()


class _Text(_Block):
    __slots__ = ("_citations", "_start")

    def __init__(self, start: int) -> None:
        self._start = start
        self._citations: list[dict[str, Any]] = []

    def cite(self, citation: Any, facts: Facts) -> None:
        if isinstance(citation, dict) and _is_web_page(citation.get("url")):
            self._citations.append(citation)
        else:
            facts.note_dropped("citations", "a chat cites web pages only")

    def annotations(self, end: int, *, first: int) -> list[Annotation]:
        """A citation is about its whole block, which ends here; ``first`` is the index of its first."""
        return [
            {
                "index": index,
                "type": "url_citation",
                "url_citation": {
                    "url": citation["url"],
                    "title": citation["title"] if isinstance(citation.get("title"), str) else "",
                    "start_index": self._start,
                    "end_index": end,
                },
            }
            for index, citation in enumerate(self._citations, first)
        ]


class _Thought(_Block):
    __slots__ = ("_index", "_is_told", "signature")

    def __init__(self, index: int) -> None:
        self.signature = ""
        self._index = index
        self._is_told = False

    def detail(self) -> ReasoningDetail:
        """A piece of this thought, still empty. The first alone has the format: OpenAI's SDK would join it to itself."""
        if self._is_told:
            return {"type": "reasoning.text", "index": self._index}
        self._is_told = True
        return {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": self._index}

    def sign(self, signature: Any) -> None:
        """Pieces of a signature are joined (trap 29), one that is merely repeated is not."""
        if isinstance(signature, str) and signature != self.signature:
            self.signature += signature


class _Call(_Block):
    """``index`` counts the calls; None for the deprecated ``function_call``."""

    __slots__ = ("has_arguments", "index", "input")

    def __init__(self, index: int | None, given: Any) -> None:
        self.index = index
        self.input = given
        self.has_arguments = False


def _write_input(given: Any) -> str:
    """The input of a block that had no deltas: all of it, as a rule none."""
    if given is None or given == "":
        return "{}"
    if isinstance(given, str):
        return given
    try:
        return orjson.dumps(given).decode()
    except orjson.JSONEncodeError as error:
        raise UpstreamInvalid("the upstream sent arguments nested too deeply") from error


def _is_web_page(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(("http://", "https://"))


def _word(kind: Any) -> str:
    return kind[:KIND_CHARS_MAX] if isinstance(kind, str) else "content"

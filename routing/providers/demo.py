"""A small scripted model in the process, so that the first run works with no account. Calls nobody.

It answers as an OpenAI-chat upstream would. What it does is asked for at the
beginning of a line of the last user message's last text (Claude Code puts its own reminders before that):
``/error 429`` (any HTTP error status) fails so, ``/error midstream`` fails after some words, ``/error cut`` ends the
stream without an end, ``/tool`` calls the first tool that was offered, ``/tool NAME`` calls that one. It thinks
aloud when reasoning is asked for, and says what a tool answered.
"""

import asyncio
import base64
import math
import random
import re
import struct
import zlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from conversion.anthropic_over_openai.errors import read_error
from conversion.dialects import Dialect
from conversion.traits import ChatTraits
from routing.providers.kind import Headers, InProcessAnswer, InProcessAsk, ProviderKind

WORD_PAUSE_S = 0.02
CHARS_PER_TOKEN = 4
EMBEDDING_NUMBERS_MAX = 4096
COMMAND = re.compile(r"^/(error|tool)\b(?:[ \t]+([\w.-]+))?", re.MULTILINE)
ERROR_STATUS = re.compile(r"[45][0-9]{2}")
SAMPLES: dict[str, Any] = {
    "string": "demo",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


@dataclass(frozen=True, slots=True)
class Script:
    """What the demo will say: one answer, worked out before the first byte."""

    thinking: str
    text: str
    tool: dict[str, Any] | None
    prompt_tokens: int
    failure: str

    @property
    def completion_tokens(self) -> int:
        """A rough count of what is said."""
        said = len(self.thinking) + len(self.text) + len(str(self.tool or ""))
        return max(1, said // CHARS_PER_TOKEN)

    @property
    def finish_reason(self) -> str:
        """Why it ends, in OpenAI's words."""
        return "tool_calls" if self.tool else "stop"


async def answer(ask: InProcessAsk) -> InProcessAnswer:
    """The demo's answer to an OpenAI chat request, or to one for embeddings."""
    request = orjson.loads(ask.body)
    if ask.dialect is Dialect.OPENAI_EMBEDDINGS:
        return InProcessAnswer(200, "application/json", _once(orjson.dumps(_embeddings(request))))
    script = write_script(request)
    if ERROR_STATUS.fullmatch(script.failure):
        status = int(script.failure)
        error = {"error": {"message": f"The demo was asked to fail with {status}.", "code": status}}
        headers = {"retry-after": "1"} if status in {429, 503} else {}
        return InProcessAnswer(status, "application/json", _once(orjson.dumps(error)), headers)
    head = {
        "id": f"gen-demo-{zlib.crc32(ask.body):08x}",
        "model": request.get("model", "demo"),
        "created": 0,
    }
    if request.get("stream"):
        return InProcessAnswer(200, "text/event-stream", _stream(head, script))
    return InProcessAnswer(200, "application/json", _once(orjson.dumps(_whole(head, script))))


def write_script(request: dict[str, Any]) -> Script:
    """What to answer."""
    messages = _objects(request.get("messages"))
    # Claude Code tells newer models of its surroundings in a system message behind the prompt.
    said_last = (m for m in reversed(messages) if m.get("role") not in ("system", "developer"))
    last: dict[str, Any] = next(said_last, {})
    said = _text_of(last.get("content"))
    command = COMMAND.search(said) if last.get("role") == "user" else None
    word, argument = (command[1], command[2] or "") if command else ("", "")
    tool = _tool_call(request, argument) if word == "tool" else None
    if last.get("role") == "tool":
        text = f"The tool answered: {said[:400]}"
    elif tool:
        text = "One moment, I will look that up. "
    elif word == "tool":
        text = "No such tool was offered to me."
    else:
        text = (
            "Hello from the demo model inside llmgateway. Your request was authenticated, routed, converted, "
            f"streamed and booked. You said: {said[:200]}"
        )
    return Script(
        thinking="The request is easy; a short friendly answer will do."
        if _wants_thinking(request)
        else "",
        text=text,
        tool=tool,
        prompt_tokens=max(1, sum(len(str(message)) for message in messages) // CHARS_PER_TOKEN),
        failure=argument if word == "error" else "",
    )


def _wants_thinking(request: dict[str, Any]) -> bool:
    reasoning = request.get("reasoning")
    if isinstance(reasoning, dict):
        return reasoning.get("enabled") is not False and reasoning.get("effort") != "none"
    return request.get("reasoning_effort") not in {None, "none"}


def _text_of(content: Any) -> str:
    """A string, or the last text of a list of parts."""
    if isinstance(content, str):
        return content
    texts = [str(part["text"]) for part in _objects(content) if part.get("text")]
    return texts[-1] if texts else ""


def _tool_call(request: dict[str, Any], wanted: str) -> dict[str, Any] | None:
    for function in (_object(tool.get("function")) for tool in _objects(request.get("tools"))):
        if not wanted or function.get("name") == wanted:
            schema = _object(function.get("parameters"))
            properties = _object(schema.get("properties"))
            required = _list(schema.get("required"))
            arguments = {str(name): _sample(_object(properties.get(name))) for name in required}
            return {"name": function.get("name", ""), "arguments": orjson.dumps(arguments).decode()}
    return None


def _sample(schema: dict[str, Any]) -> Any:
    choices = _list(schema.get("enum"))
    if choices:
        return choices[0]
    kinds = schema.get("type")
    kind = next(iter(kinds), None) if isinstance(kinds, list) else kinds
    return SAMPLES.get(str(kind), "demo")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _usage(script: Script) -> dict[str, Any]:
    return {
        "prompt_tokens": script.prompt_tokens,
        "completion_tokens": script.completion_tokens,
        "total_tokens": script.prompt_tokens + script.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(script.thinking) // CHARS_PER_TOKEN},
    }


def _details(script: Script) -> list[dict[str, Any]]:
    return [{"type": "reasoning.text", "text": script.thinking, "index": 0, "format": "demo-v1"}]


def _tool_calls(script: Script) -> list[dict[str, Any]]:
    return [{"index": 0, "id": "call_demo_1", "type": "function", "function": script.tool}]


def _whole(head: dict[str, Any], script: Script) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": script.text}
    if script.thinking:
        message |= {"reasoning": script.thinking, "reasoning_details": _details(script)}
    if script.tool:
        message["tool_calls"] = _tool_calls(script)
    choice = {"index": 0, "message": message, "finish_reason": script.finish_reason}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(script)}


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
    """A vector of unit length for each text: the same for the same text, and without any meaning."""
    texts = request.get("input")
    texts = (
        texts if isinstance(texts, list) and not all(isinstance(n, int) for n in texts) else [texts]
    )
    wanted = request.get("dimensions")
    count = wanted if isinstance(wanted, int) and 0 < wanted <= EMBEDDING_NUMBERS_MAX else 8
    data = []
    for index, text in enumerate(texts):
        dice = random.Random(str(text))  # noqa: S311  (repeatable, no secret)
        vector = [dice.uniform(-1, 1) for _ in range(count)]
        length = math.sqrt(sum(number * number for number in vector))
        vector = [number / length for number in vector]
        is_packed = request.get("encoding_format") == "base64"
        packed = base64.b64encode(struct.pack(f"<{count}f", *vector)).decode()
        data.append(
            {"object": "embedding", "index": index, "embedding": packed if is_packed else vector}
        )
    tokens = max(1, len(str(texts)) // CHARS_PER_TOKEN)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": request.get("model", "demo"), "data": data, "usage": usage}


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _stream(head: dict[str, Any], script: Script) -> AsyncGenerator[bytes, None]:
    for count, delta in enumerate(_deltas(script)):
        if count == 3 and script.failure == "midstream":
            yield _event(
                {"error": {"code": "server_error", "message": "The demo was asked to fail."}}
            )
            return
        if count == 3 and script.failure == "cut":
            return
        yield _event(_chunk(head, delta, None))
        await asyncio.sleep(WORD_PAUSE_S)
    yield _event(_chunk(head, {}, script.finish_reason))
    yield (
        _event({**_chunk(head, {}, None), "choices": [], "usage": _usage(script)})
        + b"data: [DONE]\n\n"
    )


def _deltas(script: Script) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for word in re.findall(r"\S+\s*", script.thinking):
        detail = {"type": "reasoning.text", "text": word, "index": 0, "format": "demo-v1"}
        yield {"reasoning": word, "reasoning_details": [detail]}
    for word in re.findall(r"\S+\s*", script.text):
        yield {"content": word}
    if script.tool:
        yield {"tool_calls": _tool_calls(script)}


def _chunk(
    head: dict[str, Any], delta: dict[str, Any], finish_reason: str | None
) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {**head, "object": "chat.completion.chunk", "choices": [choice]}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _no_headers(_secret: str) -> Headers:
    return ()


def traits(model: str) -> ChatTraits:
    """The demo takes whatever OpenRouter would."""
    return ChatTraits(
        model=model,
        reasoning="openrouter",
        efforts=("minimal", "low", "medium", "high", "xhigh", "max"),
        reasoning_replay="details",
        cache_control=True,
        top_k=True,
        pdf_files=True,
        web_search_plugin=True,
    )


KIND = ProviderKind(
    name="demo",
    label="Demo (scripted, in the process)",
    needs="A small scripted model inside the gateway, to see everything work. It needs nothing and costs nothing.",
    paths={Dialect.OPENAI_CHAT: "", Dialect.OPENAI_EMBEDDINGS: ""},
    credential_headers=_no_headers,
    traits=traits,
    read_error=read_error,
    is_demo=True,
    needs_credential=False,
    answer_in_process=answer,
)

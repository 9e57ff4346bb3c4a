"""One thing said by a model, in every dialect an upstream may speak, whole and streamed.

A test says what the model says; which bytes that is, the request tells: its path names the dialect, its body whether
a stream is wanted. So one test runs over every upstream with the same assertions.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson

from tests.fakes.upstream import Answer, SeenRequest, chunk, json_answer, stream_answer

COST_USD = 0.000125
_numbers = count(1)
SIGNATURE = "EqRkc2lnbmVkIGJ5IGEgbW9kZWw="
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


@dataclass(frozen=True)
class Called:
    """One call of a tool; Ollama gives its calls no ids."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Said:
    """What the model says. ``finish`` is OpenAI's word; ``stop_sequence`` the one that was hit, if any was.

    ``prompt_tokens`` include ``cached_tokens``, ``completion_tokens`` include the thinking.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[Called, ...] = ()
    finish: str = "stop"
    stop_sequence: str | None = None
    prompt_tokens: int = 20
    cached_tokens: int = 0
    completion_tokens: int = 5


def strict_tool(name: str, *properties: str) -> dict[str, Any]:
    """A tool for OpenAI's clients; their helpers for streams take only tools that are strict."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in properties},
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": schema, "strict": True}}


def says(*said: Said) -> Callable[[SeenRequest], Answer]:
    """Answers a conversation's turns with these, one after the other, then the last one for ever."""
    numbers = count()
    return lambda request: answer_to(request, said[min(next(numbers), len(said) - 1)])


def answer_to(request: SeenRequest, said: Said) -> Answer:
    """The answer in the request's dialect."""
    body = request.json
    path = request.path.partition("?")[0]
    streams = bool(body.get("stream"))
    if path.endswith("/messages"):
        message = write_message(said, body["model"])
        return stream_answer_of_events(message_events(message)) if streams else json_answer(message)
    if path.endswith("/api/chat"):
        return ollama_answer(said, body["model"], streams=streams)
    if streams:
        return stream_answer(chat_chunks(said, body["model"]))
    return json_answer(write_completion(said, body["model"]))


def pieces_of(text: str) -> list[str]:
    """The text in pieces as a model gives them, each about a word."""
    return re.findall(r"\S+\s*|\s+", text)


def cut_in_two(text: str) -> list[str]:
    """Two pieces, the cut where no JSON is whole."""
    half = max(1, len(text) // 2)
    return [text[:half], text[half:]]


# OpenAI's dialect, as OpenRouter speaks it


def chat_usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.completion_tokens,
        "total_tokens": said.prompt_tokens + said.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens},
        "cost": COST_USD,
    }


def reasoning_detail(**members: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, **members}


def write_completion(said: Said, model: str) -> dict[str, Any]:
    """A whole chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": said.text or None, "refusal": None}
    if said.thinking:
        message["reasoning"] = said.thinking
        message["reasoning_details"] = [reasoning_detail(text=said.thinking, signature=SIGNATURE)]
    if said.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": _function(call)} for call in said.calls
        ]
    return {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, **_finish(said), "logprobs": None}],
        "usage": chat_usage(said),
    }


def chat_chunks(said: Said, model: str) -> list[dict[str, Any]]:
    """The same as a stream, usage in the last chunk."""
    chunks = [chunk(delta, model=model) for delta in _deltas(said)]
    last = chunk({}, model=model)
    last["choices"][0].update(_finish(said))
    return [*chunks, last, {**chunk(model=model), "choices": [], "usage": chat_usage(said)}]


def _function(call: Called) -> dict[str, str]:
    return {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()}


def _finish(said: Said) -> dict[str, str]:
    native = "stop_sequence" if said.stop_sequence else STOP_REASONS[said.finish]
    return {"finish_reason": said.finish, "native_finish_reason": native}


def _deltas(said: Said) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for piece in pieces_of(said.thinking):
        yield {"reasoning": piece, "reasoning_details": [reasoning_detail(text=piece)]}
    if said.thinking:
        yield {"reasoning_details": [reasoning_detail(signature=SIGNATURE)]}
    for piece in pieces_of(said.text):
        yield {"content": piece}
    for index, call in enumerate(said.calls):
        function = _function(call)
        head = {"index": index, "id": call.id, "type": "function"}
        yield {"tool_calls": [{**head, "function": {"name": call.name, "arguments": ""}}]}
        for piece in cut_in_two(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


# Anthropic's dialect


def write_message(said: Said, model: str) -> dict[str, Any]:
    """A whole message."""
    content: list[dict[str, Any]] = []
    if said.thinking:
        content.append({"type": "thinking", "thinking": said.thinking, "signature": SIGNATURE})
    if said.text:
        content.append({"type": "text", "text": said.text, "citations": None})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        for call in said.calls
    ]
    return {
        # Claude Code takes two messages of the same id for one.
        "id": f"msg_{next(_numbers)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "stop_sequence" if said.stop_sequence else STOP_REASONS[said.finish],
        "stop_sequence": said.stop_sequence,
        "usage": {
            "input_tokens": said.prompt_tokens - said.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": said.cached_tokens,
            "output_tokens": said.completion_tokens,
            "service_tier": "standard",
        },
    }


def message_events(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The message as a stream."""
    opening = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    opening["usage"] = {**message["usage"], "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": opening},
        {"type": "ping"},
    ]
    for index, block in enumerate(message["content"]):
        begun, deltas = _begin(block)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    used = {"output_tokens": message["usage"]["output_tokens"]}
    events.append({"type": "message_delta", "delta": stop, "usage": used})
    events.append({"type": "message_stop"})
    return events


def stream_answer_of_events(events: list[dict[str, Any]], **how: Any) -> Answer:
    """Events of Anthropic's dialect, each under its name."""
    frames = [
        f"event: {event['type']}\ndata: {orjson.dumps(event).decode()}\n\n" for event in events
    ]
    return stream_answer(frames, done=False, **how)


def _begin(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and its deltas."""
    if block["type"] == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces_of(block["thinking"])
        ]
        sealed = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, sealed]
    if block["type"] == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces_of(block["text"])]
        return {"type": "text", "text": "", "citations": None}, deltas
    pieces = ["", *cut_in_two(orjson.dumps(block["input"]).decode())]
    return {**block, "input": {}}, [
        {"type": "input_json_delta", "partial_json": piece} for piece in pieces
    ]


# Ollama's own


def ollama_answer(said: Said, model: str, *, streams: bool) -> Answer:
    """Lines of JSON, or one object."""
    calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in said.calls]
    final = {
        "done": True,
        "done_reason": "length" if said.finish == "length" else "stop",
        "prompt_eval_count": said.prompt_tokens,
        "eval_count": said.completion_tokens,
    }
    if not streams:
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        if said.thinking:
            message["thinking"] = said.thinking
        if calls:
            message["tool_calls"] = calls
        return json_answer({"model": model, "message": message, **final})
    messages: list[dict[str, Any]] = [
        *({"content": "", "thinking": piece} for piece in pieces_of(said.thinking)),
        *({"content": piece} for piece in pieces_of(said.text)),
        *({"content": "", "tool_calls": [call]} for call in calls),
    ]
    lines: list[dict[str, Any]] = [
        {"model": model, "message": {"role": "assistant", **message}, "done": False}
        for message in messages
    ]
    lines.append({"model": model, "message": {"role": "assistant", "content": ""}, **final})
    return Answer(
        [orjson.dumps(line) + b"\n" for line in lines],
        headers={"content-type": "application/x-ndjson"},
    )

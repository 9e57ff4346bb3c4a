"""Where the texts are in a client's request and in its answer, and how they are put back.

Copy on write: what holds no edited text stays the same object, up to the whole body. Never edited: thinking with its
signatures and redacted data, base64 data, tool definitions, ids, names and keys. In an answer only what is said is edited:
tool calls are for a program of the client, and a stream has them in pieces of JSON.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import msgspec
import orjson

from conversion.dialects import Dialect
from conversion.editing.edits import Say

Walk: TypeAlias = Callable[[Say, Any], Any]
"""(edit, value) -> the value with its texts edited; the same object when nothing changed."""

_write = msgspec.json.Encoder().encode


def edit_request_texts(dialect: Dialect, body: dict[str, Any], say: Say) -> dict[str, Any]:
    """The body with each text in it edited; the same object when none changed."""
    for name, walk in REQUESTS[dialect].items():
        body = _member(name, walk, say, body)
    return body


def edit_answer_texts(dialect: Dialect, body: dict[str, Any], say: Say) -> dict[str, Any]:
    """The whole answer with each text in it edited; the same object when none changed."""
    for name, walk in ANSWERS.get(dialect, {}).items():
        body = _member(name, walk, say, body)
    return body


def _member(name: str, walk: Walk, say: Say, holder: Any) -> Any:
    if not isinstance(holder, dict) or name not in holder:
        return holder
    old = holder[name]
    new = walk(say, old)
    return holder if new is old else {**holder, name: new}


def _each(walk: Walk, say: Say, values: Any) -> Any:
    if not isinstance(values, list):
        return values
    edited = [walk(say, value) for value in values]
    changed = any(new is not old for new, old in zip(edited, values, strict=True))
    return edited if changed else values


def _text(say: Say, value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return value
    edited = say(value)
    return value if edited == value else edited


def _texts(say: Say, value: Any) -> Any:
    """A text, or a list of some."""
    return _each(_text, say, value) if isinstance(value, list) else _text(say, value)


def _all_strings(say: Say, value: Any) -> Any:
    """Every string among the values of a JSON tree."""
    if isinstance(value, dict):
        edited = {name: _all_strings(say, old) for name, old in value.items()}
        changed = any(edited[name] is not old for name, old in value.items())
        return edited if changed else value
    return _each(_all_strings, say, value) if isinstance(value, list) else _text(say, value)


def _json_text(say: Say, value: Any) -> Any:
    """The strings in JSON that is itself a string; what is no JSON is a text like any other."""
    if not isinstance(value, str):
        return value
    try:
        tree = orjson.loads(value)
    except orjson.JSONDecodeError:
        return _text(say, value)
    edited = _all_strings(say, tree)
    return value if edited is tree else _write(edited).decode()


def _content(say: Say, content: Any) -> Any:
    """Anthropic: a text, or blocks."""
    return _each(_block, say, content) if isinstance(content, list) else _text(say, content)


def _block(say: Say, block: Any) -> Any:
    kind = block.get("type") if isinstance(block, dict) else None
    for name, walk in BLOCKS.get(kind, {}).items() if isinstance(kind, str) else ():
        block = _member(name, walk, say, block)
    return block


def _source(say: Say, source: Any) -> Any:
    """Anthropic: where a document is; its data are a text only where they are said to be."""
    kind = source.get("type") if isinstance(source, dict) else None
    if kind == "text":
        return _member("data", _text, say, source)
    return _member("content", _content, say, source) if kind == "content" else source


def _parts(say: Say, content: Any) -> Any:
    """OpenAI: a text, or parts, of which those that are text or a refusal hold one."""
    return _each(_part, say, content) if isinstance(content, list) else _text(say, content)


def _part(say: Say, part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    return _member(kind, _text, say, part) if kind in ("text", "refusal") else part


def _tool_call(say: Say, call: Any) -> Any:
    call = _member("function", partial(_member, "arguments", _json_text), say, call)
    return _member("custom", partial(_member, "input", _text), say, call)


def _turn(say: Say, message: Any) -> Any:
    for name, walk in CHAT_TURN.items():
        message = _member(name, walk, say, message)
    return message


def _said(say: Say, block: Any) -> Any:
    """Anthropic: a block of an answer, edited where it is text."""
    is_text = isinstance(block, dict) and block.get("type") == "text"
    return _member("text", _text, say, block) if is_text else block


def _choice(name: str, walk: Walk, say: Say, choice: Any) -> Any:
    """OpenAI: a choice; its log probabilities go when its text changed, for they repeat it token by token."""
    edited = _member(name, walk, say, choice)
    is_told_twice = edited is not choice and edited.get("logprobs") is not None
    return {**edited, "logprobs": None} if is_told_twice else edited


BLOCKS: Mapping[str, Mapping[str, Walk]] = {
    "text": {"text": _text},
    "tool_result": {"content": _content},
    "mcp_tool_result": {"content": _content},
    "search_result": {"content": _content},
    "tool_use": {"input": _all_strings},
    "server_tool_use": {"input": _all_strings},
    "mcp_tool_use": {"input": _all_strings},
    "document": {"context": _text, "source": _source},
}
"""Anthropic's blocks that hold texts of a conversation, and where (``anthropic`` 2.11.0, ``types/*_block_param.py``)."""

CHAT_TURN: Mapping[str, Walk] = {
    "content": _parts,
    "refusal": _text,
    "tool_calls": partial(_each, _tool_call),
    "function_call": partial(_member, "arguments", _json_text),
}
"""The members of OpenAI's messages that hold texts (``openai`` 2.54, ``chat_completion_message_param.py``)."""

REQUESTS: Mapping[Dialect, Mapping[str, Walk]] = {
    Dialect.ANTHROPIC_MESSAGES: {
        "system": _content,
        "messages": partial(_each, partial(_member, "content", _content)),
    },
    Dialect.OPENAI_CHAT: {
        "messages": partial(_each, _turn),
        "prediction": partial(_member, "content", _parts),
    },
    Dialect.OPENAI_COMPLETIONS: {"prompt": _texts, "suffix": _text},
    Dialect.OPENAI_EMBEDDINGS: {"input": _texts},
}
"""The members of each dialect's requests that hold texts. Prompts of token ids hold none."""

ANSWERS: Mapping[Dialect, Mapping[str, Walk]] = {
    Dialect.ANTHROPIC_MESSAGES: {"content": partial(_each, _said)},
    Dialect.OPENAI_CHAT: {
        "choices": partial(_each, partial(_choice, "message", partial(_member, "content", _parts)))
    },
    Dialect.OPENAI_COMPLETIONS: {"choices": partial(_each, partial(_choice, "text", _text))},
}
"""The same for answers; embeddings have no text."""

"""Reads a client's body just far enough to route it; the converters read the rest."""

from typing import Any

import msgspec
import orjson

from conversion.dialects import Dialect
from conversion.errors import RequestInvalid

CONTEXT_SUFFIX = "[1m]"
"""Claude Code marks a model with a long context window so; the mark is no part of the name."""
MODEL_CHARS_MAX = 256
MESSAGES_MAX = 100_000
"""Anthropic's own limit (anthropic 2.11.0, ``types/message_create_params.py``)."""
CONTAINERS_MAX = 2_000_000
"""Objects and lists in one body: each costs a hundred bytes and more once it is read, and the largest prompts have
some hundred thousands. Braces and brackets in texts count too, which is cheaper than to look where they stand."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LIMITS = ("max_completion_tokens", "max_tokens")
"""The members that say how long an answer may get, the one that counts where both are there first."""


class Call(msgspec.Struct, frozen=True):
    """One client request as far as routing needs it. ``body`` is decoded ``raw`` and is never edited.

    ``alias`` is the model name the client asked for, without Claude Code's context mark. ``max_output_tokens``
    is None where the client set no limit.
    """

    dialect: Dialect
    raw: bytes
    body: dict[str, Any]
    alias: str
    stream: bool
    max_output_tokens: int | None = None


def read_call(dialect: Dialect, raw: bytes) -> Call:
    """The call in ``raw``.

    Raises:
        RequestInvalid: not JSON, or a field that routing needs is missing or of the wrong type.
    """
    return _read(dialect, raw, is_count=False)


def read_count_call(raw: bytes) -> Call:
    """The call in the body of a ``count_tokens`` request: a Messages call that need not limit its answer.

    Raises:
        RequestInvalid: as :func:`read_call`.
    """
    return _read(Dialect.ANTHROPIC_MESSAGES, raw, is_count=True)


def _read(dialect: Dialect, raw: bytes, *, is_count: bool) -> Call:
    raw = raw.removeprefix(BYTE_ORDER_MARK)
    body = _read_object(raw)
    alias = _read_alias(body)
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise RequestInvalid("Input should be a valid boolean", path="stream")
    _check_content(dialect, body)
    return Call(
        dialect=dialect,
        raw=raw,
        body=body,
        alias=alias,
        stream=bool(stream) and dialect is not Dialect.OPENAI_EMBEDDINGS,
        max_output_tokens=None if is_count else _read_max_tokens(dialect, body),
    )


def _read_object(raw: bytes) -> dict[str, Any]:
    if len(raw) > CONTAINERS_MAX and raw.count(b"{") + raw.count(b"[") > CONTAINERS_MAX:
        raise RequestInvalid(
            f"the request body has more than {CONTAINERS_MAX} braces and brackets, which is more than is read"
        )
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        why = "it is not in UTF-8" if "not valid UTF-8" in error.msg else str(error)
        raise RequestInvalid(f"the request body is not valid JSON: {why}") from error
    if not isinstance(body, dict):
        raise RequestInvalid("the request body must be a JSON object")
    return body


def _read_alias(body: dict[str, Any]) -> str:
    name = body.get("model")
    if not isinstance(name, str) or not name.strip():
        raise RequestInvalid("Field required: the name of a model, as a string", path="model")
    if len(name) > MODEL_CHARS_MAX:
        raise RequestInvalid(
            f"String should have at most {MODEL_CHARS_MAX} characters", path="model"
        )
    alias = name.strip()
    if not alias.isprintable():
        raise RequestInvalid("String should have printable characters only", path="model")
    return alias.removesuffix(CONTEXT_SUFFIX)


def _check_content(dialect: Dialect, body: dict[str, Any]) -> None:
    """What is asked about must be there: messages, a prompt, or an input."""
    if dialect is Dialect.OPENAI_COMPLETIONS:
        if body.get("prompt") is None:
            raise RequestInvalid("Field required: the text to go on from", path="prompt")
    elif dialect is Dialect.OPENAI_EMBEDDINGS:
        if body.get("input") is None:
            raise RequestInvalid("Field required: a text, or a list of texts", path="input")
    elif not isinstance(body.get("messages"), list):
        raise RequestInvalid("Field required: a list of messages", path="messages")
    elif dialect is Dialect.ANTHROPIC_MESSAGES and len(body["messages"]) > MESSAGES_MAX:
        raise RequestInvalid(f"List should have at most {MESSAGES_MAX} items", path="messages")


def _read_max_tokens(dialect: Dialect, body: dict[str, Any]) -> int | None:
    names: tuple[str, ...] = LIMITS
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        if body.get("max_tokens") is None:
            raise RequestInvalid(
                "Field required: an integer, the most tokens to answer with", path="max_tokens"
            )
        names = ("max_tokens",)
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise RequestInvalid("Input should be a valid integer of 0 or more", path=name)
        return value
    return None

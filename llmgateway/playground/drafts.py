"""Writes a client's request from what was entered, in either dialect. Pure: values in, JSON out."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from conversion.dialects import Dialect

Role = Literal["user", "assistant"]
DIALECTS: Mapping[Dialect, str] = {
    Dialect.ANTHROPIC_MESSAGES: "Anthropic Messages",
    Dialect.OPENAI_CHAT: "OpenAI chat completions",
}
THINKING_BUDGETS: Mapping[str, int] = {"low": 1024, "medium": 4096, "high": 16384}
"""Tokens that Anthropic's dialect names where OpenAI's says how hard to think."""
TOOL_NAME = "get_weather"
_TOOL_WORDS = "The weather in a place now."
_TOOL_SCHEMA = {
    "type": "object",
    "properties": {"place": {"type": "string", "description": "A town, such as Bergen."}},
    "required": ["place"],
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that goes with the last message of the user."""

    media_type: str
    data: bytes

    @property
    def base64(self) -> str:
        """The data as it stands in JSON."""
        return base64.b64encode(self.data).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was entered. ``effort`` is empty where no thinking is asked for."""

    model: str
    turns: Sequence[Turn]
    max_tokens: int
    stream: bool = False
    system: str = ""
    temperature: float | None = None
    effort: str = ""
    has_tool: bool = False
    image: Image | None = None


def write_body(draft: Draft, dialect: Dialect) -> str:
    """The request as a client of the dialect sends it, spread over lines."""
    body = _WRITERS[dialect](draft)
    return orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()


def _anthropic(draft: Draft) -> dict[str, Any]:
    body: dict[str, Any] = {"model": draft.model, "max_tokens": draft.max_tokens}
    if draft.system:
        body["system"] = draft.system
    body["messages"] = _messages(draft, _anthropic_picture)
    if draft.effort:
        body["thinking"] = {"type": "enabled", "budget_tokens": THINKING_BUDGETS[draft.effort]}
    if draft.has_tool:
        body["tools"] = [
            {"name": TOOL_NAME, "description": _TOOL_WORDS, "input_schema": _TOOL_SCHEMA}
        ]
    return body | _shared(draft)


def _anthropic_picture(image: Image) -> dict[str, Any]:
    source = {"type": "base64", "media_type": image.media_type, "data": image.base64}
    return {"type": "image", "source": source}


def _openai(draft: Draft) -> dict[str, Any]:
    body: dict[str, Any] = {"model": draft.model, "max_completion_tokens": draft.max_tokens}
    system = [{"role": "system", "content": draft.system}] if draft.system else []
    body["messages"] = [*system, *_messages(draft, _openai_picture)]
    if draft.effort:
        body["reasoning_effort"] = draft.effort
    if draft.has_tool:
        function = {"name": TOOL_NAME, "description": _TOOL_WORDS, "parameters": _TOOL_SCHEMA}
        body["tools"] = [{"type": "function", "function": function}]
    return body | _shared(draft)


def _openai_picture(image: Image) -> dict[str, Any]:
    url = f"data:{image.media_type};base64,{image.base64}"
    return {"type": "image_url", "image_url": {"url": url}}


_WRITERS: Mapping[Dialect, Callable[[Draft], dict[str, Any]]] = {
    Dialect.ANTHROPIC_MESSAGES: _anthropic,
    Dialect.OPENAI_CHAT: _openai,
}


def _messages(draft: Draft, write: Callable[[Image], dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns, the picture with the user's last one."""
    messages: list[dict[str, Any]] = [
        {"role": turn.role, "content": turn.text} for turn in draft.turns
    ]
    last = next((each for each in reversed(messages) if each["role"] == "user"), None)
    if draft.image and last is not None:
        text = [{"type": "text", "text": last["content"]}] if last["content"] else []
        last["content"] = [write(draft.image), *text]
    return messages


def _shared(draft: Draft) -> dict[str, Any]:
    """What both dialects spell alike."""
    body: dict[str, Any] = {}
    if draft.temperature is not None:
        body["temperature"] = draft.temperature
    if draft.stream:
        body["stream"] = True
    return body

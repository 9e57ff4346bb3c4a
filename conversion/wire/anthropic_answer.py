"""Anthropic messages and stream events, as the gateway writes them.

Source: the types of ``anthropic`` 2.11.0 (``types/message.py``, ``usage.py``, ``raw_message_stream_event.py``), and for the
order of events Anthropic's page on streaming, read August 2026.
"""

from typing import Any, Literal, TypedDict


class CacheCreation(TypedDict):
    """Tokens written to the cache, by lifetime (``types/cache_creation.py``)."""

    ephemeral_5m_input_tokens: int
    ephemeral_1h_input_tokens: int


class OutputDetails(TypedDict):
    """What output tokens were spent on (``types/output_tokens_details.py``)."""

    thinking_tokens: int


class DeltaUsage(TypedDict, total=False):
    """Usage of a ``message_delta``: cumulative (``types/message_delta_usage.py``)."""

    input_tokens: int  # neither read from nor written to the cache
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int  # thinking included
    output_tokens_details: OutputDetails | None


class MessageUsage(DeltaUsage, total=False):
    """Usage of a message (``types/usage.py``)."""

    cache_creation: CacheCreation
    server_tool_use: None
    service_tier: Literal["standard"]
    inference_geo: None


class StopDetails(TypedDict):
    """Why an answer was refused (``types/refusal_stop_details.py``)."""

    type: Literal["refusal"]
    category: None
    explanation: None


class Stop(TypedDict):
    """The stop members of a message and of a ``message_delta``; null in ``message_start``."""

    stop_reason: str | None
    stop_sequence: str | None
    stop_details: StopDetails | None


class TextBlock(TypedDict):
    """``types/text_block.py``."""

    type: Literal["text"]
    text: str
    citations: None


class ThinkingBlock(TypedDict):
    """``types/thinking_block.py``; the signature is the gateway's own, see ``conversion.reasoning``."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinkingBlock(TypedDict):
    """``types/redacted_thinking_block.py``; the data is the gateway's own, see ``conversion.reasoning``."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(TypedDict):
    """``types/tool_use_block.py``."""

    type: Literal["tool_use"]
    id: str  # ^[a-zA-Z0-9_-]+$
    name: str
    input: dict[str, Any]


Block = TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock


class Message(Stop):
    """``types/message.py``."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Block]
    usage: MessageUsage


class MessageStart(TypedDict):
    """The first event (rule S1)."""

    type: Literal["message_start"]
    message: Message


class MessageDelta(TypedDict):
    """The event before the last (rule S4)."""

    type: Literal["message_delta"]
    delta: Stop
    usage: DeltaUsage

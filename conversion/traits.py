"""What a target can take, as flat values: the tables that request conversion consults, one for each upstream dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

ReasoningStyle = Literal["openrouter", "effort", "none"]
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]


@dataclass(frozen=True, slots=True)
class ChatTraits:
    """The quirks of one deployment. A provider kind fills in its own; a deployment's row may override them.

    ``max_output_tokens`` clamps what the client asks for; None leaves it alone. ``stop_sequences_max`` is the
    number of stop sequences taken. ``reasoning`` says how thinking is asked for: OpenRouter's ``reasoning``
    object, ``reasoning_effort``, or not at all. ``efforts`` are the levels it knows, weakest first.
    ``reasoning_replay`` says how earlier thinking goes back: as ``reasoning_details``, as ``reasoning_content``,
    or not at all. ``parameters`` are overrides merged into the body last.
    """

    model: str
    max_tokens_field: MaxTokensField = "max_tokens"
    max_output_tokens: int | None = None
    stop_sequences_max: int = 4
    reasoning: ReasoningStyle = "none"
    efforts: tuple[str, ...] = ("low", "medium", "high")
    reasoning_replay: Literal["details", "content", "none"] = "none"
    sampling: bool = True
    cache_control: bool = False
    top_k: bool = False
    images: bool = True
    pdf_files: bool = False
    parallel_tool_calls: bool = True
    web_search_plugin: bool = False
    strict_tools: bool = True
    tool_name_chars_max: int = 64
    tool_id_chars_max: int = 40
    user_field: Literal["user", "safety_identifier", "none"] = "none"
    stream_usage_option: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MessagesTraits:
    """The quirks of one deployment that speaks Anthropic's Messages.

    ``max_output_tokens`` clamps what the client asks for, and is what is asked for where the client says nothing;
    ``max_tokens_default`` stands in where it is None, because the dialect demands a figure. ``thinking`` says how
    thinking is asked for: by effort with adaptive thinking, by a budget of tokens, or not at all; ``efforts`` are
    the levels that are known, weakest first. ``sampling`` is off for models that refuse temperature and its like.
    ``system_turns`` where a system message may stand in the middle of a conversation. ``parameters`` are
    overrides merged into the body last.
    """

    model: str
    max_output_tokens: int | None = None
    max_tokens_default: int = 8192
    thinking: Literal["adaptive", "enabled", "none"] = "enabled"
    efforts: tuple[str, ...] = ("low", "medium", "high")
    sampling: bool = True
    system_turns: bool = False
    structured_output: bool = True
    images: bool = True
    pdf_files: bool = True
    strict_tools: bool = True
    user_field: Literal["user_id", "none"] = "user_id"
    parameters: Mapping[str, Any] = field(default_factory=dict)


Traits: TypeAlias = ChatTraits | MessagesTraits

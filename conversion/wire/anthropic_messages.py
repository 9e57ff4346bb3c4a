"""Anthropic Messages requests, as clients send them. Nothing here is trusted: the readers check each value they use.

Sources: the types of ``anthropic`` 2.11.0 (``types/message_create_params.py`` and the file named at each class; "beta" is
``types/beta``), read November 2026. "CC" is seen in recorded requests of Claude Code 2.1.329 (``tests/fixtures/claude-code``)
and stands in no type. Where a class names one file, all its fields are from there.
"""

from typing import Any, Literal, NotRequired, Required, TypedDict


class CacheControl(TypedDict):
    """``types/cache_control_ephemeral_param.py``."""

    type: Literal["ephemeral"]
    ttl: NotRequired[Literal["5m", "1h"]]


class Source(TypedDict, total=False):
    """Where an image or a document is (``types/*_source_param.py``)."""

    type: Required[str]  # base64, url, file; documents also text, content
    media_type: str  # base64, text
    data: str  # base64, text
    url: str  # url
    file_id: str  # file
    content: "str | list[Block]"  # content: text and image blocks


class Citations(TypedDict, total=False):
    """``types/citations_config_param.py``."""

    enabled: bool


class Block(TypedDict, total=False):
    """One content block of any kind (``types/content_block_param.py``); the kinds that have a field stand beside it."""

    type: Required[str]
    cache_control: CacheControl | None  # all but thinking and redacted_thinking
    text: str  # text
    citations: Citations | list[Any] | None  # document, search_result; text: a list
    source: Source | str  # image, document; search_result: a string
    transformations: Any  # image
    title: str | None  # document, search_result
    context: str | None  # document
    content: "str | list[Block]"  # tool_result, search_result
    thinking: str  # thinking
    signature: str  # thinking
    data: str  # redacted_thinking
    id: str  # tool_use
    name: str  # tool_use
    input: dict[str, Any]  # tool_use
    caller: Any  # tool_use
    toolset_name: str | None  # tool_use, tool_result
    tool_use_id: str  # tool_result
    is_error: bool  # tool_result
    tool_name: str  # tool_reference
    tool: Any  # tool_addition, tool_removal (beta_request_tool_addition_block_param.py)


class OutputFormat(TypedDict):
    """``types/json_output_format_param.py``."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(TypedDict, total=False):
    """``types/output_config_param.py``."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None
    format: OutputFormat | None
    task_budget: Any  # beta_output_config_param.py


class Turn(TypedDict, total=False):
    """``types/message_param.py``."""

    role: Required[Literal["user", "assistant", "system"]]
    content: str | list[Block]  # beta: a system turn may have output_config instead
    clear_at: Literal["next_user_message", "never"] | None  # beta_system_message_param.py
    output_config: OutputConfig | None  # beta_system_message_param.py


class Tool(TypedDict, total=False):
    """A client's tool (``types/tool_param.py``) or one of Anthropic's (``types/tool_union_param.py``)."""

    name: str  # all but mcp_toolset
    type: str | None  # absent, null or custom for a client's own
    description: str
    input_schema: dict[str, Any]
    strict: bool
    cache_control: CacheControl | None
    defer_loading: bool
    eager_input_streaming: bool | None
    input_examples: list[dict[str, Any]]
    allowed_callers: list[str]
    max_uses: int | None  # web_search (web_search_tool_20250305_param.py)
    allowed_domains: list[str] | None  # web_search
    blocked_domains: list[str] | None  # web_search
    user_location: Any  # web_search


class ToolChoice(TypedDict, total=False):
    """``types/tool_choice_*_param.py``."""

    type: Required[Literal["auto", "any", "tool", "none"]]
    name: str  # tool
    disable_parallel_tool_use: bool  # all but none


class Thinking(TypedDict, total=False):
    """``types/thinking_config_*_param.py``."""

    type: Required[str]  # enabled, disabled, adaptive, between_tools
    budget_tokens: int  # enabled
    display: str | None  # enabled, adaptive: summarized, omitted; CC: updates


class Metadata(TypedDict, total=False):
    """``types/metadata_param.py``."""

    user_id: str | None  # CC: 150 characters and more


class MessagesRequest(TypedDict, total=False):
    """``types/message_create_params.py``. The list is open: clients add to it with each release."""

    model: Required[str]
    messages: Required[list[Turn]]
    max_tokens: Required[int]  # 0 warms the prompt cache
    system: str | list[Block]  # text blocks
    stream: bool
    stop_sequences: list[str]
    temperature: float  # no longer in the types of 2.11.0; clients send it all the same
    top_p: float  # as temperature
    top_k: int  # as temperature
    thinking: Thinking
    output_config: OutputConfig
    output_format: (
        OutputFormat | None
    )  # the older spelling of output_config.format, no longer in the types; still accepted
    tools: list[Tool]
    tool_choice: ToolChoice
    metadata: Metadata
    cache_control: CacheControl | None
    service_tier: Literal["auto", "standard_only"]
    container: Any
    inference_geo: str | None
    diagnostics: Any
    speed: Literal["standard", "fast"] | None
    user_profile_id: str
    workspace_id: str
    context_management: Any  # beta/message_create_params.py
    mcp_servers: list[Any]  # beta/message_create_params.py

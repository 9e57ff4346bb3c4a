"""OpenAI chat completions requests, as the gateway writes them.

Sources: "OAI" the types of ``openai`` 2.54 (``types/chat/completion_create_params.py`` and the file named at each class), read
November 2026; "OR" OpenRouter's pages on parameters, reasoning tokens, prompt caching, plugins and PDF inputs, read August
2026; others by name. Where a class names one file, fields without a mark are from there.
"""

from typing import Any, Literal, NotRequired, Required, TypedDict


class CacheControl(TypedDict):
    """OR: on text parts, tools and the top level, for Anthropic's and Google's models."""

    type: Literal["ephemeral"]
    ttl: NotRequired[Literal["5m", "1h"]]


class ImageUrl(TypedDict):
    """OAI, ``chat_completion_content_part_image_param.py``."""

    url: str  # also a data URL


class File(TypedDict):
    """OAI, ``chat_completion_content_part_param.py``."""

    filename: str
    file_data: str  # a data URL; OR: also a URL


class Part(TypedDict, total=False):
    """OAI, ``chat_completion_content_part_param.py``; the kinds that have a field stand beside it."""

    type: Required[Literal["text", "image_url", "file"]]
    text: str  # text
    image_url: ImageUrl  # image_url
    file: File  # file
    cache_control: CacheControl  # OR


class Function(TypedDict):
    """OAI, ``chat_completion_message_function_tool_call_param.py``."""

    name: str
    arguments: str  # JSON text


class ToolCall(TypedDict):
    """OAI, ``chat_completion_message_function_tool_call_param.py``."""

    id: str
    type: Literal["function"]
    function: Function
    extra_content: NotRequired[
        Any
    ]  # Gemini's OpenAI dialect: {"google": {"thought_signature": ...}}


class Message(TypedDict, total=False):
    """OAI, ``chat_completion_message_param.py``; the roles that have a field stand beside it."""

    role: Required[Literal["system", "user", "assistant", "tool"]]
    content: Required[
        str | list[Part] | None
    ]  # null for an assistant with calls only; tool: text only
    tool_calls: list[ToolCall]  # assistant
    tool_call_id: str  # tool
    reasoning_details: list[dict[str, Any]]  # OR, assistant: unmodified, in order
    reasoning_content: str  # DeepSeek and its like, assistant


class FunctionDefinition(TypedDict):
    """OAI, ``types/shared_params/function_definition.py``."""

    name: str  # ^[a-zA-Z0-9_-]{1,64}$
    description: NotRequired[str]
    parameters: dict[str, Any]  # with type and properties
    strict: NotRequired[bool]


class FunctionTool(TypedDict):
    """OAI, ``chat_completion_function_tool_param.py``."""

    type: Literal["function"]
    function: FunctionDefinition
    cache_control: NotRequired[CacheControl]  # OR


class FunctionName(TypedDict):
    """OAI, ``chat_completion_named_tool_choice_param.py``."""

    name: str


class NamedToolChoice(TypedDict):
    """OAI, ``chat_completion_named_tool_choice_param.py``."""

    type: Literal["function"]
    function: FunctionName


class Reasoning(TypedDict, total=False):
    """OR: one of the three."""

    effort: str  # max, xhigh, high, medium, low, minimal, none
    max_tokens: int
    enabled: bool


class JsonSchema(TypedDict):
    """OAI, ``types/shared_params/response_format_json_schema.py``."""

    name: str
    schema: dict[str, Any]
    strict: bool


class ResponseFormat(TypedDict):
    """OAI, ``types/shared_params/response_format_json_schema.py``."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class WebPlugin(TypedDict, total=False):
    """OR's web search: its SDK reference, WebSearchPlugin, read November 2026."""

    id: Required[Literal["web"]]
    max_uses: int
    include_domains: list[str]
    exclude_domains: list[str]
    user_location: Any


class StreamOptions(TypedDict):
    """OAI, ``chat_completion_stream_options_param.py``."""

    include_usage: bool  # without effect at OR, which always tells


class ChatRequest(TypedDict, total=False):
    """OAI, ``completion_create_params.py``, and what a deployment's ``parameters`` add to it."""

    model: Required[str]
    messages: Required[list[Message]]
    max_tokens: int  # refused by OpenAI's reasoning models
    max_completion_tokens: int  # unknown to Ollama
    stop: list[str]  # at most 4
    temperature: float
    top_p: float
    top_k: int  # OR, vLLM
    tools: list[FunctionTool]
    tool_choice: Literal["auto", "required", "none"] | NamedToolChoice
    parallel_tool_calls: bool
    plugins: list[WebPlugin]  # OR
    reasoning: Reasoning  # OR
    reasoning_effort: str
    verbosity: str  # OR: Claude's effort
    response_format: ResponseFormat
    user: str  # OR; deprecated at OAI
    safety_identifier: str
    cache_control: CacheControl  # OR
    stream: bool
    stream_options: StreamOptions

"""OpenAI chat completions requests, as clients send them. Nothing here is trusted: the readers check each value they use.

Sources: "OAI" the types of ``openai`` 2.54 (``types/chat/completion_create_params.py`` and the file named at each class), read
November 2026; "OR" OpenRouter's pages on parameters, reasoning tokens, prompt caching and PDF inputs, read August 2026;
others by name. Where a class names one file, fields without a mark are from there.
"""

from typing import Any, Literal, NotRequired, Required, TypedDict


class CacheControl(TypedDict):
    """OR, LiteLLM: on parts, messages, tools and the top level."""

    type: Literal["ephemeral"]
    ttl: NotRequired[Literal["5m", "1h"]]


class ImageUrl(TypedDict, total=False):
    """OAI, ``chat_completion_content_part_image_param.py``."""

    url: Required[str]  # also a data URL
    detail: str  # auto, low, high


class File(TypedDict, total=False):
    """OAI, ``chat_completion_content_part_param.py``."""

    file_data: str  # base64, or a data URL; OR: also a URL
    file_id: str
    filename: str


class Part(TypedDict, total=False):
    """OAI, ``chat_completion_content_part_param.py``; the kinds that have a field stand beside it."""

    type: Required[str]
    text: str  # text
    refusal: str  # refusal, of an assistant
    image_url: ImageUrl | str  # image_url; the short form is accepted by many servers
    file: File  # file
    cache_control: CacheControl | None  # OR


class ReasoningDetail(TypedDict, total=False):
    """OR: unmodified, in order; whole, or in the pieces of a stream."""

    type: Required[Literal["reasoning.text", "reasoning.encrypted", "reasoning.summary"]]
    text: str | None  # reasoning.text
    signature: str | None  # reasoning.text
    data: str  # reasoning.encrypted
    format: str | None  # anthropic-claude-v1 where Anthropic made it
    index: int | None


class Function(TypedDict, total=False):
    """OAI, ``chat_completion_message_function_tool_call_param.py``."""

    name: Required[str]
    arguments: str | dict[str, Any]  # JSON text; Ollama's clients send the object


class ToolCall(TypedDict, total=False):
    """OAI, ``chat_completion_message_function_tool_call_param.py``."""

    id: Required[str]
    type: str  # function, custom
    function: Function
    cache_control: CacheControl | None  # LiteLLM


class Message(TypedDict, total=False):
    """OAI, ``chat_completion_message_param.py``; the roles that have a field stand beside it."""

    role: Required[Literal["system", "developer", "user", "assistant", "tool", "function"]]
    content: str | list[Part] | None
    name: str  # function: whose result it is
    refusal: str | None  # assistant
    audio: Any  # assistant: an answer that was spoken
    tool_calls: list[ToolCall] | None  # assistant
    function_call: Function | None  # assistant, deprecated
    tool_call_id: str  # tool
    reasoning_details: list[ReasoningDetail] | None  # OR, assistant
    reasoning: str | None  # OR, assistant
    reasoning_content: str | None  # DeepSeek, assistant
    cache_control: CacheControl | None  # LiteLLM


class FunctionDefinition(TypedDict, total=False):
    """OAI, ``types/shared_params/function_definition.py``."""

    name: Required[str]
    description: str
    parameters: dict[str, Any] | None
    strict: bool | None
    cache_control: CacheControl | None  # LiteLLM


class Tool(TypedDict, total=False):
    """OAI, ``chat_completion_tool_union_param.py``."""

    type: Required[str]  # function, custom
    function: FunctionDefinition
    cache_control: CacheControl | None  # OR


class FunctionName(TypedDict):
    """OAI, ``chat_completion_named_tool_choice_param.py``."""

    name: str


class AllowedTools(TypedDict, total=False):
    """OAI, ``chat_completion_allowed_tools_param.py``."""

    mode: Literal["auto", "required"]
    tools: list["ToolChoice"]


class ToolChoice(TypedDict, total=False):
    """OAI, ``chat_completion_tool_choice_option_param.py``."""

    type: Required[str]  # function, allowed_tools, custom
    function: FunctionName
    allowed_tools: AllowedTools


class JsonSchema(TypedDict, total=False):
    """OAI, ``types/shared_params/response_format_json_schema.py``."""

    name: Required[str]
    description: str
    schema: dict[str, Any]
    strict: bool | None


class ResponseFormat(TypedDict, total=False):
    """OAI, ``types/shared_params/response_format_*.py``."""

    type: Required[str]  # text, json_object, json_schema
    json_schema: JsonSchema


class Reasoning(TypedDict, total=False):
    """OR."""

    effort: str | None  # max, xhigh, high, medium, low, minimal, none
    max_tokens: int | None
    enabled: bool
    exclude: bool  # think, but do not tell


class StreamOptions(TypedDict, total=False):
    """OAI, ``chat_completion_stream_options_param.py``."""

    include_usage: bool


class ClientChatRequest(TypedDict, total=False):
    """OAI, ``completion_create_params.py``."""

    model: Required[str]
    messages: Required[list[Message]]
    max_completion_tokens: int | None
    max_tokens: int | None  # deprecated
    stop: str | list[str] | None
    temperature: float | None  # up to 2
    top_p: float | None
    top_k: int | None  # OR
    n: int | None
    logprobs: bool | None
    top_logprobs: int | None
    audio: Any
    modalities: list[str] | None
    tools: list[Tool]
    tool_choice: str | ToolChoice
    parallel_tool_calls: bool
    functions: list[FunctionDefinition]  # deprecated
    function_call: str | FunctionName  # deprecated
    response_format: ResponseFormat
    reasoning_effort: str | None
    reasoning: Reasoning | None  # OR
    user: str  # deprecated
    safety_identifier: str
    prompt_cache_key: str
    cache_control: CacheControl | None  # OR
    stream: bool | None
    stream_options: StreamOptions | None

"""OpenAI chat completions and their chunks, as upstreams send them. Every key may be missing, whatever a page says.

Sources, all read August 2026: "OAI" the ``openai`` 2.54 types, ``types/chat``; "OR" OpenRouter's pages on streaming, usage
accounting, reasoning tokens and errors; others by name. Nothing here is trusted: the readers check each value they use.
"""

from typing import Any, TypedDict


class ReasoningDetail(TypedDict, total=False):
    """One entry of ``reasoning_details`` (OR). In streams, pieces of one index are to be joined in order."""

    type: str  # reasoning.text, reasoning.summary, reasoning.encrypted, reasoning.server_tool_call
    id: str | None
    format: str | None  # such as anthropic-claude-v1, openai-responses-v1
    index: int | None
    text: str | None  # reasoning.text
    signature: str | None  # reasoning.text
    summary: str  # reasoning.summary
    data: str  # reasoning.encrypted


class Function(TypedDict, total=False):
    """The function of a tool call (OAI)."""

    name: str | None  # in the first piece only; some servers repeat it
    arguments: str  # JSON text; Ollama has sent an object


class ToolCallPiece(TypedDict, total=False):
    """One entry of ``tool_calls``, whole in a message and a piece in a delta (OAI)."""

    index: int  # deltas only; missing at some servers
    id: str | None  # in the first piece only; Alibaba repeats it as ""
    type: str
    function: Function
    extra_content: Any  # Gemini: {"google": {"thought_signature": ...}}, to be sent back


class ChatMessage(TypedDict, total=False):
    """``message`` of a choice, and ``delta`` of a chunk's choice."""

    role: str
    content: str | list[Any] | None  # parts at Mistral
    refusal: str | None  # OAI
    tool_calls: list[ToolCallPiece] | None  # OAI
    function_call: Function | None  # OAI, deprecated
    reasoning: str | None  # OR, Ollama
    reasoning_content: str | None  # DeepSeek, xAI, LiteLLM
    reasoning_details: list[ReasoningDetail] | None  # OR
    annotations: list[Any]  # OAI, OR: url_citation
    images: list[Any]  # OR
    audio: Any  # OAI


class ChatChoice(TypedDict, total=False):
    """One choice."""

    index: int
    message: ChatMessage
    delta: ChatMessage
    finish_reason: (
        str | None
    )  # OAI: stop, length, tool_calls, content_filter, function_call; OR: error
    native_finish_reason: str | None  # OR: the provider's own word
    stop_reason: str | int | None  # vLLM: the stop sequence that was hit
    matched_stop: str | int | None  # SGLang: the same
    error: Any  # OR: the answer failed after it began


class PromptDetails(TypedDict, total=False):
    """``prompt_tokens_details``."""

    cached_tokens: int | None  # OAI
    cache_write_tokens: int | None  # OR
    cache_creation_tokens: int | None  # LiteLLM


class CompletionDetails(TypedDict, total=False):
    """``completion_tokens_details``."""

    reasoning_tokens: int | None  # OAI


class ChatUsage(TypedDict, total=False):
    """``usage``. Prompt includes what was cached, completion includes reasoning, except at xAI."""

    prompt_tokens: int  # OAI
    completion_tokens: int  # OAI
    total_tokens: int  # OAI
    prompt_tokens_details: PromptDetails | None  # OAI
    completion_tokens_details: CompletionDetails | None  # OAI
    prompt_cache_hit_tokens: int  # DeepSeek
    cost: float  # OR: USD
    is_byok: bool  # OR: then cost is the fee alone
    cost_details: Any  # OR: upstream_inference_cost


class ChatAnswer(TypedDict, total=False):
    """A whole answer, or one chunk of a stream."""

    id: str  # OAI; "" in Azure's first chunk
    object: str  # OAI; "error" at vLLM
    model: str  # OAI
    provider: str  # OR
    choices: list[ChatChoice]  # OAI; empty beside the usage of a stream
    usage: ChatUsage | None  # OAI
    x_groq: Any  # Groq: a second place for usage
    error: Any  # OR: an error in the clothes of a success

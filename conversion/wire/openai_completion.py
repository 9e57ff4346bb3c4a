"""OpenAI chat completions and their chunks, as the gateway writes them.

Sources: "OAI" the types of ``openai`` 2.54 (``types/chat/chat_completion.py``, ``chat_completion_chunk.py``,
``types/completion_usage.py``), read November 2026; "OR" OpenRouter's pages on reasoning tokens, web search and usage
accounting, read August 2026; "DS" DeepSeek's page on its reasoning model, read August 2026.
"""

from typing import Literal, NotRequired, TypedDict


class PromptDetails(TypedDict):
    """What is inside ``prompt_tokens``."""

    cached_tokens: int  # OAI
    cache_write_tokens: int  # OR


class CompletionDetails(TypedDict):
    """What is inside ``completion_tokens``."""

    reasoning_tokens: int  # OAI


class CompletionUsage(TypedDict):
    """OAI."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: NotRequired[CompletionDetails]  # only where the upstream tells


class UrlCitation(TypedDict):
    """OAI: a page, and which part of the content it stands behind, in characters."""

    url: str
    title: str
    start_index: int
    end_index: int


class Annotation(TypedDict):
    """OAI. The index is not; without it the SDK cannot put a second piece of a list behind the first."""

    index: NotRequired[int]  # in a delta only
    type: Literal["url_citation"]
    url_citation: UrlCitation


class ReasoningDetail(TypedDict, total=False):
    """OR. In a stream, pieces of one index follow one another; the signature is an entry of its own."""

    type: Literal["reasoning.text", "reasoning.encrypted"]
    text: str  # reasoning.text
    signature: str  # reasoning.text
    data: str  # reasoning.encrypted
    format: Literal["anthropic-claude-v1"]
    index: int


class FunctionPiece(TypedDict, total=False):
    """OAI: whole in a message; in a delta the name comes first, then pieces of the arguments."""

    name: str
    arguments: str


class ToolCallPiece(TypedDict, total=False):
    """OAI: ``index`` in a delta only; ``id`` and ``type`` in a message and in the first delta of a call."""

    index: int
    id: str
    type: Literal["function"]
    function: FunctionPiece


class Delta(TypedDict, total=False):
    """One piece of the answer (OAI, but for the reasoning)."""

    role: Literal["assistant"]
    content: str
    refusal: str
    tool_calls: list[ToolCallPiece]
    function_call: FunctionPiece  # deprecated, for clients that send functions
    annotations: list[Annotation]  # OR: in a stream too
    reasoning: str  # OR
    reasoning_content: str  # DS
    reasoning_details: list[ReasoningDetail]  # OR


class Message(TypedDict):
    """The whole answer (OAI, but for the reasoning)."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: NotRequired[list[ToolCallPiece]]
    function_call: NotRequired[FunctionPiece]
    annotations: NotRequired[list[Annotation]]
    reasoning: NotRequired[str]
    reasoning_content: NotRequired[str]
    reasoning_details: NotRequired[list[ReasoningDetail]]


class Choice(TypedDict):
    """OAI: the only one."""

    index: Literal[0]
    message: Message
    logprobs: None
    finish_reason: str


class ChunkChoice(TypedDict):
    """OAI: the only one."""

    index: Literal[0]
    delta: Delta
    logprobs: None
    finish_reason: str | None


class Completion(TypedDict):
    """A whole answer (OAI)."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage
    system_fingerprint: None
    service_tier: NotRequired[str]


class Chunk(TypedDict):
    """One event of a stream (OAI)."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: None
    service_tier: NotRequired[str]
    choices: list[ChunkChoice]
    usage: NotRequired[CompletionUsage | None]  # only where the client asked for it

"""Reads an OpenAI upstream's usage and writes it as Anthropic's.

The two count differently: OpenAI's ``prompt_tokens`` include what was read from and written to a cache, Anthropic's
``input_tokens`` include neither (anthropic 2.11.0, ``types/usage.py``).
"""

from decimal import Decimal
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec.structs import replace

from conversion.usage import COUNT_MAX, Usage, is_amount
from conversion.wire.anthropic_answer import DeltaUsage, MessageUsage

_CHARS_PER_TOKEN = 4


_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)] | None


class _Money(msgspec.Struct):
    upstream_inference_cost: Decimal | None = None


class _Costs(msgspec.Struct):
    cost: Decimal | None = None
    is_byok: bool | None = None
    cost_details: _Money | None = None


class _Priced(msgspec.Struct):
    usage: _Costs | None = None


class _Lifetimes(msgspec.Struct):
    ephemeral_1h_input_tokens: _Count = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count = None
    cache_write_tokens: _Count = None
    cache_creation_tokens: _Count = None
    cache_creation_token_details: _Lifetimes | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count = None


class _Told(_Costs):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cache_read_input_tokens: _Count = None
    prompt_cache_hit_tokens: _Count = None
    cache_creation_input_tokens: _Count = None


class _Counted(msgspec.Struct):
    usage: _Told | None = None


_decode = msgspec.json.Decoder(_Counted).decode
_NO_PROMPT_DETAILS, _NO_COMPLETION_DETAILS = _PromptDetails(), _CompletionDetails()


def read_usage(answer: dict[str, Any], raw: bytes) -> Usage | None:
    """The usage in an answer or a chunk; None when there is none, or one without tokens and cost.

    ``raw`` is the JSON that ``answer`` was decoded from: money is read from it once more, digit by digit, because
    decoding went through a float.
    """
    try:
        told = _decode(raw).usage
    except (ValueError, RecursionError):
        told = None  # one of the figures is none, or something beside them is nested more deeply than is read
    if told is not None and told.prompt_tokens is not None and told.completion_tokens is not None:
        return _usage_of(told)
    return _read_leniently(answer, raw)


def _usage_of(told: _Told) -> Usage:
    """A usage in which all is as it should be, as nearly every one is: the same as reading it leniently, in a third of the time."""
    prompt = told.prompt_tokens_details or _NO_PROMPT_DETAILS
    reasoning = (told.completion_tokens_details or _NO_COMPLETION_DETAILS).reasoning_tokens
    completion = told.completion_tokens
    if reasoning:
        completion = _whole_completion(told.total_tokens, told.prompt_tokens, completion, reasoning)
    read, written = prompt.cached_tokens, prompt.cache_write_tokens
    if read is None:
        read = told.cache_read_input_tokens
        read = told.prompt_cache_hit_tokens if read is None else read
    if written is None:
        written = prompt.cache_creation_tokens
        written = told.cache_creation_input_tokens if written is None else written
    lifetimes = prompt.cache_creation_token_details
    return Usage(
        prompt_tokens=told.prompt_tokens,
        completion_tokens=completion,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=lifetimes.ephemeral_1h_input_tokens if lifetimes else None,
        reasoning_tokens=reasoning,
        cost_usd=None if told.cost is None else _whole_cost(told),
    )


def _read_leniently(answer: dict[str, Any], raw: bytes) -> Usage | None:
    """As ``read_usage``: each figure by itself, so that one that is wrong spoils no other."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        # Groq reports there, and in ``usage`` only since 2024 (cases/anthropic_over_openai/usage_of_groq).
        usage = _object(answer.get("x_groq")).get("usage")
        if not isinstance(usage, dict):
            return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None and completion is None and "cost" not in usage:
        return None
    prompt_details = _object(usage.get("prompt_tokens_details"))
    reasoning = _count(_object(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=_whole_completion(
            _count(usage.get("total_tokens")), prompt, completion, reasoning
        ),
        cache_read_tokens=_first(
            prompt_details.get("cached_tokens"),
            usage.get("cache_read_input_tokens"),  # LiteLLM
            usage.get("prompt_cache_hit_tokens"),  # DeepSeek
        ),
        cache_write_tokens=_first(
            prompt_details.get("cache_write_tokens"),  # OpenRouter
            prompt_details.get("cache_creation_tokens"),  # LiteLLM
            usage.get("cache_creation_input_tokens"),  # LiteLLM
        ),
        cache_write_1h_tokens=_count(
            _object(prompt_details.get("cache_creation_token_details")).get(
                "ephemeral_1h_input_tokens"
            )  # LiteLLM
        ),
        reasoning_tokens=reasoning,
        cost_usd=_read_cost(raw) if "cost" in usage else None,
    )


def _whole_completion(
    total: int | None, prompt: int | None, completion: int | None, reasoning: int | None
) -> int | None:
    """Completion tokens with the reasoning inside.

    xAI leaves reasoning out of ``completion_tokens``, which only its total shows: 307 + 26 + 227 = 560 in the
    recording xai-tool-call.
    """
    if prompt is None or completion is None or not reasoning:
        return completion
    return completion + reasoning if total == prompt + completion + reasoning else completion


def _read_cost(raw: bytes) -> Decimal | None:
    """OpenRouter's ``cost`` in USD, exact as it was written.

    With a key of one's own at the provider (``is_byok``) the cost is OpenRouter's fee alone, and what the provider
    takes is beside it (OpenRouter's page on usage accounting, read August 2026): the answer has cost both.
    """
    try:
        costs = msgspec.json.decode(raw, type=_Priced).usage
    except (ValueError, RecursionError):
        return None
    return _whole_cost(costs) if costs else None


def _whole_cost(costs: _Costs) -> Decimal | None:
    cost = costs.cost
    if cost is None:
        return None
    try:
        if costs.is_byok and costs.cost_details and costs.cost_details.upstream_inference_cost:
            cost += costs.cost_details.upstream_inference_cost
    except ArithmeticError:
        return None  # no number at all, or more than one can be
    return cost if is_amount(cost) else None


def with_estimates(reported: Usage | None, *, prompt_tokens: int, answer_chars: int) -> Usage:
    """The reported usage, its gaps filled with estimates and marked as estimated if there were any (trap 4)."""
    usage = reported or Usage()
    if usage.prompt_tokens is not None and usage.completion_tokens is not None:
        return usage
    completion = usage.completion_tokens
    return replace(
        usage,
        prompt_tokens=prompt_tokens if usage.prompt_tokens is None else usage.prompt_tokens,
        completion_tokens=-(-answer_chars // _CHARS_PER_TOKEN)
        if completion is None
        else completion,
        estimated=True,
    )


def with_cache_lifetime(usage: Usage, *, one_hour_asked: bool) -> Usage:
    """Usage that tells the cache-write tokens of one hour apart, where the upstream does not.

    An OpenAI usage has one figure for both lifetimes. The client's own request says which it asked for.
    """
    if not usage.cache_write_tokens or usage.cache_write_1h_tokens is not None:
        return usage
    one_hour = usage.cache_write_tokens if one_hour_asked else 0
    return replace(usage, cache_write_1h_tokens=one_hour)


def write_delta_usage(usage: Usage) -> DeltaUsage:
    """The usage of a ``message_delta``: cumulative, and all that a client may replace its first figures with."""
    written: DeltaUsage = {
        "input_tokens": usage.uncached_prompt_tokens or 0,
        "cache_creation_input_tokens": usage.cache_write_tokens or 0,
        "cache_read_input_tokens": usage.cache_read_tokens or 0,
        "output_tokens": usage.completion_tokens or 0,
    }
    if usage.reasoning_tokens is None:
        return written
    # MiniMax has reported 11 reasoning tokens in 10 completion tokens (recording openrouter-error).
    thinking = min(usage.reasoning_tokens, written["output_tokens"])
    return {**written, "output_tokens_details": {"thinking_tokens": thinking}}


def write_usage(usage: Usage) -> MessageUsage:
    """The usage of a message: every key of the SDK's type, so that no client meets an undefined one (trap 53)."""
    one_hour = min(usage.cache_write_1h_tokens or 0, usage.cache_write_tokens or 0)
    written = write_delta_usage(usage)
    return {
        **written,
        "output_tokens_details": written.get("output_tokens_details"),
        "cache_creation": {
            "ephemeral_5m_input_tokens": (usage.cache_write_tokens or 0) - one_hour,
            "ephemeral_1h_input_tokens": one_hour,
        },
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": None,
    }


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(*values: Any) -> int | None:
    return next((count for value in values if (count := _count(value)) is not None), None)


def _count(value: Any) -> int | None:
    """A token count; None for what is no count. Some servers write whole floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= COUNT_MAX else None

"""Writes usage as OpenAI's: what was read from and written to a cache is inside the prompt, thinking inside the completion."""

from conversion.usage import Usage
from conversion.wire.openai_completion import CompletionUsage


def write_usage(usage: Usage) -> CompletionUsage:
    """The usage of a chat completion, or of the chunk that brings it."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    written: CompletionUsage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
    }
    if usage.reasoning_tokens is not None:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return written

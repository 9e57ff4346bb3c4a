"""Recognises the sentences that say "the prompt does not fit", and says it in the words that clients act on.

Claude Code compacts its history when it reads ``prompt is too long: N tokens > M maximum`` and asks for fewer
output tokens when it reads ``input length and `max_tokens` exceed context limit: A + B > C``. It knows no other
wording (Claude Code's page on gateways, read August 2026), so each server's own has to be translated (trap 51).
"""

import re

_NUMBER = r"(\d[\d,]*)"

_BOTH_TOO_LONG = re.compile(
    rf"input length and `?max_tokens`? exceed context limit: {_NUMBER} \+ {_NUMBER} > {_NUMBER}"
)

# OpenAI, OpenRouter, vLLM, DeepSeek: limit first, then the sum, then its parts in brackets.
_LIMIT_THEN_SUM = re.compile(
    rf"maximum context length is {_NUMBER} tokens.*?"
    rf"(?:requested(?: about)?|resulted in|contains) {_NUMBER} tokens(?: \(([^)]*)\))?",
    re.DOTALL,
)
_OUTPUT_PART = re.compile(rf"{_NUMBER} (?:in|for) the (?:completion|output)")

# Prompt, output, limit.
_PROMPT_OUTPUT_LIMIT = re.compile(
    # vLLM
    rf"passed {_NUMBER} input tokens and requested {_NUMBER} output tokens.*?"
    rf"context length is (?:only )?{_NUMBER}"
    # text-generation-inference
    rf"|Given: {_NUMBER} `inputs` tokens and {_NUMBER} `max_new_tokens`",
    re.DOTALL,
)
_OUTPUT_LIMIT_PROMPT = re.compile(  # vLLM
    rf"too large: {_NUMBER}\. This model's maximum context length is {_NUMBER} tokens "
    rf"and your request has {_NUMBER} input tokens"
)

# Prompt, then limit.
_PROMPT_THEN_LIMIT = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rf"prompt is too long: {_NUMBER} tokens > {_NUMBER} maximum",  # Anthropic
        rf"input token count \(?{_NUMBER}\)? exceeds the maximum number of tokens allowed \(?{_NUMBER}",  # Gemini
        rf"request \({_NUMBER} tokens\) exceeds the available context size \({_NUMBER} tokens\)",  # llama.cpp
        rf"decoder prompt \(length {_NUMBER}\) is longer than the maximum model length of {_NUMBER}",  # vLLM
        rf"Prompt contains {_NUMBER} tokens.*?too large for model with {_NUMBER} maximum",  # Mistral
    )
)

# Limit, then prompt.
_LIMIT_THEN_PROMPT = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rf"configured limit of {_NUMBER} tokens.*?resulted in {_NUMBER} tokens",  # OpenAI
        rf"maximum prompt length is {_NUMBER} but the request contains {_NUMBER} tokens",  # xAI
        rf"cannot exceed {_NUMBER} tokens - received {_NUMBER}",  # Cohere
    )
)

# No numbers, or numbers that do not say how long the prompt is.
_WORDS_ONLY = re.compile(
    r"prompt is too long"
    r"|maximum context length"  # any of the above in a new wording; Ollama
    r"|exceeds? the context (?:window|length)"  # OpenAI, Ollama
    r"|exceeds? (?:the )?available context size"  # llama.cpp
    r"|input is too long for (?:the )?requested model"  # Bedrock
    r"|prompt too long; exceeded"  # Ollama
    r"|exceeded max context length"
    r"|ContextWindowExceededError"  # LiteLLM
    r"|context_length_exceeded"
    r"|exceed_context_size_error",
    re.IGNORECASE,
)

WITHOUT_NUMBERS = "prompt is too long: it exceeds the context window of the model"


def read_overflow(text: str) -> str | None:
    """The client's sentence for an upstream's one, or None when the upstream speaks of something else."""
    both = _BOTH_TOO_LONG.search(text)
    if both:
        return _both(*map(_int, both.groups()))
    found = _read_three(text)
    if found:
        return found
    for patterns, prompt_first in ((_PROMPT_THEN_LIMIT, True), (_LIMIT_THEN_PROMPT, False)):
        for pattern in patterns:
            match = pattern.search(text)
            if match:
                first, second = map(_int, match.groups())
                return _prompt(first, second) if prompt_first else _prompt(second, first)
    return WITHOUT_NUMBERS if _WORDS_ONLY.search(text) else None


def _read_three(text: str) -> str | None:
    match = _LIMIT_THEN_SUM.search(text)
    if match:
        limit, asked = _int(match[1]), _int(match[2])
        part = _OUTPUT_PART.search(match[3] or "")
        output = _int(part[1]) if part else 0
        return _say(asked - output, output, limit)
    match = _OUTPUT_LIMIT_PROMPT.search(text)
    if match:
        output, limit, prompt = map(_int, match.groups())
        return _say(prompt, output, limit)
    match = _PROMPT_OUTPUT_LIMIT.search(text)
    if match and match[1]:
        return _say(_int(match[1]), _int(match[2]), _int(match[3]))
    return WITHOUT_NUMBERS if match else None


def _say(prompt: int, output: int, limit: int) -> str:
    if output and prompt <= limit:
        return _both(prompt, output, limit)
    return _prompt(prompt, limit)


def _prompt(prompt: int, limit: int) -> str:
    return f"prompt is too long: {prompt} tokens > {limit} maximum"


def _both(prompt: int, output: int, limit: int) -> str:
    return (
        f"input length and `max_tokens` exceed context limit: {prompt} + {output} > {limit}, "
        "decrease input length or `max_tokens` and try again"
    )


def _int(digits: str) -> int:
    return int(digits.replace(",", ""))

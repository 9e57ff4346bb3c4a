"""Any server that speaks OpenAI's dialect: OpenAI itself, vLLM, llama.cpp, SGLang, Azure's v1 API, and many more.

What differs from model to model is the table below; a deployment's own quirks win over it. Facts: OpenAI's API
reference and its page on reasoning models, DeepSeek's on thinking, Google's on OpenAI compatibility, vLLM's on
extra parameters (read November 2026).
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from conversion.anthropic_over_openai.errors import read_error
from conversion.dialects import Dialect
from conversion.traits import ChatTraits
from routing.providers.facts import read_openai_models
from routing.providers.kind import CostMapName, ProviderKind, bearer

_REASONS_BY_EFFORT = {"reasoning": "effort"}
# The first pattern that matches the model's name decides; the vendor's prefix, as in openai/gpt-5, is passed over.
QUIRKS: tuple[tuple[re.Pattern[str], Mapping[str, Any]], ...] = tuple(
    (re.compile(pattern), quirks)
    for pattern, quirks in (
        (
            r"^(?:o\d(?:-|$)|gpt-5|codex)",
            {
                "max_tokens_field": "max_completion_tokens",
                "reasoning": "effort",
                "efforts": ("minimal", "low", "medium", "high"),
                "sampling": False,
                "pdf_files": True,
                "user_field": "safety_identifier",
            },
        ),
        (
            r"^(?:gpt-[34]|chatgpt)",
            {
                "max_tokens_field": "max_completion_tokens",
                "pdf_files": True,
                "user_field": "safety_identifier",
            },
        ),
        (r"^deepseek", {"reasoning_replay": "content", "strict_tools": False}),
        (
            r"^(?:gpt-oss|qwen|qwq|glm|kimi|minimax|nemotron)",
            {**_REASONS_BY_EFFORT, "reasoning_replay": "content", "top_k": True},
        ),
        (r"^gemini", {**_REASONS_BY_EFFORT, "strict_tools": False, "parallel_tool_calls": False}),
        (r"^grok", {**_REASONS_BY_EFFORT, "efforts": ("low", "high")}),
    )
)


def traits(model: str) -> ChatTraits:
    """What a model takes, by its name; the plain dialect where the table does not know it."""
    name = model.rsplit("/", 1)[-1].lower()
    for pattern, quirks in QUIRKS:
        if pattern.search(name):
            return ChatTraits(model=model, **quirks)
    return ChatTraits(model=model)


# How LiteLLM's cost map names the models of servers in the open, by the server's host.
COST_MAP_PREFIXES: tuple[tuple[str, str], ...] = (
    ("api.deepseek.com", "deepseek/"),
    ("api.deepinfra.com", "deepinfra/"),
    ("api.fireworks.ai", "fireworks_ai/"),
    ("api.groq.com", "groq/"),
    ("api.mistral.ai", "mistral/"),
    ("api.perplexity.ai", "perplexity/"),
    ("api.together.xyz", "together_ai/"),
    ("api.x.ai", "xai/"),
    ("generativelanguage.googleapis.com", "gemini/"),
    (".openai.azure.com", "azure/"),
)


def cost_map_names(base_url: str, model: str) -> tuple[CostMapName, ...]:
    """The name behind the server's prefix, and as it is: a server of one's own may pass on to a known one."""
    host = urlsplit(base_url).hostname or ""
    name = model.removeprefix("models/")
    known = [prefix for suffix, prefix in COST_MAP_PREFIXES if host.endswith(suffix)]
    return (*((prefix + name, "") for prefix in known), (name, ""))


KIND = ProviderKind(
    name="openai_compatible",
    label="OpenAI-compatible server",
    needs="OpenAI, vLLM, llama.cpp, SGLang and whoever else speaks OpenAI's dialect. It needs the "
    "server's address, and an API key where the server wants one.",
    example_url="https://api.openai.com/v1",
    paths={
        Dialect.OPENAI_CHAT: "/chat/completions",
        Dialect.OPENAI_COMPLETIONS: "/completions",
        Dialect.OPENAI_EMBEDDINGS: "/embeddings",
    },
    credential_headers=bearer,
    traits=traits,
    read_error=read_error,
    health_path="/models",
    models_path="/models",
    read_models=read_openai_models,
    cost_map_names=cost_map_names,
    id_header="x-request-id",
    needs_credential=False,
)

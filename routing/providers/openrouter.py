"""OpenRouter's chat completions.

Facts: OpenRouter's documentation on chat completions, streaming, usage accounting, reasoning tokens, prompt
caching and errors (read 2026-11), and the recorded streams in ``tests/fixtures/recorded-streams``.
"""

from conversion.anthropic_over_openai.errors import read_error
from conversion.dialects import Dialect
from conversion.traits import ChatTraits
from routing.providers.kind import ProviderKind, bearer


def traits(model: str) -> ChatTraits:
    """What OpenRouter takes for a model: it normalises most, caching marks only help some vendors."""
    return ChatTraits(
        model=model,
        reasoning="openrouter",
        efforts=("minimal", "low", "medium", "high", "xhigh", "max"),
        reasoning_replay="details",
        cache_control=model.startswith(("anthropic/", "google/", "~anthropic/", "~google/")),
        top_k=True,
        pdf_files=True,
        web_search_plugin=True,
        user_field="user",
        # Deprecated without effect there: the last chunk carries the usage anyway.
        stream_usage_option=True,
    )


KIND = ProviderKind(
    name="openrouter",
    label="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    paths={
        Dialect.OPENAI_CHAT: "/chat/completions",
        Dialect.ANTHROPIC_MESSAGES: "/messages",
        Dialect.OPENAI_COMPLETIONS: "/completions",
        Dialect.OPENAI_EMBEDDINGS: "/embeddings",
    },
    credential_headers=bearer,
    traits=traits,
    read_error=read_error,
    health_path="/key",
    id_header="x-generation-id",
)

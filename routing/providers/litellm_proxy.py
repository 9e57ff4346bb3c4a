"""A LiteLLM proxy server, in either of its dialects.

OpenAI's is the better one: its Messages adapter loses parts of what it is given (docs/operators/providers.md). Facts:
LiteLLM's documentation on the proxy, and ``litellm`` 1.106 as it answers (read and tried November 2026).
"""

from conversion.anthropic_over_openai.errors import read_error
from conversion.dialects import Dialect
from conversion.traits import ChatTraits
from routing.providers.cost_map import read_model_info
from routing.providers.facts import read_openai_models
from routing.providers.kind import ProviderKind, bearer


def traits(model: str) -> ChatTraits:
    """What the proxy takes for any model: it drops or maps what the model behind it cannot."""
    is_claude = "claude" in model or "anthropic" in model
    return ChatTraits(
        model=model,
        reasoning="effort",
        efforts=("minimal", "low", "medium", "high"),
        reasoning_replay="content",
        cache_control=is_claude,
        pdf_files=True,
        user_field="user",
    )


KIND = ProviderKind(
    name="litellm_proxy",
    label="LiteLLM proxy",
    needs="A LiteLLM proxy that runs already. It needs its address, and its master key or a virtual key of it.",
    base_url="http://127.0.0.1:4000",
    version_path="/v1",
    paths={
        Dialect.OPENAI_CHAT: "/v1/chat/completions",
        Dialect.ANTHROPIC_MESSAGES: "/v1/messages",
        Dialect.OPENAI_COMPLETIONS: "/v1/completions",
        Dialect.OPENAI_EMBEDDINGS: "/v1/embeddings",
    },
    credential_headers=bearer,
    traits=traits,
    read_error=read_error,
    # /health would call every model behind the proxy, at a cost.
    health_path="/health/readiness",
    models_path="/v1/models",
    read_models=read_openai_models,
    details_path="/model/info",
    read_details=read_model_info,
    id_header="x-litellm-call-id",
    cost_header="x-litellm-response-cost",
    needs_credential=False,
    is_litellm=True,
)

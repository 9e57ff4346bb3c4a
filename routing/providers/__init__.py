"""The provider kinds, one module each; this list is the only place that knows them all."""

from routing.providers import (
    anthropic,
    demo,
    litellm_proxy,
    litellm_sdk,
    ollama,
    openai_compatible,
    openrouter,
)
from routing.providers.kind import ProviderKind

_MODULES = (openrouter, anthropic, openai_compatible, litellm_proxy, litellm_sdk, ollama, demo)
KINDS: dict[str, ProviderKind] = {module.KIND.name: module.KIND for module in _MODULES}

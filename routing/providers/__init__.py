"""The provider kinds, one module each; this list is the only place that knows them all."""

from routing.providers import demo, openrouter
from routing.providers.kind import ProviderKind

KINDS: dict[str, ProviderKind] = {kind.name: kind for kind in (openrouter.KIND, demo.KIND)}

"""Recognises models that no alias names: ``provider/model``, and the known families of models by their names.

Only where GATEWAY_RECOGNISE_MODELS lists providers; their order is the order in which they are tried.
"""

import re
from collections.abc import Callable

from django.conf import settings

from routing.pictures import NO_FACTS, ProviderPicture, Snapshot, Target, traits_of

FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), vendor)
    for pattern, vendor in (
        (r"claude-", "anthropic"),
        (r"(?:gpt-oss|gpt-|chatgpt-|o[1-9](?:-|$)|codex-|text-embedding-)", "openai"),
        (r"(?:gemini-|gemma-)", "google"),
        (r"(?:command|aya-)", "cohere"),
        (r"(?:mistral-|ministral-|codestral|magistral-|devstral-|pixtral-|mixtral-)", "mistralai"),
        (r"deepseek-", "deepseek"),
        (r"grok-", "x-ai"),
        (r"(?:qwen|qwq)", "qwen"),
        (r"llama-", "meta-llama"),
        (r"kimi-", "moonshotai"),
        (r"glm-", "z-ai"),
    )
)
"""How the names of a vendor's models begin, and what OpenRouter calls the vendor."""
LITELLM_VENDORS = {
    "mistralai": "mistral",
    "google": "gemini",
    "x-ai": "xai",
    "meta-llama": "meta_llama",
}
CLOUDS = ("azure/", "bedrock/", "vertex_ai/")
_CLAUDE_DATE = re.compile(r"-\d{8}$")
_CLAUDE_VERSION = re.compile(r"(?<=\d)-(?=\d{1,2}$)")


def recognise(snapshot: Snapshot, name: str) -> tuple[Target, ...]:
    """The targets for a name without an alias; empty where nothing is recognised, or nobody may be asked."""
    listed = [
        snapshot.providers[slug] for slug in settings.RECOGNISE_MODELS if slug in snapshot.providers
    ]
    if not listed:
        return ()
    slug, _, rest = name.partition("/")
    for provider in listed:
        if provider.slug == slug and rest:
            return (_target(provider, rest),)
    vendor = vendor_of(name)
    if not vendor:
        return ()
    targets = []
    for provider in listed:
        spell = _SPELLINGS.get(provider.kind.name)
        model = spell(vendor, name) if spell else None
        if model:
            targets.append(_target(provider, model))
    return tuple(targets)


def vendor_of(name: str) -> str:
    """The vendor of a model by its name, or by a prefix such as openai/; empty for one that is not known."""
    if name.startswith(CLOUDS):
        return name.partition("/")[0]
    prefix, slash, bare = name.rpartition("/")
    bare = bare.lower()
    for pattern, vendor in FAMILIES:
        if pattern.match(bare) and (not slash or prefix in (vendor, LITELLM_VENDORS.get(vendor))):
            return vendor
    return ""


def _at_openrouter(vendor: str, name: str) -> str | None:
    if name.startswith(CLOUDS):
        return None
    bare = name.rpartition("/")[2]
    if vendor == "anthropic":
        # claude-sonnet-4-5-20250929 is anthropic/claude-sonnet-4.5 there.
        bare = _CLAUDE_VERSION.sub(".", _CLAUDE_DATE.sub("", bare))
    return f"{vendor}/{bare}"


def _at_litellm(vendor: str, name: str) -> str | None:
    if name.startswith(CLOUDS):
        return name
    return f"{LITELLM_VENDORS.get(vendor, vendor)}/{name.rpartition('/')[2]}"


def _at_proxy(_vendor: str, name: str) -> str | None:
    return name


def _at_anthropic(vendor: str, name: str) -> str | None:
    return name.rpartition("/")[2] if vendor == "anthropic" else None


_SPELLINGS: dict[str, Callable[[str, str], str | None]] = {
    "openrouter": _at_openrouter,
    "litellm_sdk": _at_litellm,
    "litellm_proxy": _at_proxy,
    "anthropic": _at_anthropic,
}
"""How a kind of provider spells a vendor's model; kinds that serve but their own are asked as provider/model."""


def _target(provider: ProviderPicture, model: str) -> Target:
    return Target(
        pk=0,
        provider=provider,
        upstream_model=model,
        traits=traits_of(provider, model, {}),
        overrides={},
        credentials=provider.credentials,
        weight=1,
        context_window_tokens=None,
        facts=NO_FACTS,
        header_rules=provider.header_rules,
        request_edits=provider.request_edits,
        response_edits=provider.response_edits,
    )

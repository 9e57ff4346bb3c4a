"""Anthropic's own Messages API.

Facts: Anthropic's pages on versions, thinking, models and token counting, and the types of ``anthropic`` 2.11.0 (read
November 2026).
"""

import re
from typing import Any

from conversion.anthropic_over_openai.errors import read_error
from conversion.dialects import Dialect
from conversion.traits import ChatTraits, MessagesTraits
from routing.providers.facts import ModelFacts, count_in, entries_of
from routing.providers.kind import CostMapName, Headers, ProviderKind, bearer

OAUTH_PREFIX = "sk-ant-oat"
ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")
# claude-opus-4-6, claude-sonnet-4.5, anthropic/claude-haiku-4-5-20251001; and the older claude-3-5-haiku-20241022.
_NEW_NAME = re.compile(
    r"claude-(?P<family>[a-z]+)-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)"
)
_OLD_NAME = re.compile(r"claude-(?P<major>[123])(?:[-.](?P<minor>\d))?(?!\d)")
_TAKES_SYSTEM_TURNS = {"opus": (4, 8), "fable": (5, 0), "mythos": (5, 0)}
NEWEST = (99, 0)


def model_version(model: str) -> tuple[str, tuple[int, int]]:
    """The family and version in a Claude's name; ``("", NEWEST)`` where the name tells none."""
    for pattern in (_NEW_NAME, _OLD_NAME):
        match = pattern.search(model)
        if match:
            family = match.groupdict().get("family") or ""
            return family, (int(match["major"]), int(match["minor"] or 0))
    return "", NEWEST


def messages_traits(model: str) -> MessagesTraits:
    """What a Claude takes: by version, as Anthropic's pages on thinking and on migration tell it."""
    family, version = model_version(model)
    takes_system_turns = version >= _TAKES_SYSTEM_TURNS.get(family, NEWEST)
    if version >= (4, 6):
        return MessagesTraits(
            model=model,
            max_tokens_default=32_000,
            thinking="adaptive",
            efforts=ALL_EFFORTS,
            sampling=version == (4, 6),
            system_turns=takes_system_turns and version != NEWEST,
        )
    if version >= (3, 7):
        return MessagesTraits(
            model=model, max_tokens_default=32_000, structured_output=version >= (4, 5)
        )
    return MessagesTraits(
        model=model, max_tokens_default=4096, thinking="none", structured_output=False
    )


def traits(model: str) -> ChatTraits:
    """Nothing is sent to Anthropic in OpenAI's dialect; the value stands for completeness."""
    return ChatTraits(model=model)


def credential_headers(secret: str) -> Headers:
    """An API key in its own header; the token of a signed-in account as a bearer token."""
    return bearer(secret) if secret.startswith(OAUTH_PREFIX) else (("x-api-key", secret),)


def read_models(body: Any) -> list[ModelFacts]:
    """``GET /v1/models``."""
    return [
        ModelFacts(
            id=entry["id"],
            name=str(entry.get("display_name") or ""),
            context_window_tokens=count_in(entry, "max_input_tokens"),
            max_output_tokens=count_in(entry, "max_tokens"),
        )
        for entry in entries_of(body)
    ]


def cost_map_names(_base_url: str, model: str) -> tuple[CostMapName, ...]:
    """A Claude's own name."""
    return ((model, "anthropic"),)


KIND = ProviderKind(
    name="anthropic",
    label="Anthropic",
    needs="Claude from Anthropic itself. It needs an API key, made in the Claude Console under API keys.",
    base_url="https://api.anthropic.com",
    version_path="/v1",
    paths={Dialect.ANTHROPIC_MESSAGES: "/v1/messages"},
    count_path="/v1/messages/count_tokens",
    credential_headers=credential_headers,
    fixed_headers=(("anthropic-version", "2023-06-01"),),
    traits=traits,
    messages_traits=messages_traits,
    read_error=read_error,
    health_path="/v1/models?limit=1",
    models_path="/v1/models?limit=1000",
    read_models=read_models,
    cost_map_names=cost_map_names,
    id_header="request-id",
)

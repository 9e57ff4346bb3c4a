"""Ollama, over its OpenAI-compatible endpoint, and over its own where tools or images need that.

Facts: Ollama's documentation of both APIs and its source (read August 2026). Its ``/v1`` makes a message of every part
of a content, loses the id of a tool message with parts, and cannot set the context window, which is short by default
and cut in silence.
"""

from dataclasses import replace
from typing import Any

from conversion.anthropic_over_openai.errors import read_error
from conversion.call import Call
from conversion.dialects import Dialect
from conversion.traits import ChatTraits
from routing.providers.facts import ModelFacts, count_in, entries_of
from routing.providers.kind import ProviderKind, bearer

PART_KINDS = frozenset({"image", "image_url", "document", "file"})


def traits(model: str) -> ChatTraits:
    """What Ollama takes; ``max_completion_tokens`` it does not know, and the answer would have no end."""
    return ChatTraits(
        model=model,
        reasoning="effort",
        efforts=("none", "low", "medium", "high", "max"),
        reasoning_replay="content",
        stop_sequences_max=16,
        parallel_tool_calls=False,
        strict_tools=False,
    )


def dialect_for(call: Call) -> Dialect:
    """Its own dialect for calls with tools or with anything but text, OpenAI's for the rest."""
    if call.body.get("tools") or call.body.get("functions"):
        return Dialect.OLLAMA_CHAT
    contents = (
        turn.get("content") for turn in call.body.get("messages") or () if isinstance(turn, dict)
    )
    parts = (part for content in contents if isinstance(content, list) for part in content)
    needs_own = any(isinstance(part, dict) and part.get("type") in PART_KINDS for part in parts)
    return Dialect.OLLAMA_CHAT if needs_own else Dialect.OPENAI_CHAT


def read_models(body: Any) -> list[ModelFacts]:
    """``GET /api/tags``: what was pulled."""
    facts = []
    for entry in entries_of(body, "models", "name"):
        details = entry.get("details")
        details = details if isinstance(details, dict) else {}
        size = str(details.get("parameter_size") or "")
        facts.append(
            ModelFacts(
                id=entry["name"],
                name=" ".join(filter(None, (entry["name"], size))),
                context_window_tokens=count_in(details, "context_length"),
                state="pulled",
            )
        )
    return facts


def read_description(facts: ModelFacts, body: Any) -> ModelFacts:
    """``POST /api/show``: what the model can, and the context it was trained for."""
    info = body.get("model_info") if isinstance(body, dict) else None
    info = info if isinstance(info, dict) else {}
    able = body.get("capabilities") if isinstance(body, dict) else None
    described = replace(
        facts,
        context_window_tokens=facts.context_window_tokens
        or count_in(info, f"{info.get('general.architecture')}.context_length"),
    )
    if not isinstance(able, list):
        return described
    return replace(
        described,
        takes_tools="tools" in able,
        takes_images="vision" in able,
        can_reason="thinking" in able,
    )


KIND = ProviderKind(
    name="ollama",
    label="Ollama",
    needs="Models on a machine of your own. It needs the address of a running Ollama, and no key.",
    base_url="http://127.0.0.1:11434",
    version_path="/v1",
    paths={
        Dialect.OPENAI_CHAT: "/v1/chat/completions",
        Dialect.OLLAMA_CHAT: "/api/chat",
        Dialect.OPENAI_COMPLETIONS: "/v1/completions",
        Dialect.OPENAI_EMBEDDINGS: "/v1/embeddings",
    },
    credential_headers=bearer,
    traits=traits,
    read_error=read_error,
    dialect_for=dialect_for,
    health_path="/api/version",
    models_path="/api/tags",
    read_models=read_models,
    loaded_path="/api/ps",
    description_path="/api/show",
    read_description=read_description,
    needs_credential=False,
)

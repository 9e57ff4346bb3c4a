"""Finds out who answers at an address: a LiteLLM proxy, Ollama, another server of OpenAI's dialect, or a gateway like this.

Only open pages are asked, without any credential. Facts: the health pages of ``litellm`` 1.106's proxy, Ollama's API,
and what vLLM, SGLang, llama.cpp and LM Studio call the owner in their lists of models (read November 2026).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from routing import providers
from routing.providers.facts import ModelFacts, entries_of
from routing.providers.kind import ProviderKind
from routing.upstream.guarded import guarded_client

USUAL_ADDRESSES = (
    "http://127.0.0.1:4000",  # LiteLLM
    "http://127.0.0.1:11434",  # Ollama
    "http://127.0.0.1:8000",  # vLLM
    "http://127.0.0.1:8080",  # llama.cpp
    "http://127.0.0.1:1234",  # LM Studio
    "http://127.0.0.1:5000",  # text-generation-webui
    "http://127.0.0.1:30000",  # SGLang
)
OWNERS = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "organization_owner": "LM Studio",
    "library": "Ollama",
}
GATEWAY_PARTS = {"process", "journal", "ledger", "configuration"}
"""What only this program tells at /health/ready."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Who answers at an address. ``kind`` is empty where it is nobody that can be added; ``what`` says who it is."""

    address: str
    what: str
    kind: str = ""
    base_url: str = ""
    models: tuple[ModelFacts, ...] = ()
    wants_credential: bool = False


def read_address(text: str) -> str:
    """What an operator entered as the beginning of all addresses there.

    Raises:
        ValueError: it is no address.
    """
    address = text.strip()
    address = address if "://" in address else f"http://{address}"
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ValueError(f"{text} is no address: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query:
        raise ValueError(f"{text} is no address such as 127.0.0.1:4000 or https://host/v1.")
    return str(url.copy_with(fragment=None)).rstrip("/").removesuffix("/v1").rstrip("/")


async def look_around(addresses: Sequence[str], *, timeout_s: float) -> list[Sighting | None]:
    """Who answers at each address, all asked at the same time; None where nobody does."""
    return list(await asyncio.gather(*(look_at(address, timeout_s) for address in addresses)))


async def look_at(address: str, timeout_s: float) -> Sighting | None:
    """Who answers at an address within so many seconds for each of its pages; None when nobody does."""
    async with guarded_client(timeout=timeout_s) as client:
        try:
            async with asyncio.timeout(timeout_s * 4):
                return await _recognise(_Place(client, address))
        except TimeoutError:
            return None


class _Place:
    """The pages at an address."""

    def __init__(self, client: httpx.AsyncClient, address: str) -> None:
        self._client = client
        self.address = address
        self.has_answered = False

    async def get(self, path: str) -> tuple[int, Any]:
        """A page's status and what it holds as JSON; ``(0, None)`` without an answer, None where it is no JSON."""
        try:
            answer = await self._client.get(self.address + path)
        except (httpx.HTTPError, httpx.InvalidURL):
            return 0, None
        self.has_answered = True
        try:
            return answer.status_code, answer.json()
        except (ValueError, RecursionError):
            return answer.status_code, None


async def _recognise(place: _Place) -> Sighting | None:
    _status, body = await place.get("/health/ready")
    if isinstance(body, dict) and body.keys() >= GATEWAY_PARTS:
        return Sighting(place.address, "a gateway like this one, which is not added")
    for recognise in (_litellm, _ollama, _compatible):
        sighting = await recognise(place)
        if sighting is not None:
            return sighting
    return (
        Sighting(place.address, "somebody the gateway does not know")
        if place.has_answered
        else None
    )


async def _litellm(place: _Place) -> Sighting | None:
    _status, body = await place.get("/health/readiness")
    if not isinstance(body, dict) or not (
        "litellm_version" in body or body.keys() >= {"status", "db"}
    ):
        return None
    kind = providers.KINDS["litellm_proxy"]
    status, listed = await place.get(kind.models_path)
    return _sighting(place, kind, kind.label, place.address, status, listed)


async def _ollama(place: _Place) -> Sighting | None:
    _status, body = await place.get("/api/version")
    if not isinstance(body, dict) or not isinstance(body.get("version"), str):
        return None
    kind = providers.KINDS["ollama"]
    status, listed = await place.get(kind.models_path)
    if not isinstance(listed, dict) or "models" not in listed:
        return None
    return _sighting(place, kind, kind.label, place.address, status, listed)


async def _compatible(place: _Place) -> Sighting | None:
    kind = providers.KINDS["openai_compatible"]
    status, listed = await place.get("/v1/models")
    is_list = isinstance(listed, Mapping) and isinstance(listed.get("data"), list)
    if not is_list and not (status in {401, 403} and isinstance(listed, Mapping)):
        return None
    owners = {str(entry.get("owned_by")) for entry in entries_of(listed)}
    names = [name for owner, name in OWNERS.items() if owner in owners]
    what = names[0] if names else kind.label
    return _sighting(place, kind, what, place.address + "/v1", status, listed)


def _sighting(
    place: _Place, kind: ProviderKind, what: str, base_url: str, status: int, listed: Any
) -> Sighting:
    models = tuple(kind.read_models(listed)) if kind.read_models and status == 200 else ()
    return Sighting(
        address=place.address,
        what=what,
        kind=kind.name,
        base_url=base_url,
        models=models,
        wants_credential=status in {401, 403},
    )

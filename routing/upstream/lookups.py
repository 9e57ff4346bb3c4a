"""Looks a provider up, off the hot path: does it answer, does the credential work, what is left, which models has it.

httpx here, because its API is the kinder one and speed does not matter. No message holds a secret or a body.
"""

import asyncio
import itertools
import json
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx

from conversion.errors import GatewayError, UpstreamForbidden, UpstreamUnauthorized
from routing.pictures import CredentialPicture, ProviderPicture
from routing.providers.facts import ModelFacts, ProviderState, filled_up
from routing.upstream import doorman
from routing.upstream.errors import AddressRefused, UpstreamTlsFailed, UpstreamUnreachable
from routing.upstream.guarded import guarded_client
from routing.upstream.outgoing import Outgoing, write_headers

LOOKUP_S = 10.0
PAGES_MAX = 50
ANSWER_S = 60.0
"""A whole answer must have come by then, however steadily it drips."""
ANSWER_BYTES_MAX = 32 * 1024 * 1024
ERROR_BYTES_MAX = 64 * 1024
DESCRIBED_AT_ONCE = 4


def _nobody(_count: int) -> None:
    """Hears how far something is, and does nothing."""


async def check(provider: ProviderPicture) -> ProviderState:
    """Whether the provider answers, and takes its first credential; with what it may still spend, where that is told."""
    kind = provider.kind
    credential = provider.credentials[0] if provider.credentials else None
    if credential is None and provider.is_pass_through and kind.calls_out:
        return await _reach(provider)
    if credential is None and kind.needs_credential:
        return ProviderState(problem="no credential is switched on")
    if not kind.calls_out or not kind.health_path:
        return ProviderState(detail="answers inside the gateway")
    began = time.monotonic()
    try:
        async with _client(provider, credential) as client:
            state = await _check_health(client, provider)
            if not state.problem and kind.credits_path and kind.read_credits:
                state = await _with_credits(client, provider, state)
            if not state.problem and kind.health_path != kind.models_path:
                state = await _with_credential_tried(client, provider, state)
    except GatewayError as error:
        return ProviderState(problem=error.message, error=type(error).__name__)
    return replace(state, latency_ms=round((time.monotonic() - began) * 1000))


async def _reach(provider: ProviderPicture) -> ProviderState:
    """Whether anybody answers, where only clients have credentials."""
    began = time.monotonic()
    try:
        async with _client(provider, None) as client:
            await _ask(client, provider, provider.base_url + provider.kind.health_path)
    except (UpstreamUnauthorized, UpstreamForbidden):
        pass
    except GatewayError as error:
        return ProviderState(problem=error.message, error=type(error).__name__)
    latency_ms = round((time.monotonic() - began) * 1000)
    return ProviderState(detail="answers; clients bring the credentials", latency_ms=latency_ms)


async def list_models(provider: ProviderPicture) -> list[ModelFacts]:
    """The provider's models, as it lists them; empty for a kind without a list.

    Raises:
        GatewayError: it does not answer, or refuses.
    """
    kind = provider.kind
    if not kind.calls_out or not kind.models_path or kind.read_models is None:
        return []
    credential = provider.credentials[0] if provider.credentials else None
    found: list[ModelFacts] = []
    async with _client(provider, credential) as client:
        url: str | None = provider.base_url + kind.models_path
        for _page in range(PAGES_MAX):
            if url is None:
                break
            body = await _ask(client, provider, url)
            found += kind.read_models(body)
            url = _next_page(provider, body)
        if kind.loaded_path:
            body = await _ask(client, provider, provider.base_url + kind.loaded_path)
            loaded = {facts.id for facts in kind.read_models(body)}
            found = [replace(f, state="loaded") if f.id in loaded else f for f in found]
    return found


async def describe_models(
    provider: ProviderPicture, found: list[ModelFacts], *, told: Callable[[int], None] = _nobody
) -> list[ModelFacts]:
    """The models with what the provider tells of each beside its list, where its kind has a place for that.

    A place that does not answer, or is not open to the credential, leaves the models as they are. ``told`` hears how
    many are described.
    """
    kind = provider.kind
    credential = provider.credentials[0] if provider.credentials else None
    if not kind.calls_out or not found:
        return found
    async with _client(provider, credential) as client:
        if kind.details_path and kind.read_details:
            with suppress(GatewayError):
                body = await _ask(client, provider, provider.base_url + kind.details_path)
                details = {facts.id: facts for facts in kind.read_details(body)}
                found = [filled_up(details.get(f.id, f), f) for f in found]
        if kind.description_path and kind.read_description:
            found = await _describe_each(client, provider, found, told)
    return found


async def _describe_each(
    client: httpx.AsyncClient,
    provider: ProviderPicture,
    found: list[ModelFacts],
    told: Callable[[int], None],
) -> list[ModelFacts]:
    url = provider.base_url + provider.kind.description_path
    turn = asyncio.Semaphore(DESCRIBED_AT_ONCE)
    count = itertools.count(1)

    async def describe(facts: ModelFacts) -> ModelFacts:
        async with turn:
            with suppress(GatewayError):
                body = await _ask(client, provider, url, {"model": facts.id})
                if provider.kind.read_description:
                    facts = provider.kind.read_description(facts, body)
        told(next(count))
        return facts

    return list(await asyncio.gather(*(describe(facts) for facts in found)))


def _next_page(provider: ProviderPicture, body: Any) -> str | None:
    """Anthropic's lists tell the last id, OpenRouter's link to the next page."""
    if not isinstance(body, dict):
        return None
    if body.get("has_more") and isinstance(body.get("last_id"), str):
        address = httpx.URL(provider.base_url + provider.kind.models_path)
        return str(address.copy_merge_params({"after_id": body["last_id"]}))
    links = body.get("links")
    following = links.get("next") if isinstance(links, dict) else None
    if not isinstance(following, str) or not following:
        return None
    url = httpx.URL(provider.base_url).join(following)
    # The credential goes along: never to another host.
    return str(url) if url.host == httpx.URL(provider.base_url).host else None


async def _check_health(client: httpx.AsyncClient, provider: ProviderPicture) -> ProviderState:
    body = await _ask(client, provider, provider.base_url + provider.kind.health_path)
    return provider.kind.read_health(body) if provider.kind.read_health else ProviderState()


async def _with_credits(
    client: httpx.AsyncClient, provider: ProviderPicture, state: ProviderState
) -> ProviderState:
    """The account's credit where the credential may see it; most may not, and that is no problem."""
    kind = provider.kind
    try:
        body = await _ask(client, provider, provider.base_url + kind.credits_path)
    except GatewayError:
        return state
    credits = kind.read_credits(body) if kind.read_credits else ProviderState()
    amounts = [usd for usd in (state.credit_usd, credits.credit_usd) if usd is not None]
    return replace(
        state,
        problem=state.problem or (credits.problem if credits.credit_usd is not None else ""),
        credit_usd=min(amounts) if amounts else None,
    )


async def _with_credential_tried(
    client: httpx.AsyncClient, provider: ProviderPicture, state: ProviderState
) -> ProviderState:
    """A health page that is open to all says nothing of the credential: the list of models does."""
    if provider.kind.read_health is not None or not provider.kind.models_path:
        return state
    await _ask(client, provider, provider.base_url + provider.kind.models_path)
    return state


def _client(provider: ProviderPicture, credential: CredentialPicture | None) -> httpx.AsyncClient:
    outgoing = Outgoing(b"", provider.dialect, rules=provider.header_rules)
    headers = dict(write_headers(provider, credential, outgoing))
    headers.pop("Content-Type", None)
    verify: ssl.SSLContext | bool = provider.verify_tls
    if provider.verify_tls and provider.ca_bundle_pem:
        try:
            verify = ssl.create_default_context(cadata=provider.ca_bundle_pem)
        except (ssl.SSLError, ValueError) as error:
            raise UpstreamTlsFailed(
                f"the CA bundle of provider {provider.slug} cannot be read ({error})"
            ) from error
    timeout = httpx.Timeout(LOOKUP_S, connect=provider.timeouts.connect_s)
    return guarded_client(headers=headers, verify=verify, timeout=timeout)


async def _ask(
    client: httpx.AsyncClient, provider: ProviderPicture, url: str, sent: Any = None
) -> Any:
    """The decoded answer to a GET, or to a POST where something is sent.

    Raises:
        UpstreamUnreachable: nobody answers, or not with JSON.
        GatewayError: the provider refuses, in the words of its kind.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            status, body = await _read_answer(client, url, sent)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        refusal = doorman.refusal_behind(error)
        if refusal:
            raise AddressRefused(f"provider {provider.slug}: {refusal}") from error
        reason = type(error).__name__
        raise UpstreamUnreachable(f"provider {provider.slug} does not answer ({reason})") from error
    if status >= 300:
        raise provider.kind.read_error(status, body, None)
    if len(body) > ANSWER_BYTES_MAX:
        raise UpstreamUnreachable(
            f"provider {provider.slug} answers with more than {ANSWER_BYTES_MAX} bytes"
        )
    try:
        # Sums of money stay exact.
        return json.loads(body, parse_float=Decimal)
    except ValueError as error:
        raise UpstreamUnreachable(
            f"provider {provider.slug} does not answer with JSON: is the base URL right?"
        ) from error


async def _read_answer(client: httpx.AsyncClient, url: str, sent: Any) -> tuple[int, bytes]:
    """The answer's status and body, which is read as far as its bound, and one piece (64 kB packed) further."""
    method = "GET" if sent is None else "POST"
    async with client.stream(method, url, json=sent) as answer:
        bytes_max = ANSWER_BYTES_MAX if answer.status_code < 300 else ERROR_BYTES_MAX
        body = bytearray()
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > bytes_max:
                break
        if answer.status_code >= 300:
            del body[bytes_max:]
        return answer.status_code, bytes(body)

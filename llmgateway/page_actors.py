"""Tells the audit trail who acts on a page, from where, and by which way; a middleware behind the one that knows the user."""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import iscoroutinefunction
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from accounting.audit.actors import NOBODY, Actor, acting
from llmgateway.environment import Network

WAYS = {"/admin/": "admin", "/api/": "api"}
PAGE = "page"

Next = Callable[[HttpRequest], HttpResponse] | Callable[[HttpRequest], Awaitable[HttpResponse]]


@sync_and_async_middleware
def name_who_acts(get_response: Next) -> Next:
    """The user is looked up only when there is something to note: most pages change nothing."""
    if iscoroutinefunction(get_response):
        answer = cast("Callable[[HttpRequest], Awaitable[HttpResponse]]", get_response)

        async def from_page(request: HttpRequest) -> HttpResponse:
            with acting(partial(actor_of, request)):
                return await answer(request)

        return from_page

    answer_now = cast("Callable[[HttpRequest], HttpResponse]", get_response)

    def from_page_now(request: HttpRequest) -> HttpResponse:
        with acting(partial(actor_of, request)):
            return answer_now(request)

    return from_page_now


def actor_of(request: HttpRequest) -> Actor:
    """Who sent the request, as far as they are signed in."""
    user = request.user
    way = next((way for prefix, way in WAYS.items() if request.path.startswith(prefix)), PAGE)
    address = address_of(request)
    if user.is_anonymous:
        return Actor(NOBODY, way, address=address)
    token = getattr(request, "api_token", None)
    name = user.get_username() + (f" (token {token.name})" if token else "")
    return Actor(name, way, user.pk, address)


def address_of(request: HttpRequest) -> str:
    """Where the request comes from, as far as trusted proxies tell."""
    return client_address(
        request.META.get("REMOTE_ADDR", ""),
        request.headers.get("x-forwarded-for", ""),
        settings.TRUSTED_PROXIES,
    )


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The nearest address that no trusted proxy has; ``peer`` is who the connection came from.

    Each proxy writes behind what it was told whom it was called by: what stands before the first that is not trusted
    may be anybody's invention.
    """
    address = peer
    for word in reversed(forwarded_for.split(",")):
        if not _is_trusted(address, trusted) or not word.strip():
            break
        address = _without_port(word.strip())
    return address if _read(address) else peer


def _without_port(word: str) -> str:
    """Some proxies write 192.0.2.1:5000 or [2001:db8::1]:5000."""
    if word.startswith("["):
        return word[1:].partition("]")[0]
    return word.partition(":")[0] if word.count(":") == 1 else word


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    found = _read(address)
    return found is not None and any(found in network for network in trusted)


def _read(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found

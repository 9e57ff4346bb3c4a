"""What is sent to an upstream: a body, and the headers that say whose it is. Written here, sent by attempt.py."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from multidict import CIMultiDict
from yarl import URL

from conversion.dialects import Dialect
from routing.header_rules import PROTECTED, Rule, apply
from routing.pictures import CredentialPicture, ProviderPicture
from routing.upstream.connection import write_head
from routing.upstream.errors import UpstreamUnreachable

WHOLE_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    # Compressing events would hold them back; small answers do not gain.
    "Accept-Encoding": "identity",
    "User-Agent": "llmgateway",
}
STREAM_HEADERS = {**WHOLE_HEADERS, "Accept": "text/event-stream"}
HEADS_KEPT = 1024
"""So many heads are kept; where clients send more different headers than that, they are written anew."""


class Outgoing(msgspec.Struct, frozen=True):
    """What is sent: a body in a dialect. ``headers`` are the client's that go along, ``query`` its query string.

    ``path`` is for what is asked at another place than the dialect's own. ``rules`` are applied to all headers but
    framing and credential; they may let more of ``client_headers`` through, and fill in ``places``.
    """

    body: bytes
    dialect: Dialect
    stream: bool = False
    headers: Mapping[str, str] = {}
    query: str = ""
    path: str = ""
    rules: tuple[Rule, ...] = ()
    client_headers: Mapping[str, str] = {}
    places: Mapping[str, str] = {}


def write_headers(
    provider: ProviderPicture, credential: CredentialPicture | None, outgoing: Outgoing
) -> CIMultiDict[str]:
    """The headers of a request to a provider: the credential's, the kind's, the client's, and what HTTP needs."""
    headers: CIMultiDict[str] = CIMultiDict(STREAM_HEADERS if outgoing.stream else WHOLE_HEADERS)
    if provider.kind.fixed_headers:
        headers.update(provider.kind.fixed_headers)
    if outgoing.headers:
        headers.update(outgoing.headers)
    if outgoing.rules:
        headers = _with_rules(headers, outgoing)
    if credential is not None:
        headers.update(provider.kind.credential_headers(credential.secret.reveal()))
    return headers


def _with_rules(headers: "CIMultiDict[str]", outgoing: Outgoing) -> "CIMultiDict[str]":
    open_ones = {name: value for name, value in headers.items() if name.lower() not in PROTECTED}
    ruled = apply(
        outgoing.rules,
        open_ones,
        client_headers=outgoing.client_headers,
        places=outgoing.places,
    )
    kept = {name: value for name, value in headers.items() if name.lower() in PROTECTED}
    return CIMultiDict({**kept, **ruled})


def address_of(provider: ProviderPicture, outgoing: Outgoing) -> URL:
    """Where a request goes.

    Raises:
        UpstreamUnreachable: the provider's base URL is no address.
    """
    path = outgoing.path or provider.kind.paths[outgoing.dialect]
    query = f"?{outgoing.query}" if outgoing.query else ""
    try:
        url = URL(provider.base_url + path + query, encoded=True)
        is_complete = bool(url.host and url.port)  # a wrong port is only told here
    except ValueError:
        is_complete = False
    if not is_complete:
        raise UpstreamUnreachable(f"provider {provider.slug}: its base URL is no address")
    return url


class _Head(NamedTuple):
    """A head and what it was written of."""

    provider: ProviderPicture
    credential: CredentialPicture | None
    text: bytes


class Heads:
    """The heads of requests, kept because nearly all to a provider have the same: a dozen microseconds each.

    One that was written of another picture of its provider or credential is written anew. What a rule may fill in
    anew for each request is not kept, nor what holds a client's own credential.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], _Head] = {}

    def head_of(
        self, outgoing: Outgoing, provider: ProviderPicture, credential: CredentialPicture | None
    ) -> bytes:
        """The head of a request to a provider, as ``write_head`` makes it.

        Raises:
            HeaderBroken, UnicodeError: a header cannot be sent.
            UpstreamUnreachable: the provider's base URL is no address.
        """
        if outgoing.rules or provider.is_pass_through:
            return _write(outgoing, provider, credential)
        key = (
            provider.pk,
            credential.pk if credential else None,
            outgoing.path or outgoing.dialect,
            outgoing.query,
            outgoing.stream,
            *outgoing.headers.items(),
        )
        kept = self._kept.get(key)
        if kept is None or kept.provider is not provider or kept.credential is not credential:
            if len(self._kept) >= HEADS_KEPT:
                self._kept.clear()
            text = _write(outgoing, provider, credential)
            kept = self._kept[key] = _Head(provider, credential, text)
        return kept.text

    def forget(self) -> None:
        """Keep none, so that no secret outlives its credential here."""
        self._kept.clear()


def _write(
    outgoing: Outgoing, provider: ProviderPicture, credential: CredentialPicture | None
) -> bytes:
    url = address_of(provider, outgoing)
    headers = write_headers(provider, credential, outgoing)
    return write_head(url.raw_path_qs, url.host_port_subcomponent or "", headers.items())

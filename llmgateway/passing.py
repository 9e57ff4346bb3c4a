"""What passes the gateway as it is: a client's headers and query to the upstream, an upstream's limits and errors back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from conversion.dialects import Dialect
from conversion.errors import NativeError
from llmgateway.exchange import ClientRequest
from routing.errors import CredentialNotSent
from routing.upstream.attempt import Reply

RETRY_AFTER_S_MAX = 24 * 3600
LIMIT_HEADERS = ("anthropic-ratelimit-", "anthropic-priority-", "anthropic-fast-", "x-ratelimit-")
CREDENTIAL_HEADERS = ("authorization", "x-api-key")
ANTHROPIC_HEADERS = ("anthropic-version", "anthropic-beta", "anthropic-workspace-id")
DEFAULT_VERSION: Mapping[str, str] = {"anthropic-version": "2023-06-01"}


def headers_along(
    ask: ClientRequest, upstream_dialect: Dialect, wanted: tuple[str, ...] = ()
) -> Mapping[str, str]:
    """The client's headers that go upstream: those that the kind has use for, and those of Anthropic's dialect.

    The latter go byte for byte. A beta that a body uses is refused without its header, so none is left out (protocol
    reference of Claude Code's gateways, read November 2026). A client of another dialect makes no demands: it gets
    the oldest version, which takes sampling parameters.
    """
    along = {name: ask.headers[name] for name in wanted if name in ask.headers} if wanted else {}
    if upstream_dialect is not Dialect.ANTHROPIC_MESSAGES:
        return along
    along.update(DEFAULT_VERSION)
    if ask.dialect is Dialect.ANTHROPIC_MESSAGES:
        along.update((name, ask.headers[name]) for name in ANTHROPIC_HEADERS if name in ask.headers)
    return along


def query_along(ask: ClientRequest, upstream_dialect: Dialect) -> str:
    """The client's query string, such as ``beta=true``, where both ends speak Anthropic's dialect."""
    is_same = ask.dialect is upstream_dialect is Dialect.ANTHROPIC_MESSAGES
    return ask.query if is_same else ""


def client_credential(ask: ClientRequest, provider: str) -> dict[str, str]:
    """The client's own credential, for a provider that is called with it.

    Raises:
        CredentialNotSent: there is none beside the gateway's key.
    """
    own = {name: ask.headers[name] for name in CREDENTIAL_HEADERS if ask.headers.get(name)}
    if own and ask.headers.get("x-llmgateway-key"):
        return own
    raise CredentialNotSent(
        f"Provider {provider} is called with your own credential: send that as Authorization or x-api-key, and the "
        "gateway's API key as x-llmgateway-key."
    )


def limits_in(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that tell a client of rate limits; those of both vendors."""
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower().startswith(LIMIT_HEADERS)
    }


def native_error(
    reply: Reply, body: bytes, client: Dialect, upstream: Dialect
) -> NativeError | None:
    """The upstream's error answer for a client of its dialect; None where it is no error of that dialect."""
    if client.family is not upstream.family:
        return None
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict) or not isinstance(told.get("error"), dict):
        return None
    has_envelope = upstream is not Dialect.ANTHROPIC_MESSAGES or told.get("type") == "error"
    if not has_envelope or not {"message", "type"} <= told["error"].keys():
        return None
    headers = limits_in(reply.headers)
    if "x-should-retry" in reply.headers:
        headers["x-should-retry"] = reply.headers["x-should-retry"]
    return NativeError(reply.status, body, headers)


def read_retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds to wait as the headers say: ``retry-after-ms``, ``retry-after`` in seconds or as a date; else None."""
    milliseconds = headers.get("retry-after-ms", "")
    seconds = headers.get("retry-after", "").strip()
    try:
        if milliseconds:
            wait_s = float(milliseconds) / 1000
        elif seconds and not seconds[0].isalpha():
            wait_s = float(seconds)
        elif seconds:
            moment = parsedate_to_datetime(seconds)
            wait_s = (
                (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
            ).total_seconds()
        else:
            return None
    except ValueError:
        return None
    return wait_s if 0 <= wait_s <= RETRY_AFTER_S_MAX else None

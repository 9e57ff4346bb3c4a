"""Reads LiteLLM's exceptions, without importing it: each class has its row in one table.

A class without a row of its own is judged by the nearest parent that has one, so children need no place before
their parents. LiteLLM tells network failures in several ways, as errors of its own and as a server's 500; they are
told by what lies beneath.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conversion.anthropic_over_openai.errors import read_error_value
from conversion.anthropic_over_openai.overflow import WITHOUT_NUMBERS, read_overflow
from conversion.errors import (
    GatewayError,
    PromptTooLong,
    UpstreamBroken,
    UpstreamError,
    UpstreamForbidden,
    UpstreamInvalid,
    UpstreamModelUnknown,
    UpstreamOutOfCredit,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimedOut,
    UpstreamUnauthorized,
)
from routing.upstream.errors import NetworkError, UpstreamDisconnected, UpstreamUnreachable

log = logging.getLogger(__name__)

BY_STATUS = None
BY_CLASS: dict[str, type[GatewayError] | None] = {
    "AuthenticationError": UpstreamUnauthorized,
    "PermissionDeniedError": UpstreamUnauthorized,
    "NotFoundError": UpstreamModelUnknown,
    "ModelNotMappedError": UpstreamModelUnknown,
    "BadRequestError": UpstreamRejected,
    "InvalidRequestError": UpstreamRejected,
    "UnprocessableEntityError": UpstreamRejected,
    "UnsupportedParamsError": UpstreamRejected,
    "LiteLLMUnknownProvider": UpstreamRejected,
    "RejectedRequestError": UpstreamRejected,
    "ImageFetchError": UpstreamRejected,
    "VectorStoreSearchError": UpstreamRejected,
    "ContextWindowExceededError": PromptTooLong,
    "ContentPolicyViolationError": UpstreamForbidden,
    "GuardrailRaisedException": UpstreamForbidden,
    "BlockedPiiEntityError": UpstreamForbidden,
    "ModifyResponseException": UpstreamForbidden,
    "SensitiveDataRouteException": UpstreamForbidden,
    "PaymentRequiredError": UpstreamOutOfCredit,
    "BudgetExceededError": UpstreamOutOfCredit,
    "RateLimitError": UpstreamRateLimited,
    "Timeout": UpstreamTimedOut,
    "APITimeoutError": UpstreamTimedOut,
    "ServiceUnavailableError": UpstreamOverloaded,
    "MidStreamFallbackError": UpstreamOverloaded,
    "BadGatewayError": UpstreamBroken,
    # Every status that LiteLLM does not know becomes an InternalServerError of 500, Anthropic's 529 among them.
    "InternalServerError": BY_STATUS,
    # A connection that broke is seen beneath; what is left are errors in streams, and failures inside LiteLLM.
    "APIConnectionError": BY_STATUS,
    "APIResponseValidationError": UpstreamInvalid,
    "JSONSchemaValidationError": UpstreamInvalid,
    "APIError": BY_STATUS,
    "APIStatusError": BY_STATUS,
    "MockException": BY_STATUS,
    "OpenAIError": UpstreamBroken,
}
OURS = ("litellm", "openai")
TIMEOUTS = ("Timeout", "APITimeoutError")
# By name: httpx, httpcore, aiohttp and botocore, none of which this module may import, and Python itself.
UNREACHABLE = frozenset(
    {"ConnectError", "ClientConnectorError", "EndpointConnectionError", "gaierror"}
)
BROKEN_OFF = frozenset(
    {
        "NetworkError",
        "ProtocolError",
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionError",
    }
)
CHAIN_MAX = 10
INTERNAL = 500
SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
SECRET_CHARS_MIN = 6

# "litellm.RateLimitError: RateLimitError: OpenAIException - slow down": only the end is the provider's.
_PREFIXES = re.compile(
    r"^(?:(?:litellm\.)?[A-Za-z_]*(?:Error|Exception|Timeout)(?: Error| [A-Za-z]*Error)?(?:: | - ))+"
)
_ADVICE = re.compile(
    r"\s*(?:LiteLLM Retried:|Original exception:|To drop \w+|Received Model Group)"
)


def read_exception(error: Exception, secrets: Sequence[str] = ()) -> GatewayError:
    """The error to raise for whatever LiteLLM raised; its message holds none of ``secrets``."""
    if isinstance(error, GatewayError):
        return error
    inner = getattr(error, "original_exception", None)  # what ended a stream comes wrapped
    if isinstance(inner, Exception) and row_of(inner):
        error = inner
    row = row_of(error)
    network = None if row in TIMEOUTS else _network_error(error)
    if network is not None:
        return network
    if not row:
        log.error("LiteLLM raised an exception of another kind", extra={"error": _name(error)})
        return UpstreamBroken(f"LiteLLM failed inside ({_name(error)})")
    return _known_error(error, BY_CLASS[row], secrets)


def row_of(error: BaseException) -> str:
    """The name of the nearest class that has a row; empty for an exception that is not LiteLLM's."""
    for kind in type(error).__mro__:
        if kind.__name__ in BY_CLASS and kind.__module__.partition(".")[0] in OURS:
            return kind.__name__
    return ""


def _known_error(
    error: Exception, wanted: type[GatewayError] | None, secrets: Sequence[str]
) -> GatewayError:
    status = _status(error)
    retry_after_s = _retry_after_s(error)
    text = _without_secrets(str(getattr(error, "message", "") or error), secrets)
    in_stream = _body_beneath(error) if type(error).__name__ == "APIConnectionError" else None
    if in_stream is not None:
        # LiteLLM makes a 500 of every error that a stream holds.
        told = read_error_value(in_stream)
        return type(told)(
            _without_secrets(told.message, secrets),
            upstream_status=told.upstream_status,
            upstream_code=told.upstream_code,
        )
    found = read_error_value(_sentence(text), status=status, retry_after_s=retry_after_s)
    if wanted is PromptTooLong:
        return PromptTooLong(read_overflow(text) or WITHOUT_NUMBERS, upstream_status=status)
    if wanted is BY_STATUS or (wanted is UpstreamRejected and isinstance(found, PromptTooLong)):
        return found
    if not issubclass(wanted, UpstreamError):
        return wanted(found.message)
    return wanted(
        found.message,
        upstream_status=status,
        upstream_code=found.upstream_code,
        retry_after_s=retry_after_s,
    )


def _network_error(error: BaseException) -> NetworkError | None:
    """What happened on the wire, if that is what lies beneath."""
    for link in _chain(error):
        names = {kind.__name__ for kind in type(link).__mro__}
        if names & UNREACHABLE:
            return UpstreamUnreachable("LiteLLM cannot reach the provider at its address")
        if names & BROKEN_OFF:
            return UpstreamDisconnected("the provider broke off the connection to LiteLLM")
    return None


def _status(error: BaseException) -> int | None:
    """The provider's status: where LiteLLM's own is but 500, one that lies beneath may tell more."""
    told = [getattr(link, "status_code", None) for link in _chain(error)]
    statuses = [status for status in told if isinstance(status, int) and 400 <= status <= 599]
    if statuses and statuses[0] == INTERNAL:
        return next((status for status in statuses if status != INTERNAL), INTERNAL)
    return statuses[0] if statuses else None


def _body_beneath(error: BaseException) -> dict[str, Any] | None:
    """The error as the provider wrote it, where the exception beneath has kept it."""
    bodies = (getattr(link, "body", None) for link in _chain(error))
    return next((body for body in bodies if isinstance(body, dict)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(CHAIN_MAX):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def _retry_after_s(error: Exception) -> float | None:
    """Seconds, as the provider's headers say; a date is left unread."""
    response = getattr(error, "response", None)
    places = (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None))
    for headers in places:
        for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            value = str(headers.get(name, "")) if isinstance(headers, Mapping) else ""
            if SECONDS.fullmatch(value):
                return float(value) * unit_s
    return None


def _sentence(text: str) -> str:
    """The provider's own words. What it wrote as JSON, or as Python's idea of bytes, is read by the caller."""
    text = _PREFIXES.sub("", _ADVICE.split(text)[0]).strip()
    return text[2:-1] if text.startswith(("b'", 'b"')) else text


def _without_secrets(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if len(secret) >= SECRET_CHARS_MIN:
            text = text.replace(secret, "…")
    return text


def _name(error: BaseException) -> str:
    return type(error).__name__

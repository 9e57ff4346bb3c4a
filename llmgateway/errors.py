"""The one table: our error class -> HTTP status and error type, for each client dialect.

A class that is not listed is answered as the nearest of its parents that is. Sources: the pages on errors of
both vendors (read 2026-11). Two rows differ from a naive reading on purpose: an upstream's 401 and 402 are about
the gateway's own account, so the client gets a 502 and is neither sent to a login nor to a payment page.
"""

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from accounting import errors as accounting
from conversion import errors as conversion
from conversion.dialects import Dialect
from conversion.errors import GatewayError
from llmgateway.failures import FallbackExhausted
from routing import errors as routing
from routing.upstream import errors as network


class HttpFault(GatewayError):
    """The request is no proper HTTP request for this address."""


class RequestTooLarge(HttpFault):
    """The body is larger than GATEWAY_BODY_BYTES_MAX."""


class RequestTooSlow(HttpFault):
    """The body did not arrive within GATEWAY_BODY_READ_TIMEOUT_S."""


class BodiesTooMany(HttpFault):
    """The bodies of all requests under way hold as much as they may together."""

    may_retry = True


class EncodingUnknown(HttpFault):
    """The body is compressed in a way that the gateway does not read."""


class BodyBroken(HttpFault):
    """The body is not compressed in the way that its headers say."""


class PathUnknown(HttpFault):
    """There is nothing at this address."""


class MethodNotAllowed(HttpFault):
    """The address exists, but not for this method; ``allowed`` are those that it takes."""

    def __init__(self, message: str, *, allowed: str = "POST") -> None:
        super().__init__(message)
        self.allowed = allowed


class ShuttingDown(HttpFault):
    """The process ends, and the request took longer than it waits for those under way."""

    may_retry = True

    MESSAGE = (
        "The gateway is being stopped and could not wait for this request any longer "
        "(GATEWAY_SHUTDOWN_GRACE_S). Send it again."
    )

    def __init__(self, message: str = MESSAGE) -> None:
        super().__init__(message, retry_after_s=1)


class InternalFault(GatewayError):
    """A bug of ours; the log has it under the request's id."""


class Row(NamedTuple):
    """How one error class is answered in one dialect. ``code`` is OpenAI's only."""

    status: int
    type: str
    code: str | None = None


_A = Dialect.ANTHROPIC_MESSAGES
_O = Dialect.OPENAI_CHAT

TABLE: Mapping[type[GatewayError], Mapping[Dialect, Row]] = {
    GatewayError: {_A: Row(500, "api_error"), _O: Row(500, "server_error")},
    InternalFault: {_A: Row(500, "api_error"), _O: Row(500, "server_error")},
    RequestTooLarge: {
        _A: Row(413, "request_too_large"),
        _O: Row(413, "invalid_request_error", "request_too_large"),
    },
    RequestTooSlow: {
        _A: Row(408, "timeout_error"),
        _O: Row(408, "invalid_request_error", "timeout"),
    },
    BodiesTooMany: {
        _A: Row(529, "overloaded_error"),
        _O: Row(503, "server_error", "overloaded"),
    },
    EncodingUnknown: {
        _A: Row(415, "invalid_request_error"),
        _O: Row(415, "invalid_request_error", "unsupported_encoding"),
    },
    BodyBroken: {
        _A: Row(400, "invalid_request_error"),
        _O: Row(400, "invalid_request_error", "body_broken"),
    },
    PathUnknown: {
        _A: Row(404, "not_found_error"),
        _O: Row(404, "invalid_request_error", "not_found"),
    },
    MethodNotAllowed: {
        _A: Row(405, "invalid_request_error"),
        _O: Row(405, "invalid_request_error", "method_not_allowed"),
    },
    ShuttingDown: {_A: Row(529, "overloaded_error"), _O: Row(503, "server_error", "shutting_down")},
    accounting.KeyMissing: {
        _A: Row(401, "authentication_error"),
        _O: Row(401, "invalid_request_error", "invalid_api_key"),
    },
    accounting.KeyRefused: {
        _A: Row(401, "authentication_error"),
        _O: Row(401, "invalid_request_error", "invalid_api_key"),
    },
    accounting.RateLimited: {
        _A: Row(429, "rate_limit_error"),
        _O: Row(429, "rate_limit_error", "rate_limit_exceeded"),
    },
    # As both vendors tell it: a 429 whose type says that waiting a little does not help. Claude Code shows the
    # message of a billing_error as it is (protocol reference of its gateways, read 2026-11).
    accounting.BudgetExceeded: {
        _A: Row(429, "billing_error"),
        _O: Row(429, "insufficient_quota", "insufficient_quota"),
    },
    accounting.LimitsUnreadable: {
        _A: Row(529, "overloaded_error"),
        _O: Row(503, "server_error", "overloaded"),
    },
    accounting.ArchiveRefused: {_A: Row(500, "api_error"), _O: Row(500, "server_error")},
    accounting.ArchiveDamaged: {_A: Row(500, "api_error"), _O: Row(500, "server_error")},
    accounting.BillUnreadable: {_A: Row(500, "api_error"), _O: Row(500, "server_error")},
    accounting.ParquetMissing: {_A: Row(500, "api_error"), _O: Row(500, "server_error")},
    accounting.LedgerImmutable: {_A: Row(500, "api_error"), _O: Row(500, "server_error")},
    accounting.JournalUnwritable: {_A: Row(529, "overloaded_error"), _O: Row(503, "server_error")},
    routing.ModelUnknown: {
        _A: Row(404, "not_found_error"),
        _O: Row(404, "invalid_request_error", "model_not_found"),
    },
    routing.NoTarget: {_A: Row(529, "overloaded_error"), _O: Row(503, "server_error")},
    routing.ProviderBusy: {
        _A: Row(529, "overloaded_error"),
        _O: Row(503, "server_error", "overloaded"),
    },
    routing.CredentialNotSent: {
        _A: Row(401, "authentication_error"),
        _O: Row(401, "invalid_request_error", "invalid_api_key"),
    },
    routing.SecretUnreadable: {_A: Row(502, "api_error"), _O: Row(502, "server_error")},
    routing.SnapshotUnbuilt: {_A: Row(529, "overloaded_error"), _O: Row(503, "server_error")},
    conversion.RequestInvalid: {
        _A: Row(400, "invalid_request_error"),
        _O: Row(400, "invalid_request_error"),
    },
    conversion.UpstreamInvalid: {_A: Row(502, "api_error"), _O: Row(502, "server_error")},
    conversion.UpstreamStreamCut: {_A: Row(502, "api_error"), _O: Row(502, "server_error")},
    conversion.TransformationFailed: {
        _A: Row(500, "api_error"),
        _O: Row(500, "server_error", "transformation_failed"),
    },
    conversion.UpstreamRejected: {
        _A: Row(400, "invalid_request_error"),
        _O: Row(400, "invalid_request_error"),
    },
    conversion.PromptTooLong: {
        _A: Row(400, "invalid_request_error"),
        _O: Row(400, "invalid_request_error", "context_length_exceeded"),
    },
    conversion.UpstreamUnauthorized: {_A: Row(502, "api_error"), _O: Row(502, "server_error")},
    conversion.UpstreamOutOfCredit: {_A: Row(502, "api_error"), _O: Row(502, "server_error")},
    conversion.UpstreamForbidden: {
        _A: Row(403, "permission_error"),
        _O: Row(403, "invalid_request_error", "content_policy_violation"),
    },
    conversion.UpstreamModelUnknown: {
        _A: Row(404, "not_found_error"),
        _O: Row(404, "invalid_request_error", "model_not_found"),
    },
    conversion.UpstreamTooLarge: {
        _A: Row(413, "request_too_large"),
        _O: Row(413, "invalid_request_error", "request_too_large"),
    },
    conversion.UpstreamTimedOut: {
        _A: Row(504, "timeout_error"),
        _O: Row(504, "server_error", "timeout"),
    },
    conversion.UpstreamRateLimited: {
        _A: Row(429, "rate_limit_error"),
        _O: Row(429, "rate_limit_error", "rate_limit_exceeded"),
    },
    conversion.UpstreamOverloaded: {
        _A: Row(529, "overloaded_error"),
        _O: Row(503, "server_error", "overloaded"),
    },
    conversion.UpstreamBroken: {_A: Row(502, "api_error"), _O: Row(502, "server_error")},
    network.NetworkError: {_A: Row(502, "api_error"), _O: Row(502, "server_error")},
    network.UpstreamTimeout: {
        _A: Row(504, "timeout_error"),
        _O: Row(504, "server_error", "timeout"),
    },
}

FINAL = (
    conversion.UpstreamUnauthorized,
    conversion.UpstreamOutOfCredit,
    conversion.TransformationFailed,
    accounting.BudgetExceeded,
    routing.NoTarget,
    network.UpstreamTlsFailed,
)
"""Answered with a 5xx or 429, yet asking again at once cannot help: clients are told so (``x-should-retry: false``)."""


def row_for(error: GatewayError, dialect: Dialect) -> Row:
    """How the error is answered. The last of several failures stands for all of them."""
    kind = type(told_by(error))
    return next(TABLE[parent][dialect.family] for parent in kind.__mro__ if parent in TABLE)


def told_by(error: GatewayError) -> GatewayError:
    """The error whose class decides: itself, or the failure that stands for a list of them."""
    return error.decisive if isinstance(error, FallbackExhausted) else error


def write_error(error: GatewayError, dialect: Dialect, *, request_id: str) -> bytes:
    """The error's body in the client's dialect."""
    row = row_for(error, dialect)
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return orjson.dumps(
            {
                "type": "error",
                "error": {"type": row.type, "message": error.message},
                "request_id": request_id,
            }
        )
    return orjson.dumps(
        {
            "error": {
                "message": error.message,
                "type": row.type,
                "param": getattr(told_by(error), "path", "") or None,
                "code": row.code,
            }
        }
    )


def error_headers(error: GatewayError) -> dict[str, str]:
    """The headers that tell a client when, and whether, to ask again."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    if isinstance(told_by(error), FINAL):
        headers["x-should-retry"] = "false"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allowed
    if isinstance(error, EncodingUnknown):
        headers["accept-encoding"] = "gzip, deflate"  # RFC 9110, 12.5.3
    return headers

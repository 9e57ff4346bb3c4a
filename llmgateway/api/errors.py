"""One shape for everything that the API refuses: ``{"error": {"type", "message", "fields", "request_id"}}``.

``CONFLICT`` and the like are this API's own refusals; everything else is Django's and DRF's, put into the shape.
"""

import logging
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import IntegrityError
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from llmgateway.exchange import new_request_id

log = logging.getLogger(__name__)

TYPES = {
    400: "invalid_request",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "throttled",
    500: "internal_error",
    502: "upstream_failed",
}
FIELDLESS = "__all__"
"""Under this name stands what is wrong with the request as a whole."""
GONE = "There is nothing at this address, or it is not yours to see."


class Conflict(exceptions.APIException):
    """It cannot be done as things stand now."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class PreconditionFailed(exceptions.APIException):
    """The object is not what the client has seen."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = "The object has changed since: get it again, and look at what is new."


class UpstreamFailed(exceptions.APIException):
    """A provider that was asked does not answer, or not as it should."""

    status_code = status.HTTP_502_BAD_GATEWAY


def invalid(fields: dict[str, Any]) -> exceptions.ValidationError:
    """A refusal that names fields."""
    return exceptions.ValidationError(fields)


def of_django(error: ValidationError) -> exceptions.ValidationError:
    """What a model or a form refuses, with its fields."""
    if hasattr(error, "error_dict"):
        return invalid(error.message_dict)
    return invalid({FIELDLESS: error.messages})


def request_id_of(request: Any) -> str:
    """The id of this request; made when it is first asked for."""
    plain = getattr(request, "_request", request)
    found: str | None = getattr(plain, "api_request_id", None)
    if found is None:
        found = plain.api_request_id = new_request_id()
    return found


def answer_for(error: Exception, context: dict[str, Any]) -> Response:
    """What DRF calls for whatever a view raises."""
    request = context["request"]
    known = _known(error)
    if known is None:
        extra = {"request_id": request_id_of(request)}
        log.error("a request to the management API failed", exc_info=error, extra=extra)
        known = exceptions.APIException(
            "Something is wrong here; the log has it by the request's id."
        )
    set_rollback()
    response = Response(_tree(known, request), status=known.status_code)
    for name, value in _headers(known).items():
        response[name] = value
    return response


def _known(error: Exception) -> exceptions.APIException | None:
    match error:
        case exceptions.APIException():
            return error
        case Http404():
            return exceptions.NotFound(GONE)
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case ValidationError():
            return of_django(error)
        case IntegrityError():
            return Conflict("Somebody else has just made or changed the same: look again.")
        case RequestDataTooBig():
            known = exceptions.APIException("The body is larger than this API takes.")
            known.status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
            return known
        case RecursionError() | SuspiciousOperation():
            return exceptions.ParseError("The body cannot be read.")
    return None


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        headers["WWW-Authenticate"] = 'Bearer realm="api"'
    wait_s = getattr(error, "wait", None)
    if wait_s is not None:
        headers["Retry-After"] = str(max(1, round(wait_s)))
    return headers


def _tree(error: exceptions.APIException, request: Any) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    if isinstance(error, exceptions.ValidationError):
        for name, message in _flat(error.detail):
            fields.setdefault(name, []).append(message)
    return tree(error.status_code, _message(error, fields), request, fields)


def tree(
    code: int, message: str, request: Any, fields: dict[str, list[str]] | None = None
) -> dict[str, Any]:
    """The body of a refusal."""
    told = {
        "type": TYPES.get(code, "invalid_request"),
        "message": message,
        "fields": fields or {},
        "request_id": request_id_of(request),
    }
    return {"error": told}


def _message(error: exceptions.APIException, fields: dict[str, list[str]]) -> str:
    if not fields:
        return str(error.detail)
    name, messages = next(iter(fields.items()))
    where = "" if name == FIELDLESS else f"{name}: "
    more = f" ({len(fields) - 1} more)" if len(fields) > 1 else ""
    return f"{where}{' '.join(messages)}{more}"


def _flat(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Field names with dots, such as routes.0.targets.1.weight, and what is wrong with each."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = "" if name in ("non_field_errors", FIELDLESS) else str(name)
            yield from _flat(inner, ".".join(filter(None, (path, own))))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            is_nested = isinstance(inner, dict | list)
            yield from _flat(inner, f"{path}.{index}".strip(".") if is_nested else path)
    else:
        yield path or FIELDLESS, str(detail)


@csrf_exempt
def not_found(request: HttpRequest) -> JsonResponse:
    """What every address under /api/ that is nobody's answers."""
    response = JsonResponse(tree(404, GONE, request), status=404)
    response["x-request-id"] = request_id_of(request)
    return response

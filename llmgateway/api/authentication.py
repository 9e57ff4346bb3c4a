"""Who calls the API: a token in ``Authorization: Bearer``, or a person signed in on pages."""

from datetime import UTC, datetime
from typing import Any

from django.core.cache import cache
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from llmgateway.api import tokens
from llmgateway.api.models import ApiToken
from llmgateway.page_actors import address_of

FAILURES_MAX = 20
FAILURES_WITHIN_S = 60


class TokenAuthentication(BaseAuthentication):
    """After ``FAILURES_MAX`` refused tokens within a minute, all tokens from that network address wait for its end.

    Counted by each serving process for itself.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """The user and the token; None where no token was sent."""
        scheme, _space, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        counter = f"api-token-failures:{address_of(request._request)}"
        if cache.get(counter, 0) >= FAILURES_MAX:
            raise Throttled(
                wait=FAILURES_WITHIN_S, detail="Too many refused tokens from this address."
            )
        try:
            row = tokens.authenticate(secret.strip(), now=datetime.now(UTC))
        except tokens.TokenRefused as error:
            cache.add(counter, 0, FAILURES_WITHIN_S)
            cache.incr(counter)
            raise AuthenticationFailed(str(error)) from error
        request._request.api_token = row  # type: ignore[attr-defined]
        return row.user, row

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        del request
        return 'Bearer realm="api"'


def token_of(request: Any) -> ApiToken | None:
    """The token that a request was sent with; None for a person signed in on pages."""
    plain = getattr(request, "_request", request)
    found: ApiToken | None = getattr(plain, "api_token", None)
    return found

"""Tells browsers what a page may load and do; a middleware around all others.

Pages of the house hold no inline script or style and load nothing from elsewhere, and their policy says so. The
admin's library needs two things more: Alpine evaluates the words in its attributes (``unsafe-eval``), and colours and
widths stand in ``style`` attributes (``unsafe-inline`` for styles; scripts stay strict). Both can go when django-unfold
ships Alpine's CSP build and no inline styles (seen with 0.91). The pages that show the API have styles in them, too. A view that needs its own policy sets the header itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from inspect import iscoroutinefunction
from typing import cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

CSP = "Content-Security-Policy"
STRICT: Mapping[str, str] = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
ADMIN: Mapping[str, str] = {
    **STRICT,
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
}
API: Mapping[str, str] = {**STRICT, "style-src": "'self' 'unsafe-inline'"}
PERMISSIONS = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), "
    "microphone=(), midi=(), payment=(), usb=(), browsing-topics=()"
)


def policy(directives: Mapping[str, str]) -> str:
    """The header's value."""
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


STRICT_POLICY = policy(STRICT)
POLICIES = {"/admin/": policy(ADMIN), "/api/": policy(API)}

Next = (
    Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]
)


@sync_and_async_middleware
def add_page_headers(get_response: Next) -> Next:
    """Referrer-Policy, X-Content-Type-Options and Cross-Origin-Opener-Policy come from Django's own middleware."""
    if iscoroutinefunction(get_response):
        answer = cast("Callable[[HttpRequest], Awaitable[HttpResponseBase]]", get_response)

        async def with_headers(request: HttpRequest) -> HttpResponseBase:
            return _told(request, await answer(request))

        return with_headers

    answer_now = cast("Callable[[HttpRequest], HttpResponseBase]", get_response)

    def with_headers_now(request: HttpRequest) -> HttpResponseBase:
        return _told(request, answer_now(request))

    return with_headers_now


def _told(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    own = (text for prefix, text in POLICIES.items() if request.path.startswith(prefix))
    response.headers.setdefault(CSP, next(own, STRICT_POLICY))
    response.headers.setdefault("Permissions-Policy", PERMISSIONS)
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    return response

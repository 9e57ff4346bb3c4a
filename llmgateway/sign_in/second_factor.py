"""Who needs a second factor and has none: they are led to set one up before anything else."""

from collections.abc import Awaitable, Callable, Mapping
from inspect import iscoroutinefunction
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils.decorators import sync_and_async_middleware

Next = Callable[[HttpRequest], HttpResponse] | Callable[[HttpRequest], Awaitable[HttpResponse]]

METHODS = "account_authentication_methods"
"""Where django-allauth notes in a session how somebody signed in."""
OPEN = frozenset(
    {
        "account_login",
        "account_logout",
        "account_reauthenticate",
        "mfa_index",
        "mfa_activate_totp",
        "mfa_reauthenticate",
        "logout",
    }
)
"""Names of the pages that stay open to them; ``logout`` is the admin's."""
WORDS = "Your account needs a second factor first: sign in at /usage/ and set one up."


def came_from_provider(session: Mapping[str, Any]) -> bool:
    """Whether an identity provider has let them in."""
    return any(record.get("method") == "socialaccount" for record in session.get(METHODS) or ())


def is_missing(user: User | AnonymousUser, session: Mapping[str, Any]) -> bool:
    """Whether the person must set up a second factor before they may go on."""
    if settings.TWO_FACTOR not in {"required", "always"} or not user.is_staff:
        return False
    if settings.TWO_FACTOR == "required" and came_from_provider(session):
        return False  # second factors are the identity provider's business
    from allauth.mfa.models import Authenticator  # noqa: PLC0415  (apps must be loaded first)

    return not Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP).exists()


@sync_and_async_middleware
def lead_to_second_factor(get_response: Next) -> Next:
    """Asks before the view, which is run in a thread and may ask the database."""
    if iscoroutinefunction(get_response):
        answer = cast("Callable[[HttpRequest], Awaitable[HttpResponse]]", get_response)

        async def page(request: HttpRequest) -> HttpResponse:
            return await answer(request)

        page.process_view = _before_view  # type: ignore[attr-defined]
        return page

    answer_now = cast("Callable[[HttpRequest], HttpResponse]", get_response)

    def page_now(request: HttpRequest) -> HttpResponse:
        return answer_now(request)

    page_now.process_view = _before_view  # type: ignore[attr-defined]
    return page_now


def _before_view(request: HttpRequest, *_view: Any) -> HttpResponse | None:
    match = request.resolver_match
    name = (match.url_name if match else "") or ""
    if settings.TWO_FACTOR == "off" and name.startswith("mfa_") and name != "mfa_index":
        raise Http404("This gateway uses no second factors.")
    if settings.TWO_FACTOR not in {"required", "always"} or name in OPEN:
        return None
    if not is_missing(request.user, request.session):
        return None
    if request.path.startswith("/api/"):
        return JsonResponse(
            {"error": {"type": "permission_denied", "message": WORDS, "fields": {}}}, status=403
        )
    return redirect("mfa_index")

"""Counts wrong codes of second factors; django-axes keeps the count in the database, for all workers.

Wrong passwords are counted by name and address together, so that nobody can lock a colleague out from elsewhere. Wrong
codes are counted by name alone: who comes to the code has entered the password, and another address must not give them
further tries.
"""

from axes.handlers.proxy import AxesProxyHandler
from axes.utils import reset
from django.contrib.auth.models import User
from django.http import HttpRequest

from accounting.audit.sign_ins import note_failure

CODE = " (second factor)"
"""Behind a name: no user can have it, because names hold no spaces."""


def counted_by(
    _request: object, credentials: dict[str, str] | None = None
) -> list[str | list[str]]:
    """By what wrong tries are counted; django-axes asks (``AXES_LOCKOUT_PARAMETERS``)."""
    name = (credentials or {}).get("username") or ""
    return ["username"] if name.endswith(CODE) else [["username", "ip_address"]]


def may_try(request: HttpRequest, user: User) -> bool:
    """Whether another code may be tried; where not, the request is answered as for a locked name."""
    credentials = _credentials(user)
    if AxesProxyHandler.is_allowed(request, credentials):
        return True
    request.axes_locked_out = True  # type: ignore[attr-defined]
    request.axes_credentials = credentials  # type: ignore[attr-defined]
    return False


def note_wrong_code(request: HttpRequest, user: User) -> None:
    """Count it, and tell the audit trail."""
    AxesProxyHandler.user_login_failed(User, _credentials(user), request)
    note_failure(user.get_username())


def forget_wrong_codes(name: str) -> None:
    """Let them try anew."""
    reset(username=name + CODE)


def _credentials(user: User) -> dict[str, str]:
    return {"username": user.get_username() + CODE}

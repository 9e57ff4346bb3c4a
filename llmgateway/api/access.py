"""Who may do what through the API: staff by Django's permissions, people of teams by their roles, tokens by their scope."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounting.principals import Principal, principal_of
from llmgateway.api import tokens
from llmgateway.api.authentication import token_of
from llmgateway.api.models import ApiToken

READ, WRITE, ADMIN = ApiToken.Scope.READ, ApiToken.Scope.WRITE, ApiToken.Scope.ADMIN
VERBS = {"POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}


def principal(request: Request) -> Principal:
    """Who asks; looked up once for each request."""
    found: Principal | None = getattr(request, "principal", None)
    if found is None:
        found = principal_of(request.user)
        request.principal = found  # type: ignore[attr-defined]
    return found


class MayCall(BasePermission):
    """Asks the view: ``scope_wanted``, ``permissions_wanted``, ``is_for_teams`` and ``leads_may``."""

    message = "Your account may not do this."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the request may go on to the rows; which of them are there for it, the view says."""
        if not request.user.is_authenticated or not request.user.is_active:
            return False
        wanted = view.scope_wanted()
        if not tokens.allows(token_of(request), wanted):
            self.message = f"The token's scope does not reach this far: it asks for {wanted}."
            return False
        if request.user.is_staff:
            missing = [
                name for name in view.permissions_wanted() if not request.user.has_perm(name)
            ]
            if missing:
                self.message = f"Your account lacks the permission {', '.join(missing)}."
            return not missing
        if not view.is_for_teams:
            return False
        return request.method in SAFE_METHODS or view.leads_may()


def permission(model: Any, verb: str) -> str:
    """The name of Django's permission to view, add, change or delete rows of a model."""
    return f"{model._meta.app_label}.{verb}_{model._meta.model_name}"

"""The OpenAPI document: what drf-spectacular cannot see by itself."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, extend_schema

from llmgateway.api import idempotency, query

METHODS = ("get", "put", "post", "patch", "delete")
TOLD = {
    "400": "Something in the request is not valid; fields says what.",
    "401": "No token, or one that is refused.",
    "403": "Not yours to do, or beyond the token's scope.",
    "404": "Nothing is there, or it is not yours to see.",
    "409": "It cannot be done as things stand now.",
    "412": "If-Match names another state than the present one.",
    "413": "The body is too large.",
    "415": "The body is not of a type that is read here.",
    "429": "Too many refused tokens from this address.",
    "502": "The provider does not answer as it should.",
}
PUTS = ("providers_update", "teams_update", "tiers_update", "agent_types_update")
ALWAYS = ("400", "401", "403", "404", "429")
OF_CHANGES = ("409", "413", "415")
TEXTS = {"type": "array", "items": {"type": "string"}}
REPORT = {
    "period": "Such as month; or from and to.",
    "from": "First day (UTC), such as 2026-11-01.",
    "to": "Last day (UTC).",
    "team": "Only this team.",
    "project": "Only this project.",
    "model": "Only this upstream model.",
    "provider": "Only this provider.",
}
"""What the report's address may say; accounting/api.py knows more words."""
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "fields", "request_id"],
            "properties": {
                "type": {"type": "string", "description": "Stays, for programs."},
                "message": {"type": "string", "description": "For people; may change."},
                "fields": {
                    "type": "object",
                    "additionalProperties": TEXTS,
                    "description": "What is wrong, by field; nested ones with dots. __all__: the request as a whole.",
                },
                "request_id": {
                    "type": "string",
                    "description": "As in the header x-request-id, and in the log.",
                },
            },
        }
    },
}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How a token is sent."""

    target_class = "llmgateway.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A bearer token."""
        del auto_schema
        return {"type": "http", "scheme": "bearer", "description": "A personal token: gwm-…"}


class UsageReport(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """The report, which has a shape of its own."""

    target_class = "accounting.api.UsageView"

    def view_replacement(self) -> Any:
        """The view, with what it answers."""
        told = extend_schema(
            parameters=[
                OpenApiParameter(name, str, description=text) for name, text in REPORT.items()
            ],
            responses=dict,
        )
        view: Any = self.target_class
        return type("UsageView", (view,), {"get": told(view.get)})


class Document(AutoSchema):
    """With the parameters that views read, and the headers that changes may have."""

    def get_override_parameters(self) -> list[Any]:
        """Filters and pages as ``query.read`` reads them."""
        found: list[Any] = []
        named: Any = getattr(self.view, "fields_in_address", dict)()
        if named:
            found.append(query.serializer_of("Query", named))
        if self.method == "POST" and getattr(self.view, "action", "") in ("create", "rotate"):
            found.append(
                _header(
                    idempotency.HEADER, "Sent again within a day, the first answer comes again."
                )
            )
        if self.method in ("PUT", "PATCH", "DELETE"):
            found.append(
                _header(
                    "If-Match",
                    "The ETag of what you have seen: a change of anything else is refused.",
                )
            )
        return found

    def _get_pagination_parameters(self) -> list[Any]:
        """None: they are among those above."""
        return []

    def get_tags(self) -> list[str]:
        """The first word of the path behind /api/."""
        return [self.path.removeprefix("/api/").split("/")[0]]


def _header(name: str, help_text: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, required=False, description=help_text
    )


def tell_of_refusals(result: dict[str, Any], generator: Any, request: Any, public: bool) -> Any:  # noqa: FBT001
    """Each operation's refusals, all of one shape; called when the document is made."""
    del generator, request, public
    result["components"]["schemas"]["Error"] = ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in result["paths"].values():
        for method, operation in operations.items():
            if method not in METHODS:
                continue
            if operation["operationId"] in PUTS:
                told = operation["responses"]["200"]
                operation["responses"]["201"] = {
                    **told,
                    "description": "It was not there, and is now.",
                }
            codes = [*ALWAYS, *(OF_CHANGES if method != "get" else ())]
            if method in ("put", "patch", "delete"):
                codes.append("412")
            if operation["operationId"].endswith("sync_models_create"):
                codes.append("502")
            for code in codes:
                told = {"description": TOLD[code], "content": content}
                operation["responses"].setdefault(code, told)
    return result


def only_ours(endpoints: list[Any], **_options: Any) -> list[Any]:
    """The addresses that the document tells of: not itself."""
    return [found for found in endpoints if not found[0].startswith(("/api/schema", "/api/docs"))]

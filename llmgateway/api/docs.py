"""The OpenAPI document, and a page to read and try it."""

from functools import cache
from typing import Any, ClassVar

import orjson
import yaml
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView


class DocumentView(APIView):
    """GET /api/schema/: the document as JSON, or as YAML (?as=yaml)."""

    permission_classes: ClassVar = [IsAuthenticated]

    def get(self, request: Request) -> HttpResponse:
        """The same for everybody."""
        if request.query_params.get("as") == "yaml":
            return HttpResponse(as_yaml(), content_type="application/vnd.oai.openapi")
        return HttpResponse(as_json(), content_type="application/vnd.oai.openapi+json")


@cache
def as_json() -> bytes:
    """The document; made once, because that takes a second and it only changes with the program."""
    made: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return orjson.dumps(made, default=str)


@cache
def as_yaml() -> bytes:
    """The document; made once."""
    text: str = yaml.safe_dump(orjson.loads(as_json()), sort_keys=False, allow_unicode=True)
    return text.encode()


@login_required
@require_safe
def docs_page(request: HttpRequest) -> HttpResponseBase:
    """GET /api/docs/: the document to read, and to try as who is signed in."""
    return render(request, "api/docs.html")

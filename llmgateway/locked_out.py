"""The page for somebody whose name and address are locked after too many wrong passwords or codes; django-axes asks for it."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from llmgateway.sign_in.throttle import CODE


def locked_out(request: HttpRequest, _response: Any, credentials: Any) -> HttpResponse:
    """Says for how long, and not whether the name exists."""
    minutes = -(-settings.SIGN_IN_LOCK_S // 60)
    is_code = str((credentials or {}).get("username")).endswith(CODE)
    words = {"minutes": minutes, "is_code": is_code}
    response = render(request, "locked_out.html", words, status=429)
    response["Retry-After"] = str(settings.SIGN_IN_LOCK_S)
    return response

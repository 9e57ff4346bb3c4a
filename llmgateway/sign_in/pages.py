"""The page that says why somebody is not let in."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def refused(request: HttpRequest, *sentences: str, status: int = 403) -> HttpResponse:
    """A page with the sentences and a way back to sign-in."""
    response = render(request, "sign_in/refused.html", {"sentences": sentences}, status=status)
    response["Cache-Control"] = "no-store"
    return response

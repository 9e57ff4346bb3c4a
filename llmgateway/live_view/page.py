"""The page of the live view."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounting.principals import principal_of
from routing import snapshot
from routing.flags import LIVE_VIEW


@login_required
def live_page(request: HttpRequest) -> HttpResponse:
    """GET /usage/live/: requests while they run. Staff see all, leads and auditors the team's, members their own."""
    principal = principal_of(request.user)
    if principal.is_outsider:
        return render(request, "accounting/forbidden.html", status=403)
    held = snapshot.in_force()
    is_on = held is None or held.flags.is_on(LIVE_VIEW, team="", key="", request_id="")
    return render(request, "live.html", {"principal": principal, "is_on": is_on})

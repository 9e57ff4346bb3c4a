"""The page “Replay against another route”: one served request, sent again elsewhere, and both side by side. For staff."""

import logging
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods

from accounting.audit import watch
from accounting.models import RequestLog, VirtualKey
from accounting.principals import principal_of
from accounting.request_pages import absent
from accounting.request_query import without_zeros
from accounting.request_search import FoundRequest
from llmgateway.explain_page import may_send, runtime_for
from llmgateway.explained import pretty
from llmgateway.explanation_asks import logged_body
from llmgateway.explanation_words import estimate_words
from llmgateway.replay import (
    REPLAY_S,
    TARGETS_MAX,
    Preview,
    Side,
    booked,
    compared,
    material_of,
    original_side,
    preview,
    send_all,
)
from llmgateway.replay_form import ReplayForm
from llmgateway.runtime import Runtime

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Page:
    """What one answer shows. ``problem`` is about the button that sends."""

    form: ReplayForm
    previews: list[Preview] = field(default_factory=list)
    sides: list[Side] = field(default_factory=list)
    problem: str = ""


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def replay_page(request: HttpRequest, request_id: str) -> HttpResponse:
    """GET asks where to; POST estimates, and sends where ``send`` and ``confirm`` are there.

    Who may not replay gets the 404 of a request that is not there.
    """
    if not (principal_of(request.user).is_staff and may_send(request)):
        return absent(request, request_id)
    found = booked(without_zeros(request_id))
    if found is None:
        return absent(request, request_id)
    runtime = runtime_for(request)
    may_read = request.user.has_perm("accounting.view_requestlog")
    kept = _log_of(found) if may_read else None
    body = logged_body(kept)
    if kept is not None and (request.method == "GET" or "send" in request.POST):
        watch.note_use(
            kept, "Looked at what was kept, masked, to replay it.", bodies=len(kept.bodies)
        )
    page = _page(request, runtime, found, kept, body)
    context = {
        "found": found,
        "page": page,
        "form": page.form,
        "cards": [
            (each, estimate_words(each.estimate) if each.estimate else "") for each in page.previews
        ],
        "sum_usd": _sum_usd(page.previews),
        "can_send": any(not each.refusal for each in page.previews),
        "has_body": bool(body),
        "may_read": may_read,
        "is_cut": bool(kept and kept.client_request_bytes and not body),
        "targets_max": TARGETS_MAX,
        "wait_s": round(REPLAY_S),
        "payer": page.form.cleaned_data.get("key") if page.form.is_bound else None,
    }
    response = TemplateResponse(request, "requests/replay.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _log_of(found: FoundRequest) -> RequestLog | None:
    """What was kept of the attempt that was answered; else of any: the client's request is the same."""
    rows = RequestLog.objects.filter(pk__in=[row.pk for row in found.attempts])
    return rows.order_by("-pk").first()


def _page(
    request: HttpRequest,
    runtime: Runtime,
    found: FoundRequest,
    kept: RequestLog | None,
    body: str,
) -> Page:
    material = material_of(found.last, kept, body)
    if request.method != "POST":
        return Page(ReplayForm(initial=_entered(found, body), material=material))
    page = Page(ReplayForm(request.POST, material=material))
    if not page.form.is_valid():
        return page
    if "send" in request.POST:
        page.problem = _why_not_sent(request)
        if not page.problem:
            original = original_side(found, kept)
            sides = _send(request, page.form, runtime, found)
            page.sides = [original, *(compared(side, original) for side in sides)]
            return page
    key = page.form.cleaned_data["key"]
    page.previews = [preview(replay, key, runtime) for replay in page.form.replays]
    return page


def _entered(found: FoundRequest, body: str) -> dict[str, Any]:
    """What the form holds at first: the key that paid, and the body that was kept."""
    key_id = found.last.key_id
    is_there = VirtualKey.objects.filter(pk=key_id, enabled=True, revoked_at=None).exists()
    return {"key": str(key_id) if is_there else "", "body": pretty(body) if body else ""}


def _why_not_sent(request: HttpRequest) -> str:
    if not isinstance(request, ASGIRequest):
        return "This process serves no requests. Start the gateway with manage.py serve to send from here."
    if "confirm" not in request.POST:
        return "Not sent: confirm that it costs."
    return ""


def _send(
    request: HttpRequest, form: ReplayForm, runtime: Runtime, found: FoundRequest
) -> list[Side]:
    key = form.cleaned_data["key"]
    ids = ", ".join(replay.ask.id for replay in form.replays)
    sentence = f"Sent {ids} as this key, replaying {found.request_id}."
    LogEntry.objects.log_actions(
        cast("int", request.user.pk), VirtualKey.objects.filter(pk=key.pk), CHANGE, sentence
    )
    row = VirtualKey.objects.filter(pk=key.pk).first()
    if row is not None:
        watch.note_use(row, f"Sent {ids} in its name, replaying {found.request_id}.")
    log.info("a request is replayed", extra={"request_id": found.request_id, "key": key.name})
    return send_all(form.replays, key, runtime)


def _sum_usd(previews: list[Preview]) -> Decimal | None:
    """The estimates together; None where one is not known."""
    amounts = [each.estimate.cost_usd for each in previews if each.estimate]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(amounts) else None

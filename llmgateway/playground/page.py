"""The playground's page, the models of a key, and the stream that its script reads."""

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any, cast

import orjson
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounting import keys
from accounting.audit import watch
from accounting.models import UsageRecord, VirtualKey
from accounting.templatetags.requests import badge
from llmgateway import current
from llmgateway.answers import STREAM_HEADERS
from llmgateway.explain_page import may_explain, runtime_for
from llmgateway.playground.callers import Caller, caller_of
from llmgateway.playground.drafts import DIALECTS, Turn
from llmgateway.playground.explaining import ShownPlan, shown_plan
from llmgateway.playground.form import ROLES, PlaygroundForm, models_for
from llmgateway.playground.remedies import remedy_of
from llmgateway.playground.sending import Live, Outcome, Sending, prepare, send
from llmgateway.runtime import Runtime
from routing import snapshot

log = logging.getLogger(__name__)

LINES = "application/x-ndjson; charset=utf-8"
NOT_SERVING = (
    "This process serves no requests. Start the gateway with manage.py serve to send from here."
)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at an outcome: what they may follow up, and whether the whole team is theirs to see."""

    caller: Caller
    is_staff: bool
    may_explain: bool

    def sees(self, team: str) -> bool:
        """Whether the team's limits and budgets are theirs to see."""
        return self.is_staff or team in self.caller.principal.whole_teams


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is sent."""

    status: int
    problems: list[str]


def for_callers(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Only for people who may send as some key; the view is given who they are."""

    @login_required
    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        caller = caller_of(request.user)
        if caller.is_outsider and not request.user.is_staff:
            return render(request, "accounting/forbidden.html", status=403)
        if caller.is_outsider or caller.only_audits:
            return render(request, "playground/refused.html", {"caller": caller}, status=403)
        response = view(request, caller)
        response["Cache-Control"] = "no-store"
        return response

    return guarded


@for_callers
@require_http_methods(["GET", "HEAD", "POST"])
def playground(request: HttpRequest, caller: Caller) -> HttpResponse:
    """GET shows the form, with ``key`` and ``alias`` chosen; POST changes its shape, or sends and waits for the whole answer."""
    runtime = runtime_for(request)
    outcome, problem = None, ""
    if request.method == "POST":
        form = PlaygroundForm(request.POST, request.FILES, caller=caller)
        action = request.POST.get("action", "")
        if action == "send" and form.is_valid():
            if isinstance(request, ASGIRequest):
                outcome = async_to_sync(send)(_ready(form, runtime))
            else:
                problem = NOT_SERVING
        elif action in _SHAPES:
            form = _SHAPES[action](form, caller)
    else:
        form = PlaygroundForm(initial=request.GET.dict(), caller=caller)
    context = {**_context(form, caller), "problem": problem}
    if outcome is not None:
        context |= outcome_context(outcome, _viewer(request, caller))
    return render(request, "playground/page.html", context)


def _unbound(form: PlaygroundForm, caller: Caller) -> PlaygroundForm:
    """The form with what was entered, without complaints about it."""
    entered = {name: form.data.get(name) for name in form.fields if name in form.data}
    for name in ("stream", "tool"):
        entered[name] = name in form.data
    fresh = PlaygroundForm(initial=entered, caller=caller)
    fresh.turns = form.turns
    fresh.is_raw = form.is_raw
    return fresh


def _with_turn(form: PlaygroundForm, caller: Caller) -> PlaygroundForm:
    fresh = _unbound(form, caller)
    role = ROLES[1] if fresh.turns[-1].role == ROLES[0] else ROLES[0]
    fresh.turns = [*fresh.turns, Turn(role, "")]
    return fresh


def _as_json(form: PlaygroundForm, caller: Caller) -> PlaygroundForm:
    """The body that the fields make; the form with its errors where they make none."""
    if not form.is_valid():
        return form
    fresh = _unbound(form, caller)
    fresh.initial["raw"] = form.body
    fresh.is_raw = True
    return fresh


def _as_fields(form: PlaygroundForm, caller: Caller) -> PlaygroundForm:
    fresh = _unbound(form, caller)
    fresh.is_raw = False
    return fresh


_SHAPES: dict[str, Callable[[PlaygroundForm, Caller], PlaygroundForm]] = {
    "models": _unbound,
    "turn": _with_turn,
    "raw": _as_json,
    "fields": _as_fields,
}


def _context(form: PlaygroundForm, caller: Caller) -> dict[str, Any]:
    now = datetime.now(UTC)
    rows = [(row, keys.state_of(row, now=now)) for row in form.key_rows]
    chosen = _number(form["key"].value())
    if chosen not in {row.pk for row, _state in rows}:
        chosen = next((row.pk for row, state in rows if state in keys.ACCEPTED), 0)
        chosen = chosen or (rows[0][0].pk if rows else 0)
    models, patterns = models_for(chosen)
    held = snapshot.in_force()
    return {
        "form": form,
        "caller": caller,
        "keys": rows,
        "chosen": chosen,
        "models": models,
        "patterns": patterns,
        "has_aliases": bool(held and (held.exact or held.patterns)),
        "dialects": [(dialect.value, label) for dialect, label in DIALECTS.items()],
        "roles": ROLES,
    }


def _number(value: Any) -> int:
    text = str(getattr(value, "pk", value) or "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


@for_callers
@require_safe
def models(request: HttpRequest, caller: Caller) -> HttpResponse:
    """GET …/models/?key=: what a key may ask for; the same 404 for one that is not theirs and one that is not there."""
    pk = _number(request.GET.get("key"))
    if not caller.keys().filter(pk=pk).exists():
        raise Http404("There is no such API key.")
    runtime_for(request)
    names, patterns = models_for(pk)
    return JsonResponse({"models": names, "patterns": patterns})


@login_required
@require_POST
async def stream(request: HttpRequest) -> HttpResponseBase:
    """POST …/send/: sends, and tells of the answer line by line, each an object of JSON; 4xx tells why nothing was sent."""
    if not isinstance(request, ASGIRequest):
        return JsonResponse({"problems": [NOT_SERVING]}, status=409)
    runtime = await current.runtime()
    begun = await sync_to_async(_begin)(request, runtime)
    if isinstance(begun, Refusal):
        return JsonResponse({"problems": begun.problems}, status=begun.status)
    sending, viewer = begun
    response = StreamingHttpResponse(_lines(sending, viewer), content_type=LINES)
    for name, value in {**STREAM_HEADERS, "cache-control": "no-store"}.items():
        response[name] = value
    return response


def _begin(request: HttpRequest, runtime: Runtime) -> tuple[Sending, Viewer] | Refusal:
    """What is to be sent and for whom; else why it is not."""
    caller = caller_of(request.user)
    if caller.is_outsider or caller.only_audits:
        return Refusal(403, ["You may not send from here."])
    form = PlaygroundForm(request.POST, request.FILES, caller=caller)
    if not form.is_valid():
        labels = {name: field.label for name, field in form.fields.items()}
        problems = [
            f"{labels.get(name, name)}: {sentence}"
            for name, sentences in form.errors.items()
            for sentence in sentences
        ]
        return Refusal(400, problems)
    return _ready(form, runtime), _viewer(request, caller)


def _ready(form: PlaygroundForm, runtime: Runtime) -> Sending:
    """The request, planned, and noted in the audit trail."""
    row = cast("VirtualKey", form.cleaned_data["key"])
    assert form.picture is not None  # noqa: S101  (the form is valid)
    sending = prepare(form.to_request(), form.picture, runtime)
    watch.note_use(row, f"Sent request {sending.ask.id} in its name, from the playground.")
    log.info(
        "a request is sent from the playground",
        extra={"request_id": sending.ask.id, "key": row.name},
    )
    return sending


async def _lines(sending: Sending, viewer: Viewer) -> AsyncGenerator[bytes, None]:
    yield _line({"kind": "begin", "id": sending.ask.id})
    live = Live(sending)
    async with contextlib.aclosing(live.parts()) as parts:
        async for said in parts:
            # An empty line keeps the connection open.
            yield b"".join(map(_said_line, said)) or b"\n"
    assert live.outcome is not None  # noqa: S101  (the parts have come to their end)
    html = await sync_to_async(_fragment)(live.outcome, viewer)
    yield _line({"kind": "end", "html": html})


def _said_line(said: Any) -> bytes:
    return _line({"kind": said.kind, "text": said.text, "call": said.call})


def _line(told: dict[str, Any]) -> bytes:
    return orjson.dumps(told) + b"\n"


def _fragment(outcome: Outcome, viewer: Viewer) -> str:
    return render_to_string("playground/_outcome.html", outcome_context(outcome, viewer))


def _viewer(request: HttpRequest, caller: Caller) -> Viewer:
    return Viewer(caller, bool(request.user.is_staff), may_explain(request))


def outcome_context(outcome: Outcome, viewer: Viewer) -> dict[str, Any]:
    """What the part of the page on an outcome shows."""
    sending = outcome.sending
    plan: ShownPlan = shown_plan(
        sending.told, sees_all=viewer.may_explain, sees_team=viewer.sees(sending.key.team)
    )
    return {
        "outcome": outcome,
        "remedy": remedy_of(outcome, is_staff=viewer.is_staff),
        "plan": plan,
        "may_explain": viewer.may_explain,
        "state": badge(UsageRecord(status=outcome.last.status)) if outcome.last else "",
        "tags": outcome.last.tags.strip(",").replace(",", ", ") if outcome.last else "",
    }

"""The admin's page “Explain route”: what a request would do, shown without sending it; and a button that sends it."""

import logging
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from accounting.audit import watch
from accounting.models import UsageRecord, VirtualKey
from conversion.dialects import Dialect
from llmgateway import current, trial
from llmgateway.explain_form import ExplainForm, entered_as
from llmgateway.explained import ExplainedTarget, Explanation
from llmgateway.explanation import NOBODY, bystander, explain
from llmgateway.explanation_asks import Question, example_body, question_of_record
from llmgateway.explanation_words import edit_words, estimate_words
from llmgateway.runtime import Runtime, refresh_pictures
from routing import snapshot

log = logging.getLogger(__name__)

REQUEST_CHARS_MAX = 100_000
"""How much of each upstream request is shown; manage.py explain tells all of it."""
EXAMPLE_MODEL = "claude-sonnet-4-5"


@dataclass(slots=True)
class Page:
    """What one answer shows. ``problem`` is about the button that sends, ``missing`` about the address."""

    form: ExplainForm
    explanation: Explanation | None = None
    answer: trial.SentAnswer | None = None
    problem: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A target as the page shows it."""

    target: ExplainedTarget
    estimate: str
    edits: list[str] = field(default_factory=list)
    request: str = ""
    is_cut: bool = False


def may_explain(request: HttpRequest) -> bool:
    """Staff who may see the aliases; also asked by the sidebar."""
    return bool(request.user.is_staff) and request.user.has_perm("routing.view_modelalias")


def may_send(request: HttpRequest) -> bool:
    """Who may make an API key could send in its name anyway."""
    return may_explain(request) and request.user.has_perm("accounting.add_virtualkey")


@admin.site.admin_view
def explain_page(request: HttpRequest) -> HttpResponse:
    """GET with ``record`` or ``model`` explains what they name; POST what was entered, and sends it if that was asked for."""
    if not may_explain(request):
        raise PermissionDenied
    runtime = runtime_for(request)
    page = _posted(request, runtime) if request.method == "POST" else _named(request, runtime)
    context = {
        **admin.site.each_context(request),
        "title": "Explain route",
        "page": page,
        "form": page.form,
        "told": page.explanation,
        "cards": cards_of(page.explanation),
        "may_send": may_send(request),
        "records": _records(page.answer.request_id) if page.answer else "",
        "has_aliases": bool(_visible_names()),
        "is_serving": isinstance(request, ASGIRequest),
    }
    return TemplateResponse(request, "admin/explain.html", context)


def runtime_for(request: HttpRequest) -> Runtime:
    """The serving runtime of this process. A process behind WSGI has none, so it only reads what is configured.

    Under ASGI a page runs in a thread of the server's, and async_to_sync leads back into the server's event loop.
    """
    if isinstance(request, ASGIRequest):
        return async_to_sync(current.runtime)()
    refresh_pictures()
    return bystander()


def _named(request: HttpRequest, runtime: Runtime) -> Page:
    if record_id := request.GET.get("record"):
        question = _of_record(request, record_id)
        if question is None:
            missing = f"There is no usage record {record_id[:40]!r} that you may see."
            return Page(ExplainForm(initial=entered_as(_example())), missing=missing)
    elif model := request.GET.get("model"):
        question = _example(model)
    else:
        return Page(ExplainForm(initial=entered_as(_example())))
    explanation = explain(question.to_request(), question.key, runtime, remarks=question.remarks)
    return Page(ExplainForm(initial=entered_as(question)), explanation)


def _of_record(request: HttpRequest, record_id: str) -> Question | None:
    """The request behind a usage record; its logged body only for who may read request logs."""
    if not request.user.has_perm("accounting.view_usagerecord"):
        return None
    record = UsageRecord.objects.filter(pk=record_id).first()
    may_see_body = request.user.has_perm("accounting.view_requestlog")
    return question_of_record(record, may_see_body=may_see_body) if record else None


def _example(model: str = "") -> Question:
    dialect = Dialect.ANTHROPIC_MESSAGES
    names = _visible_names()
    body = example_body(model or (names[0] if names else EXAMPLE_MODEL), dialect)
    return Question(body, dialect, (), NOBODY)


def _visible_names() -> list[str]:
    held = snapshot.in_force()
    return sorted(alias.name for alias in held.exact.values() if alias.visible) if held else []


def _posted(request: HttpRequest, runtime: Runtime) -> Page:
    page = Page(ExplainForm(request.POST))
    if not page.form.is_valid():
        return page
    question = page.form.question
    if "send" in request.POST:
        page.problem = _why_not_sent(request, question)
        if not page.problem:
            page.answer = _send(request, question)
    page.explanation = explain(question.to_request(), question.key, runtime)
    return page


def _why_not_sent(request: HttpRequest, question: Question) -> str:
    if not may_send(request):
        raise PermissionDenied
    if not isinstance(request, ASGIRequest):
        return "This process serves no requests. Start the gateway with manage.py serve to send from here."
    if not question.key.pk:
        return "Choose an API key under “Who asks”: the request is sent and booked in its name."
    if "confirm" not in request.POST:
        return "Not sent: confirm that it costs."
    return ""


def _send(request: HttpRequest, question: Question) -> trial.SentAnswer:
    ask, key = question.to_request(), question.key
    sentence = f"Sent request {ask.id} as this key, from “Explain route”."
    LogEntry.objects.log_actions(
        cast("int", request.user.pk), VirtualKey.objects.filter(pk=key.pk), CHANGE, sentence
    )
    row = VirtualKey.objects.filter(pk=key.pk).first()
    if row is not None:
        watch.note_use(row, f"Sent request {ask.id} in its name, from Explain route.")
    log.info("a request is sent from a page", extra={"request_id": ask.id, "key": key.name})
    return async_to_sync(trial.send)(ask, key)


def _records(request_id: str) -> str:
    """The list of the request's usage records: they are written a moment after the answer."""
    address = reverse("admin:accounting_usagerecord_changelist")
    return f"{address}?{urlencode({'q': request_id})}"


def cards_of(explanation: Explanation | None) -> list[Card]:
    """The targets of an explanation, ready to be shown."""
    return [_card_of(target) for target in (explanation.targets if explanation else ())]


def _card_of(target: ExplainedTarget) -> Card:
    text = target.request.text if target.request else ""
    words: list[Any] = [edit_words(edit) for edit in target.edits]
    return Card(
        target,
        estimate_words(target.estimate),
        words,
        text[:REQUEST_CHARS_MAX],
        is_cut=len(text) > REQUEST_CHARS_MAX,
    )

"""The page “First steps”: from an empty database to a first request, each step a form that works without script.

How far one is, is read from the rows each time. The answer that shows a new key is the only one that ever does.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounting.audit import watch
from accounting.keys import MintedKey
from accounting.models import Team, VirtualKey
from accounting.request_search import FoundRequest
from accounting.set_up_lines import NO_KEY, SetUpLine, set_up_lines
from llmgateway.beginnings import add_demo
from llmgateway.first_steps import choosing
from llmgateway.first_steps.adding import KeyForm, ProviderForm
from llmgateway.first_steps.choosing import NamesWrong, Offered, Wish
from llmgateway.first_steps.progress import (
    Progress,
    Step,
    is_real,
    key_to_watch,
    newest_request,
    progress,
    remedy_of,
    state_of,
)
from llmgateway.first_steps.remedies import remedy_for
from routing import checks, versions
from routing.checks import Finding
from routing.models import Provider
from routing.providers import KINDS

NEEDED = (
    "routing.add_provider",
    "routing.change_provider",
    "routing.add_credential",
    "routing.add_deployment",
    "routing.change_deployment",
    "routing.add_modelalias",
    "routing.add_route",
    "routing.add_routetarget",
    "routing.delete_routetarget",
    "accounting.add_team",
    "accounting.add_virtualkey",
    "accounting.view_usagerecord",
)
"""What the steps do, one could do on the other pages with these permissions."""
TITLES = {
    Step.PROVIDER: "Add a provider",
    Step.TEST: "Test the connection",
    Step.MODELS: "Choose models",
    Step.KEY: "Make a team and an API key",
    Step.REQUEST: "Send a first request",
}
TEAMS_MAX = 200


@dataclass(slots=True)
class Page:
    """What one answer shows beside how far one is: forms with what was wrong in them, and a key in clear, once."""

    progress: Progress
    opened: Step
    provider_form: ProviderForm | None = None
    key_form: KeyForm | None = None
    minted: MintedKey | None = None
    offered: Offered | None = None
    faults: list[str] = field(default_factory=list)
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A step as the page shows it."""

    step: Step
    number: int
    title: str
    state: str
    is_open: bool

    @property
    def template(self) -> str:
        """What is inside."""
        return f"admin/first_steps/_{self.step}.html"


def may_set_up(request: HttpRequest) -> bool:
    """Staff who may add and change all that the steps touch; also asked by the sidebar and the dashboard."""
    user: Any = request.user
    return bool(user.is_staff) and user.has_perms(NEEDED)


@admin.site.admin_view
def first_steps_page(request: HttpRequest) -> HttpResponse:
    """GET shows how far one is; POST takes the step that ``do`` names."""
    if not may_set_up(request):
        raise PermissionDenied
    take = STEPS.get(request.POST.get("do", "")) if request.method == "POST" else None
    return take(request) if take else shown(request, page_for(request))


def page_for(request: HttpRequest) -> Page:
    """The page as the address asks for it; without a wish the next step is open."""
    found = progress(provider=request.GET.get("provider", ""), key=request.GET.get("key", ""))
    named = request.GET.get("step", "")
    opened = Step(named) if named in set(Step) else found.now
    fault = request.GET.get("fault", "")
    return Page(found, opened, remedy=remedy_for(fault) if fault else "")


def address_of(step: Step, provider: Provider | None = None, **more: str) -> str:
    """The page with a step open."""
    named = {"provider": provider.slug} if provider else {}
    query = urlencode({**named, "step": step, **more})
    return f"{reverse('first-steps')}?{query}#{step}"


def _to(step: Step, provider: Provider | None = None, **more: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(address_of(step, provider, **more))


def shown(request: HttpRequest, page: Page) -> HttpResponse:
    """The answer; one that shows a key is kept nowhere."""
    context = {
        **admin.site.each_context(request),
        "title": "First steps",
        "page": page,
        "progress": page.progress,
        "cards": list(_cards(page)),
        **_provider_context(request, page),
        **_models_context(request, page),
        **_key_context(page),
        **_request_context(request, page),
    }
    response = TemplateResponse(request, "admin/first_steps/page.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _cards(page: Page) -> Iterable[Card]:
    done, check = page.progress.done, page.progress.check
    for number, step in enumerate(Step, start=1):
        state = "done" if step in done else "now" if step is page.progress.now else "to do"
        if step is Step.TEST and check is not None and check.problem:
            state = "problem"
        yield Card(step, number, TITLES[step], state, is_open=step is page.opened)


# Step 1: a provider.


def _provider_context(request: HttpRequest, page: Page) -> dict[str, Any]:
    form = page.provider_form
    named = KINDS.get(request.GET.get("kind", ""))
    if form is None and named is not None:
        form = ProviderForm(named)
    has_demo = not all(map(is_real, page.progress.providers))
    kinds = [kind for kind in KINDS.values() if not (kind.is_demo and has_demo)]
    return {"kinds": kinds, "provider_form": form, "has_demo": has_demo}


def _add_provider(request: HttpRequest) -> HttpResponse:
    kind = KINDS.get(request.POST.get("kind", ""))
    if kind is None:
        messages.error(request, "Choose what kind of provider it is.")
        return _to(Step.PROVIDER)
    author = request.user.get_username()
    if kind.is_demo:
        with versions.changes_by(author, "First steps: added the demo."):
            add_demo()
        return _tested(request, Provider.objects.filter(kind=kind.name).first())
    form = ProviderForm(kind, request.POST)
    if not form.is_valid():
        page = page_for(request)
        page.provider_form, page.opened = form, Step.PROVIDER
        return shown(request, page)
    with versions.changes_by(author, f"First steps: added provider {form.cleaned_data['slug']}."):
        row = form.save()
    _log(request, row, ADDITION, "Added in the first steps.")
    return _tested(request, row)


# Step 2: whether it answers.


def _test(request: HttpRequest) -> HttpResponse:
    return _tested(request, _provider_meant(request))


def _provider_meant(request: HttpRequest) -> Provider | None:
    return Provider.objects.filter(slug=request.POST.get("provider", ""), enabled=True).first()


def _tested(request: HttpRequest, row: Provider | None) -> HttpResponse:
    """Look at the provider for real; on to the models where it is well, else to what may be done about it."""
    if row is None:
        messages.error(request, "There is no such provider any more.")
        return _to(Step.PROVIDER)
    state, models_n = asyncio.run(checks.look_closely(checks.picture_of(row), row.check_model))
    checks.store(row.pk, Finding(state, datetime.now(UTC)))
    watch.note_use(row, "Tested the connection in the first steps, with its credentials.")
    if state.problem:
        return _to(Step.TEST, row, fault=state.error or "unknown")
    listed = "" if models_n is None else f", {models_n} model{'' if models_n == 1 else 's'}"
    messages.success(request, f"{row}: {checks.sentence(state)}{listed}")
    now = progress(provider=row.slug).now
    return _to(now, row)


# Step 3: its models.


def _models_context(request: HttpRequest, page: Page) -> dict[str, Any]:
    """The provider is asked only while the step is open: a list may take seconds."""
    row = page.progress.provider
    if row is None or page.opened is not Step.MODELS or not is_real(row):
        return {}
    wanted = request.GET.get("filter", "")
    offered = page.offered or choosing.offer(row, wanted=wanted)
    ways = choosing.claude_ways(row, offered)
    return {
        "offered": offered,
        "filter": wanted,
        "claude_ways": ways,
        "typed": request.POST.get("typed", ""),
        "may_price": cast("Any", request.user).has_perm("accounting.add_price"),
        "with_prices": not choosing.is_own_server(row),
    }


def _choose_models(request: HttpRequest) -> HttpResponse:
    row = _provider_meant(request)
    if row is None:
        return _tested(request, None)
    form, user = request.POST, cast("Any", request.user)
    try:
        names = choosing.read_names("\n".join([*form.getlist("model"), form.get("typed", "")]))
        claude = form.get("claude", choosing.KEEP)
        if claude.startswith(choosing.MODEL):
            choosing.read_names(claude.removeprefix(choosing.MODEL))
        with_prices = "prices" in form and user.has_perm("accounting.add_price")
        done = choosing.choose(row, Wish(names, claude, with_prices), author=user.get_username())
    except NamesWrong as error:
        page = page_for(request)
        page.progress, page.opened = progress(provider=row.slug), Step.MODELS
        page.faults = [str(error)]
        return shown(request, page)
    _log(request, row, CHANGE, f"Chose models in the first steps: {', '.join(done.names)}."[:500])
    messages.success(request, _sentence_on(row, done))
    if done.taken:
        messages.warning(
            request,
            f"These names lead to another provider already, and were left so: {', '.join(done.taken)}. "
            "Model aliases is the page to change them.",
        )
    return _to(progress(provider=row.slug).now, row)


def _sentence_on(row: Provider, done: choosing.Chosen) -> str:
    count = len(done.names)
    return f"{count} name{'' if count == 1 else 's'} lead{'s' if count == 1 else ''} to {row} within a second."


# Step 4: who asks.


def _key_context(page: Page) -> dict[str, Any]:
    if page.opened is not Step.KEY and page.key_form is None:
        return {}
    teams = list(Team.objects.filter(enabled=True).order_by("slug")[:TEAMS_MAX])
    first = {"team": teams[0].slug if teams else "main", "name": "laptop"}
    return {"key_form": page.key_form or KeyForm(initial=first), "teams": teams}


def _make_key(request: HttpRequest) -> HttpResponse:
    form = KeyForm(request.POST)
    page = page_for(request)
    page.opened, page.key_form = Step.KEY, form
    if form.is_valid():
        try:
            page.minted = form.mint()
        except ValidationError as error:
            for problem in error.messages:
                form.add_error("name", problem)
    if page.minted is None:
        return shown(request, page)
    _log(request, page.minted.row, ADDITION, "Made in the first steps.")
    slug = page.progress.provider.slug if page.progress.provider else ""
    page.progress = progress(provider=slug, key=str(page.minted.row.pk))
    page.opened, page.key_form = Step.REQUEST, None
    return shown(request, page)


# Step 5: the first request.


def _request_context(request: HttpRequest, page: Page) -> dict[str, Any]:
    key = page.progress.key
    if key is None:
        return {}
    provider = page.progress.provider
    watched = {"key": str(key.pk), "provider": provider.slug if provider else ""}
    return {
        "lines": _lines(request, page),
        "news_address": f"{reverse('first-steps-request')}?{urlencode(watched)}",
        **_news_context(key, page.progress.request, watched["provider"]),
    }


def _lines(request: HttpRequest, page: Page) -> tuple[SetUpLine, ...]:
    url = settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/")
    secret = page.minted.secret if page.minted else NO_KEY
    return set_up_lines(url, key=secret, model=page.progress.model or "MODEL")


def _news_context(key: VirtualKey | None, found: FoundRequest | None, slug: str) -> dict[str, Any]:
    return {
        "news_provider": slug,
        "key": key,
        "request_state": state_of(found),
        "first_request": found,
        "request_remedy": remedy_of(found),
    }


@admin.site.admin_view
@require_safe
def first_request_news(request: HttpRequest) -> HttpResponse:
    """GET …/request/?key=NUMBER&provider=SLUG: how the key's newest request there went, as JSON with what is shown of it."""
    if not may_set_up(request):
        raise PermissionDenied
    key = key_to_watch(request.GET.get("key", ""))
    slug = request.GET.get("provider", "")
    found = newest_request(key.pk, slug) if key else None
    told = _news_context(key, found, slug)
    html = render_to_string("admin/first_steps/_news.html", told, request)
    response = JsonResponse({"state": state_of(found), "html": html})
    response["Cache-Control"] = "no-store"
    return response


def _log(request: HttpRequest, row: Model, flag: int, sentence: str) -> None:
    """As the admin's own pages note what they change."""
    rows = type(row)._default_manager.filter(pk=row.pk)
    LogEntry.objects.log_actions(cast("int", request.user.pk), rows, flag, sentence)


STEPS = {
    "provider": _add_provider,
    "test": _test,
    "models": _choose_models,
    "key": _make_key,
}

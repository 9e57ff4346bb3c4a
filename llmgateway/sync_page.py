"""The provider's page with the button that synchronises its models: first shown, then confirmed.

It stands here and not with routing's other pages, because it writes prices too. What was told is asked anew when the
preview is confirmed; an update is applied only if it is still the one that was shown.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from unfold.decorators import action

from accounting.audit import watch
from conversion.errors import GatewayError
from llmgateway import model_sync
from llmgateway.model_sync import Preview, Update
from llmgateway.sync_words import Line, lines_of
from routing import checks
from routing.admin.provider import ProviderAdmin
from routing.models import Provider
from routing.synchronisation import What

ROWS_SHOWN_MAX = 400
"""More boxes than Django takes fields in a form could not be sent."""

admin.site.unregister(Provider)


@dataclass(frozen=True, slots=True)
class Wish:
    """What to look at: models that match a pattern, with their prices or without."""

    patterns: tuple[str, ...]
    with_prices: bool

    @property
    def text(self) -> str:
        """The patterns as they were entered."""
        return " ".join(self.patterns)


@dataclass(frozen=True, slots=True)
class Entry:
    """An update as the page shows it; ``sources`` are those of its values."""

    update: Update
    lines: Sequence[Line]
    sources: str
    is_chosen: bool


@admin.register(Provider)
class SynchronisedProviderAdmin(ProviderAdmin):
    """Who the gateway calls, and which models it has there."""

    actions_detail = (*ProviderAdmin.actions_detail, "synchronise_models")

    @action(
        description="Synchronise models",
        url_path="synchronise",
        permissions=["synchronise"],
        icon="sync",
    )
    def synchronise_models(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what would change; write what was chosen of it."""
        row = get_object_or_404(Provider, pk=object_id)
        wish = read_wish(request)
        now = datetime.now(UTC)
        try:
            watch.note_use(row, "Asked for its models, with its credentials.")
            plan = look(row, wish, now)
        except (GatewayError, model_sync.NothingTold) as error:
            messages.error(request, f"{row}: {getattr(error, 'message', error)}")
            return redirect("admin:routing_provider_change", object_id)
        if request.method == "POST":
            self._write(request, row, plan, now)
            return redirect("admin:routing_provider_synchronise_models", object_id)
        context = {
            **self.admin_site.each_context(request),
            **page_of(plan, wish),
            "title": f"Synchronise the models of {row}",
            "opts": self.opts,
            "row": row,
        }
        return TemplateResponse(request, "admin/routing/provider/synchronise.html", context)

    def has_synchronise_permission(
        self, request: HttpRequest, object_id: str | None = None
    ) -> bool:
        """Who may change the provider, and add and change its deployments.

        A method, because named permissions would be looked up before the first migration has made their table.
        """
        del object_id
        user: Any = request.user
        names = ("routing.add_deployment", "routing.change_deployment")
        return self.has_change_permission(request) and all(user.has_perm(name) for name in names)

    def _write(self, request: HttpRequest, row: Provider, plan: Preview, now: datetime) -> None:
        updates = chosen(request.POST, plan)
        if updates is None:
            messages.warning(request, "Nothing was changed: the provider tells something else now.")
            return
        done = model_sync.apply(row, updates, now=now, author=request.user.get_username())
        sentence = f"{done.new} new, {done.changed} changed, {done.prices} prices noted"
        self.log_change(request, row, f"Synchronised models: {sentence}.")
        messages.success(request, f"{sentence}; live within a second.")


def read_wish(request: HttpRequest) -> Wish:
    """What the address or the form asks for; prices only for who may add them."""
    query = request.POST if request.method == "POST" else request.GET
    wants_prices = "asked" not in query or "prices" in query
    user: Any = request.user
    may_price = user.has_perm("accounting.add_price")
    return Wish(tuple(query.get("filter", "").split()), wants_prices and may_price)


def look(row: Provider, wish: Wish, now: datetime) -> Preview:
    """What a synchronisation would do now.

    Raises:
        GatewayError, NothingTold: nobody tells.
    """
    known = list(row.deployments.values_list("upstream_model", flat=True))
    asked = asyncio.run(model_sync.ask(checks.picture_of(row), known, patterns=wish.patterns))
    return model_sync.preview(
        row, asked, now=now, patterns=wish.patterns, with_prices=wish.with_prices
    )


def shown(plan: Preview) -> list[Update]:
    """The updates that the page has room for; what is gone is told beside them."""
    return [update for update in plan.updates if update.what is not What.GONE][:ROWS_SHOWN_MAX]


def digest_of(updates: Sequence[Update]) -> str:
    """Tells these updates from any others."""
    return hashlib.sha256("".join(update.digest for update in updates).encode()).hexdigest()


def chosen(form: QueryDict, plan: Preview) -> list[Update] | None:
    """What the form asks to apply; None when that is no longer what was shown."""
    updates = shown(plan)
    if form.get("apply") == "all":
        return updates if form.get("shown") == digest_of(updates) else None
    wanted = set(form.getlist("chosen"))
    found = [update for update in updates if update.digest in wanted]
    return found if len(found) == len(wanted) else None


def page_of(plan: Preview, wish: Wish) -> dict[str, Any]:
    """What the template shows."""
    updates = shown(plan)
    entries = [entry_of(update, wish) for update in updates]
    return {
        "new": [entry for entry in entries if entry.update.what is What.NEW],
        "changed": [entry for entry in entries if entry.update.what is What.CHANGED],
        "gone": plan.of(What.GONE),
        "kept_prices": plan.kept_prices,
        "more": len(plan.updates) - len(plan.of(What.GONE)) - len(updates),
        "shown_digest": digest_of(updates),
        "wish": wish,
    }


def entry_of(update: Update, wish: Wish) -> Entry:
    """New models are chosen at first only where the filter asked for them: some lists have hundreds."""
    lines = lines_of(update)
    sources = ", ".join(dict.fromkeys(line.source for line in lines))
    is_chosen = update.what is What.CHANGED or bool(wish.patterns)
    return Entry(update, lines, sources, is_chosen)

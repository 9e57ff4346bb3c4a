"""The price book's page with its import: shown first, then booked.

It stands here and not with accounting's other pages, because it asks providers and LiteLLM's cost map. What a source
tells is read anew when the preview is confirmed; a change is booked only if it is still the one that was shown.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminFileFieldWidget

from accounting.admin.price import PriceAdmin
from accounting.models import Price
from accounting.price_changes import PriceChange, book_changes
from accounting.price_csv import COLUMNS, CsvInvalid, Fault
from accounting.price_words import FigureChange, figure_changes
from conversion.errors import GatewayError
from llmgateway import price_sources
from llmgateway.price_sources import Offers, Plan, SourceUnreadable
from routing import snapshot

ROWS_SHOWN_MAX = 400
"""More boxes than Django takes fields in a form could not be sent."""
FILE_BYTES_MAX = 1024 * 1024
PAGE = "admin:accounting_price_import_prices"
CSV, LITELLM, OPENROUTER = "csv", "litellm", "openrouter"

admin.site.unregister(Price)


class SourceForm(forms.Form):
    """Where prices come from. A file is read once and then goes along as text."""

    source = forms.ChoiceField(
        label="From",
        choices=(
            (LITELLM, "LiteLLM's cost map (of the installed package)"),
            (OPENROUTER, "OpenRouter's list of models (asked for now)"),
            (CSV, "a CSV file"),
        ),
        initial=LITELLM,
    )
    filter = forms.CharField(label="Only models that match", required=False, max_length=500)
    over_manual = forms.BooleanField(
        label="replace prices that were entered by hand, too", required=False
    )
    file = forms.FileField(label="CSV file", required=False, widget=UnfoldAdminFileFieldWidget)
    text = forms.CharField(required=False, strip=False)

    def clean(self) -> dict[str, Any]:
        """The file's text beside the rest.

        Raises:
            ValidationError: there is none, or it is too long or no text.
        """
        given: dict[str, Any] = super().clean() or {}
        file = given.get("file")
        if file is not None and file.size > FILE_BYTES_MAX:
            raise forms.ValidationError(
                "The file is larger than 1 MB: use manage.py import_prices --from csv."
            )
        if file is not None:
            try:
                given["text"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise forms.ValidationError("The file is not in UTF-8.") from error
        if given.get("source") == CSV and not given.get("text"):
            raise forms.ValidationError("Choose a CSV file.")
        return given


@dataclass(frozen=True, slots=True)
class Entry:
    """A change as the page shows it."""

    change: PriceChange
    lines: Sequence[FigureChange]
    digest: str


@admin.register(Price)
class ImportedPriceAdmin(PriceAdmin):
    """The price book, into which prices can be imported."""

    actions_list = ("import_prices", *PriceAdmin.actions_list)

    @action(description="Import", permissions=["import"], icon="upload", url_path="import")
    def import_prices(self, request: HttpRequest) -> HttpResponse:
        """Show what an import would change; book what was chosen of it."""
        form = SourceForm(request.POST or None, request.FILES or None)
        context: dict[str, Any] = {"form": form}
        if request.method == "POST" and form.is_valid():
            now = datetime.now(UTC)
            try:
                plan = plan_of(form.cleaned_data, now)
            except CsvInvalid as error:
                context["faults"] = error.faults
            except (SourceUnreadable, GatewayError) as error:
                context["faults"] = [Fault(0, getattr(error, "message", str(error)))]
            else:
                if "book" in request.POST and self._book(request, plan, now):
                    return redirect("admin:accounting_price_changelist")
                context |= page_of(plan)
        context |= {
            **self.admin_site.each_context(request),
            "title": "Import prices",
            "opts": self.opts,
            "columns": COLUMNS,
        }
        return TemplateResponse(request, "admin/accounting/price/import.html", context)

    def has_import_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Who may add prices."""
        del object_id
        return bool(self.has_add_permission(request))

    def _book(self, request: HttpRequest, plan: Plan, now: datetime) -> bool:
        changes = chosen(request.POST, plan)
        if changes is None:
            messages.warning(request, "Nothing was booked: the source tells something else now.")
            return False
        count = book_changes(changes, now=now)
        messages.success(
            request, f"{count} {'price' if count == 1 else 'prices'} booked; live within a second."
        )
        return True


def plan_of(given: dict[str, Any], now: datetime) -> Plan:
    """What the form's source would change.

    Raises:
        SourceUnreadable, CsvInvalid, GatewayError: nothing can be read from it.
    """
    patterns = tuple(given["filter"].split())
    return price_sources.plan(
        offers_of(given, patterns, now), now=now, over_manual=given["over_manual"]
    )


def offers_of(given: dict[str, Any], patterns: tuple[str, ...], now: datetime) -> Offers:
    """What the form's source tells."""
    if given["source"] == CSV:
        return price_sources.narrowed(
            price_sources.from_csv(given["text"].encode()), set(), patterns
        )
    providers = list(snapshot.build().providers.values())
    if given["source"] == OPENROUTER:
        return price_sources.from_openrouter(providers, patterns=patterns)
    return price_sources.from_litellm(providers, now=now, patterns=patterns)


def shown(plan: Plan) -> list[Entry]:
    """The changes that the page has room for, those of prices in force first."""
    changes = [*plan.changed, *plan.new][:ROWS_SHOWN_MAX]
    return [
        Entry(change, figure_changes(change.old, change.new), digest_of(change))
        for change in changes
    ]


def digest_of(change: PriceChange) -> str:
    """Tells this change from any other, so that what is booked is what was shown."""
    return hashlib.sha256(repr(change).encode()).hexdigest()[:20]


def chosen(form: QueryDict, plan: Plan) -> list[PriceChange] | None:
    """What the form asks to book; None when that is no longer what was shown."""
    entries = shown(plan)
    if form.get("book") == "all":
        digest = digest_of_all(entries)
        return [entry.change for entry in entries] if form.get("shown") == digest else None
    wanted = set(form.getlist("chosen"))
    found = [entry.change for entry in entries if entry.digest in wanted]
    return found if found and len(found) == len(wanted) else None


def digest_of_all(entries: Sequence[Entry]) -> str:
    """Tells these changes from any others."""
    return hashlib.sha256("".join(entry.digest for entry in entries).encode()).hexdigest()


def page_of(plan: Plan) -> dict[str, Any]:
    """What the template shows of a plan."""
    entries = shown(plan)
    offers, found = plan.offers, plan.found
    return {
        "plan": plan,
        "changed": [entry for entry in entries if entry.change.old is not None],
        "new": [entry for entry in entries if entry.change.old is None],
        "more": len(found.changes) - len(entries),
        "shown_digest": digest_of_all(entries),
        "untaken": offers.untaken.most_common(),
    }

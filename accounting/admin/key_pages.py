"""Pages beside the list of API keys: rotate, revoke, and make many from a file.

A secret lives as long as the answer that shows it: it is stored in no session, message, address or file of ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from accounting import key_files, keys
from accounting.key_words import OVERLAPS, read_span
from accounting.keys import MintedKey
from accounting.models import VirtualKey

LIST = "admin:accounting_virtualkey_changelist"
PAGES = "admin/accounting/virtualkey"
CHOSEN_MAX = 500
SHOWN_MAX = 200
FILE_BYTES_MAX = 1024 * 1024


class OverlapForm(forms.Form):
    """How long the old keys are still accepted."""

    overlap = forms.ChoiceField(
        choices=OVERLAPS,
        initial="1d",
        label="The old key is still accepted",
        widget=UnfoldAdminSelectWidget,
    )

    @property
    def span(self) -> timedelta:
        """What was chosen."""
        return read_span(self.cleaned_data["overlap"])


class FileForm(forms.Form):
    """A CSV file, or its text once it was shown."""

    file = forms.FileField(required=False, label="CSV file", widget=UnfoldAdminFileFieldWidget)
    text = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """The text, from wherever it came."""
        given = self.cleaned_data.get("file")
        if given is not None:
            if given.size > FILE_BYTES_MAX:
                raise forms.ValidationError("The file is larger than 1 MB: make several of it.")
            try:
                self.cleaned_data["text"] = given.read().decode("utf-8")
            except UnicodeDecodeError as error:
                raise forms.ValidationError("The file is not UTF-8.") from error
        elif not self.cleaned_data.get("text"):
            raise forms.ValidationError("Choose a file.")
        return self.cleaned_data


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chosen key, why it cannot be changed so, and what else of its line is accepted."""

    row: VirtualKey
    problem: str = ""
    others: Sequence[VirtualKey] = ()


def to_page(name: str, ids: Sequence[object]) -> HttpResponseRedirect:
    """To the page that asks before it changes the keys with these numbers."""
    address = reverse(f"admin:accounting_virtualkey_{name}")
    return HttpResponseRedirect(f"{address}?ids={','.join(map(str, ids[:CHOSEN_MAX]))}")


def chosen(request: HttpRequest) -> list[VirtualKey]:
    """The keys that the address names."""
    numbers = [int(word) for word in request.GET.get("ids", "").split(",") if word.isdecimal()]
    rows = VirtualKey.objects.filter(pk__in=numbers[:CHOSEN_MAX]).select_related("team")
    return list(rows.prefetch_related("rotated_to"))


def rotate_page(page: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Ask how long the old keys are to be accepted; then show the new ones, once."""
    _check_permission(page, request)
    rows = [Candidate(row, keys.problem_with_rotation(row)) for row in chosen(request)]
    if not rows:
        return redirect(LIST)
    form = OverlapForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = _rotate(page, request, [entry.row for entry in rows if not entry.problem], form.span)
        return shown_once(page, request, made, title=f"{_counted(made)} rotated")
    context = {"candidates": rows, "form": form, "count": sum(not entry.problem for entry in rows)}
    return _page(page, request, "rotate", "Rotate API keys", context)


def _rotate(
    page: ModelAdmin, request: HttpRequest, rows: Sequence[VirtualKey], overlap: timedelta
) -> list[MintedKey]:
    now, made = datetime.now(UTC), []
    with transaction.atomic():
        for row in rows:
            try:
                minted = keys.rotate(row, overlap, now=now)
            except ValidationError:  # somebody else has rotated or revoked it meanwhile
                continue
            made.append(minted)
            page.log_change(request, row, f"Rotated; accepted for {overlap} longer.")
            page.log_addition(request, minted.row, f"Rotated from key number {row.pk}.")
    return made


def revoke_page(page: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Ask; then refuse the keys for good."""
    _check_permission(page, request)
    now = datetime.now(UTC)
    rows = chosen(request)
    if not rows:
        return redirect(LIST)
    if request.method == "POST":
        revoked = [row for row in rows if keys.revoke(row, now=now)]
        for row in revoked:
            page.log_change(request, row, "Revoked.")
        messages.success(
            request, f"{_counted(revoked)} revoked for good; refused everywhere within a second."
        )
        return redirect(LIST)
    numbers = {row.pk for row in rows}
    candidates = [
        Candidate(
            row,
            f"{row} was revoked on {row.revoked_at:%Y-%m-%d %H:%M} UTC." if row.revoked_at else "",
            [other for other in keys.others_accepted(row, now=now) if other.pk not in numbers],
        )
        for row in rows
    ]
    context = {"candidates": candidates, "count": sum(not entry.problem for entry in candidates)}
    return _page(page, request, "revoke", "Revoke API keys", context)


def upload_page(page: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Take a file, show what would be made of it, then make it and hand it out as a download."""
    if not page.has_add_permission(request):
        raise PermissionDenied
    context: dict[str, Any] = {"columns": key_files.COLUMNS}
    is_sent = request.method == "POST"
    form = FileForm(request.POST, request.FILES) if is_sent else FileForm()
    if is_sent and form.is_valid():
        text = form.cleaned_data["text"]
        asked = key_files.read(text, now=datetime.now(UTC))
        if not asked.faults and "make" in request.POST:
            try:
                return _download(page, request, asked)
            except ValidationError as error:
                asked = key_files.KeyFile((), [key_files.Fault(1, " ".join(error.messages))])
        context |= {
            "faults": asked.faults,
            "wanted": asked.wanted[:SHOWN_MAX],
            "count": 0 if asked.faults else len(asked.wanted),
            "more": max(0, len(asked.wanted) - SHOWN_MAX),
            "text_form": FileForm(initial={"text": text}),
        }
    return _page(page, request, "upload", "Make API keys from a file", {**context, "form": form})


def _download(page: ModelAdmin, request: HttpRequest, asked: key_files.KeyFile) -> HttpResponse:
    made = key_files.make(asked.wanted, progress=lambda _done, _total: None)
    for minted in made:
        page.log_addition(request, minted.row, "Made from a file.")
    name = f"api-keys-{datetime.now(UTC):%Y-%m-%d-%H%M%S}.csv"
    return HttpResponse(
        key_files.written(made),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def shown_once(
    page: ModelAdmin, request: HttpRequest, made: Sequence[MintedKey], *, title: str
) -> HttpResponse:
    """The answer that shows new keys, with lines to copy where it is just one."""
    context: dict[str, Any] = {"made": made, "text": key_files.written(made)}
    if len(made) == 1:
        context |= {
            "row": made[0].row,
            "secret": made[0].secret,
            "url": settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/"),
        }
    response = _page(page, request, "minted" if len(made) == 1 else "minted_many", title, context)
    response["Cache-Control"] = "no-store"
    return response


def _counted(rows: Sequence[object]) -> str:
    return f"{len(rows)} API key{'' if len(rows) == 1 else 's'}"


def _check_permission(page: ModelAdmin, request: HttpRequest) -> None:
    if not page.has_change_permission(request):
        raise PermissionDenied


def _page(
    page: ModelAdmin, request: HttpRequest, name: str, title: str, context: dict[str, Any]
) -> TemplateResponse:
    shared = {**page.admin_site.each_context(request), "title": title, "opts": page.opts}
    return TemplateResponse(request, f"{PAGES}/{name}.html", {**shared, **context})

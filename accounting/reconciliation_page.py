"""The page on which staff lay a provider's bill beside the ledger. The file is read and forgotten."""

import csv
import io
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounting.errors import BillUnreadable
from accounting.exports import usd_text
from accounting.formulas import inert
from accounting.provider_bills import (
    FORMATS,
    KNOWN,
    MAPPED,
    Bill,
    as_sums_csv,
    mapped_format,
    read_bill,
)
from accounting.reconciliation import COLUMNS, Comparison, compare, providers, table

FILE_BYTES_MAX = 200_000_000
LINES_SHOWN = 300
LABELS = {
    "day": "Day",
    "model": "Model",
    "cost": "Cost (USD)",
    "requests": "Requests",
    "prompt": "Prompt tokens",
    "completion": "Completion tokens",
}


class BillForm(forms.Form):
    """Which bill, of whom, and how to read it."""

    file = forms.FileField(
        label="Bill",
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.tsv,text/csv"}),
        help_text="CSV in UTF-8. It is read, and not kept.",
    )
    provider = forms.ChoiceField(
        label="Compare with what was booked for",
        required=False,
        help_text="The provider here whose bill it is.",
    )
    format = forms.ChoiceField(label="Format", required=False)
    zone = forms.CharField(
        label="Time zone of its days",
        required=False,
        initial="UTC",
        max_length=64,
        help_text="Such as Europe/Berlin. The formats known here are in UTC.",
    )
    sums = forms.CharField(required=False, widget=forms.HiddenInput)
    has_moments = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(slug, slug) for slug in providers()]
        self.fields["provider"].choices = [("", "all providers"), *choices]  # type: ignore[attr-defined]
        known = [(one.name, one.label) for one in FORMATS]
        self.fields["format"].choices = [  # type: ignore[attr-defined]
            ("", "recognise it by its columns"),
            *known,
            ("mapped", "other: columns as named below"),
        ]
        for name in MAPPED:
            self.fields[f"column_{name}"] = forms.CharField(
                label=LABELS[name], required=False, max_length=300
            )

    @property
    def mapping(self) -> list[Any]:
        """The fields that name columns."""
        return [self[f"column_{name}"] for name in MAPPED]

    def clean_zone(self) -> ZoneInfo:
        """A time zone."""
        try:
            return ZoneInfo(self.cleaned_data["zone"].strip() or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValidationError(
                "Enter a time zone's name, such as Europe/Berlin or UTC."
            ) from error

    def clean_file(self) -> Any:
        """A file of a size that can be read while somebody waits."""
        file = self.cleaned_data["file"]
        if file and file.size > FILE_BYTES_MAX:
            raise ValidationError(
                f"The file is larger than {FILE_BYTES_MAX // 10**6} MB: manage.py reconcile reads any."
            )
        return file

    def clean(self) -> dict[str, Any]:
        """Refuse to compare nothing."""
        cleaned = super().clean() or {}
        if not cleaned.get("file") and not cleaned.get("sums") and "file" not in self.errors:
            self.add_error("file", "Choose the bill's file.")
        return cleaned

    def read(self) -> Bill:
        """The bill.

        Raises:
            BillUnreadable: with what is wrong, by line.
        """
        cleaned = self.cleaned_data
        if not cleaned["file"]:
            bill = read_bill(io.BytesIO(cleaned["sums"].encode()), known=KNOWN["sums"])
            return bill._replace(has_moments=cleaned["has_moments"])
        known = KNOWN.get(cleaned["format"])
        if cleaned["format"] == "mapped":
            known = mapped_format({name: cleaned[f"column_{name}"] for name in MAPPED})
        return read_bill(cleaned["file"], known=known, zone=cleaned["zone"])


@login_required
def reconciliation(request: HttpRequest) -> HttpResponse:
    """GET and POST /usage/reconciliation/. For staff: a bill is about all teams."""
    if not request.user.is_staff:
        return render(request, "accounting/reconciliation_forbidden.html", status=403)
    form = BillForm(request.POST or None, request.FILES or None)
    context: dict[str, Any] = {"form": form}
    if form.is_bound and form.is_valid():
        try:
            bill = form.read()
        except BillUnreadable as error:
            context["faults"] = error.faults
        else:
            found = compare(
                bill,
                provider=form.cleaned_data["provider"],
                zone=form.cleaned_data["zone"],
                names=chosen_names(request.POST),
            )
            if request.POST.get("answer") == "csv":
                return csv_answer(found)
            context |= _shown(found, bill)
    response = render(request, "accounting/reconciliation.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _shown(found: Comparison, bill: Bill) -> dict[str, Any]:
    models = sorted({line.model for line in found.lines if line.ours is not None})
    return {
        "found": found,
        "bill": bill,
        "lines": found.differing[:LINES_SHOWN],
        "lines_more": max(0, len(found.differing) - LINES_SHOWN),
        "sums": as_sums_csv(bill.sums),
        "models": models,
    }


def chosen_names(posted: Mapping[str, str]) -> dict[str, str]:
    """Which of our models the bill's names were said to be: fields ``theirs-N`` and ``ours-N``."""
    names = {}
    for field, theirs in posted.items():
        if field.startswith("theirs-"):
            ours = posted.get(field.replace("theirs-", "ours-", 1), "")
            if ours:
                names[theirs] = ours
    return names


def csv_answer(found: Comparison) -> HttpResponse:
    """The comparison as a file."""
    name = f"reconciliation-{found.provider or 'all'}-{found.from_on}-{found.to_on}.csv"
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )
    write_csv(response, found)
    return response


def write_csv(out: Any, found: Comparison) -> None:
    """All lines and their total; no text can be taken for a formula."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in table(found):
        writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return inert(value)
    return str(value) if not hasattr(value, "as_tuple") else usd_text(value)

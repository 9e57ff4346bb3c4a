"""How entries look on a page: words instead of names of models, what changed side by side, the way to the object."""

import json
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst

from accounting.audit import watch
from accounting.audit.values import label_of
from accounting.models import AuditEntry

EMPTY = "–"


@dataclass(frozen=True, slots=True)
class Line:
    """One field, before and after; empty where the entry tells nothing."""

    name: str
    before: str
    after: str


def model_of(kind: str) -> type[models.Model] | None:
    """The model of an entry's object; None for one that this version of the program does not have."""
    try:
        return apps.get_model(kind)
    except (LookupError, ValueError):
        return None


def kind_words(kind: str) -> str:
    """What people call the sort of object, such as API key."""
    model = model_of(kind)
    return str(model._meta.verbose_name) if model else kind


def known_kinds() -> list[tuple[str, str]]:
    """The sorts of object that entries can be about, with what people call them, in order."""
    request_log = apps.get_model("accounting", "RequestLog")
    labels = [label_of(model) for model in (*watch.kinds(), request_log)]
    return sorted(
        ((label, kind_words(label)) for label in labels), key=lambda pair: pair[1].lower()
    )


def lines_of(entry: AuditEntry) -> list[Line]:
    """What the entry tells of each field, in the order of the form."""
    names = [*entry.before, *(name for name in entry.after if name not in entry.before)]
    model = model_of(entry.kind)
    return [
        Line(
            _label(model, name),
            text_of(entry.before[name]) if name in entry.before else "",
            text_of(entry.after[name]) if name in entry.after else "",
        )
        for name in sorted(names, key=lambda name: _place(model, name))
    ]


def _label(model: type[models.Model] | None, name: str) -> str:
    entry = _field(model, name)
    return str(capfirst(getattr(entry, "verbose_name", None) or name.replace("_", " ")))


def _place(model: type[models.Model] | None, name: str) -> tuple[int, str]:
    entry = _field(model, name)
    return (int(getattr(entry, "creation_counter", 0)) if entry else 10**9, name)


def _field(model: type[models.Model] | None, name: str) -> Any:
    known = {entry.name: entry for entry in model._meta.get_fields()} if model else {}
    return known.get(name)


def text_of(value: Any) -> str:
    """The value as one reads it; it is put on pages as text, never as markup."""
    if value in (None, "", [], {}):
        return EMPTY
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        separator = "\n" if all(isinstance(item, str) for item in value) else ", "
        return separator.join(text_of(item) for item in value)
    return json.dumps(value, ensure_ascii=False, indent=2)


def summary_of(entry: AuditEntry) -> str:
    """The fields that an entry tells of, in a line."""
    if entry.action == watch.USE:
        return text_of(entry.after.get("how"))
    if entry.action == watch.CHANGE:
        return ", ".join(line.name for line in lines_of(entry))
    told = {**entry.before, **entry.after}
    return f"{len(told)} field{'' if len(told) == 1 else 's'}" if told else ""


def address_of(entry: AuditEntry) -> str:
    """The admin page of the object; empty where there is none, or the object is gone."""
    model = model_of(entry.kind)
    if model is None or not entry.object_id or entry.action == watch.DELETE:
        return ""
    try:
        return reverse(f"admin:{entry.kind.replace('.', '_')}_change", args=[entry.object_id])
    except NoReverseMatch:
        return ""


def history_of(row: models.Model) -> str:
    """The admin page with all entries about an object."""
    address = reverse("admin:accounting_auditentry_changelist")
    return f"{address}?object={label_of(type(row))}:{row.pk}"

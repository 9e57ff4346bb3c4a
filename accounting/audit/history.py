"""What happened to an object and to the rows that are edited on its page, for the admin's page *History*."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.options import InlineModelAdmin
from django.db import models
from django.db.models import Q

from accounting.audit import pages, values, watch
from accounting.models import AuditEntry

ENTRIES_MAX = 100
PARTS_MAX = 500
HOLDERS_MAX = 50


@dataclass(frozen=True, slots=True)
class Part:
    """A model whose rows are edited on the page of those that they point to."""

    model: type[models.Model]
    field: str
    parts: tuple["Part", ...] = ()


def parts_of(
    model: type[models.Model], inlines: "Iterable[type[InlineModelAdmin[Any, Any]]]"
) -> tuple[Part, ...]:
    """What the inlines of the model's page edit, and the inlines within them."""
    return tuple(
        Part(inline.model, field, parts_of(inline.model, getattr(inline, "inlines", ())))
        for inline in inlines
        if (field := inline.fk_name or _key_to(model, inline.model))
    )


def _key_to(model: type[models.Model], part: type[models.Model]) -> str:
    """The field of the part that points to the model; empty where there is none."""
    keys = (entry for entry in part._meta.fields if isinstance(entry, models.ForeignKey))
    return next((entry.name for entry in keys if entry.related_model is model), "")


def entries_about(row: models.Model, parts: Iterable[Part]) -> list[pages.Shown]:
    """The newest entries about the row, about its parts, and about those parts that were taken from it."""
    condition = _is_about(type(row), [row.pk])
    for narrower in _conditions(parts, [row.pk]):
        condition |= narrower
    found = AuditEntry.objects.filter(condition).order_by("-number")[: ENTRIES_MAX + 1]
    return [pages.shown_as(entry) for entry in found]


def _is_about(model: type[models.Model], pks: Iterable[Any]) -> Q:
    return Q(kind=values.label_of(model), object_id__in=[str(pk) for pk in pks])


def _conditions(parts: Iterable[Part], holders: list[Any]) -> Iterator[Q]:
    for part in parts:
        if part.model not in watch.kinds() or not holders:
            continue
        rows = part.model._base_manager.filter(**{f"{part.field}__in": holders})
        pks = list(rows.order_by("-pk").values_list("pk", flat=True)[:PARTS_MAX])
        yield _is_about(part.model, pks)
        for pk in holders[:HOLDERS_MAX]:
            # An entry says of what a row pointed to its name and number, as accounting.audit.values writes them.
            gone = {f"before__{part.field}__endswith": f"(#{pk})"}
            yield Q(kind=values.label_of(part.model), action=watch.DELETE, **gone)
        yield from _conditions(part.parts, pks)

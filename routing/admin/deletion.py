"""What goes when rows are deleted: counted whole, named as far as a page has room."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import NestedObjects
from django.db import models, router
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.text import capfirst

NAMES_MAX = 30
"""Of each sort; a provider may take thousands of targets with it."""
CALLED_BY = {
    "routing.credential": ("provider",),
    "routing.deployment": ("provider",),
    "routing.providercheck": ("provider",),
    "routing.route": ("alias",),
    "routing.routetarget": ("route__alias", "deployment__provider"),
}
"""What rows of these have in their names: asked for together, not name by name."""

Found = tuple[list[Any], dict[str, int], set[str], list[Any]]


def look_at(rows: Iterable[Any], request: HttpRequest, site: AdminSite) -> Found:
    """The names to show, how many go of each sort, sorts that the person may not delete, and rows that forbid it."""
    chosen = list(rows)
    if not chosen:
        return [], {}, set(), []
    collector = NestedObjects(using=router.db_for_write(type(chosen[0])), origin=chosen)
    collector.collect(chosen)
    by_model: Mapping[type[models.Model], set[Any]] = collector.model_objs  # type: ignore[assignment]
    going = {model: sorted(found, key=lambda row: row.pk) for model, found in by_model.items()}
    lacking = {
        str(model._meta.verbose_name)
        for model, found in going.items()
        if site.is_registered(model)
        and not all(
            site.get_model_admin(model).has_delete_permission(request, row) for row in found
        )
    }
    first, *others = (_names(model, found, site) for model, found in going.items())
    named = [*first, [name for names in others for name in names]] if any(others) else first
    counts = {str(model._meta.verbose_name_plural): len(found) for model, found in going.items()}
    return named, counts, lacking, [str(row) for row in collector.protected]


def _names(model: type[models.Model], found: Sequence[Any], site: AdminSite) -> list[Any]:
    shown = found[:NAMES_MAX]
    models.prefetch_related_objects(shown, *CALLED_BY.get(model._meta.label_lower, ()))
    names: list[Any] = [_name(row, site) for row in shown]
    more = len(found) - len(shown)
    if more:
        sort = model._meta.verbose_name if more == 1 else model._meta.verbose_name_plural
        names.append(f"and {more} more {sort}")
    return names


def _name(row: models.Model, site: AdminSite) -> Any:
    sort = capfirst(row._meta.verbose_name)
    place = f"{site.name}:{row._meta.app_label}_{row._meta.model_name}_change"
    try:
        address = reverse(place, args=[row.pk])
    except NoReverseMatch:
        return f"{sort}: {row}"
    return format_html('{}: <a class="llmgw-link" href="{}">{}</a>', sort, address, row)

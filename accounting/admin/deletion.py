"""What goes with rows that are deleted: counted by sort, the first of each named, and read in a few queries.

Django's own list names every row that goes, and asks for each what its name is made of.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import NestedObjects, quote
from django.db import models, router
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from accounting.models import Budget, BudgetAlert, Membership, PriceTier, Project, VirtualKey

NAMES_MAX = 20
"""Of each sort; the rest is a number."""
GO_ALONG = frozenset({BudgetAlert})
"""Nobody deletes these by themselves, and they keep nobody from deleting what they belong to."""
NAMED_BY: dict[type[models.Model], tuple[str, ...]] = {
    Membership: ("user", "team"),
    Project: ("team",),
    VirtualKey: ("team",),
    Budget: ("team", "project__team", "key__team"),
    BudgetAlert: ("budget__team", "budget__project__team", "budget__key__team"),
    PriceTier: ("price",),
}
Deletion = tuple[list[Any], dict[str, int], set[str], list[Any]]
"""As Django's pages take it: what to show, how many of what, which permissions are missing, and what stands in the way."""


class NamedObjects(NestedObjects):
    """All rows that go, with what their names are made of."""

    def related_objects(
        self, related_model: type[models.Model], related_fields: Any, objs: Any
    ) -> "models.QuerySet[Any]":
        """The rows of one sort that go with those."""
        rows = super().related_objects(related_model, related_fields, objs)
        return rows.select_related(*NAMED_BY.get(related_model, ()))


def deletion_of(rows: Iterable[models.Model], request: HttpRequest, site: AdminSite) -> Deletion:
    """What would go, for the page that asks before it does."""
    chosen: Sequence[models.Model] = list(rows)
    if not chosen:
        return [], {}, set(), []
    model = type(chosen[0])
    collector = NamedObjects(using=router.db_for_write(model), origin=chosen)
    collector.collect(chosen)
    found: dict[type[models.Model], list[models.Model]] = {model: list(chosen)}
    collected: Any = collector.model_objs  # by their models, which the stubs take for names
    for kind, rows_of_kind in collected.items():
        found.setdefault(kind, []).extend(rows_of_kind - set(chosen))
    shown: list[Any] = []
    for kind, going in found.items():
        heading = f"{len(going)} {_words(kind, len(going))}"
        shown += [heading, _named(going, site)]
    counts = {str(kind._meta.verbose_name_plural): len(going) for kind, going in found.items()}
    missing = {
        str(kind._meta.verbose_name)
        for kind, going in found.items()
        if kind not in GO_ALONG and not _may_delete(kind, going, request, site)
    }
    return shown, counts, missing, [_link(row, site) for row in collector.protected]


def _words(kind: type[models.Model], count: int) -> str:
    return str(kind._meta.verbose_name if count == 1 else kind._meta.verbose_name_plural)


def _named(going: Sequence[models.Model], site: AdminSite) -> list[str]:
    names = [_link(row, site) for row in going[:NAMES_MAX]]
    more = len(going) - NAMES_MAX
    return [*names, f"and {more} more"] if more > 0 else names


def _link(row: models.Model, site: AdminSite) -> str:
    text = str(row)
    page = f"{site.name}:{row._meta.app_label}_{row._meta.model_name}_change"
    try:
        address = reverse(page, args=[quote(row.pk)])
    except NoReverseMatch:
        return text
    return format_html('<a class="llmgw-link" href="{}">{}</a>', address, text)


def _may_delete(
    kind: type[models.Model], going: Iterable[models.Model], request: HttpRequest, site: AdminSite
) -> bool:
    if not site.is_registered(kind):
        return True
    page = site.get_model_admin(kind)
    return all(page.has_delete_permission(request, row) for row in going)

"""Copies of model aliases with all that is theirs, and of routes with their targets: switched off, to be changed first."""

from itertools import chain, count
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin

from routing.models import HeaderRule, ModelAlias, Route, RouteTarget, Transformation

LINKS_MAX = 10
NAME_MAX = 200
POSITION_MAX = 32_767
PARTS = {
    ModelAlias: (Route, RouteTarget, HeaderRule, Transformation),
    Route: (RouteTarget,),
}
"""What is copied along, which only those may do who may add it."""
Row = TypeVar("Row", bound=models.Model)


@admin.action(description="Copy, switched off", permissions=["copy"])
def copy_aliases(page: ModelAdmin, request: HttpRequest, rows: models.QuerySet[Any]) -> None:
    """An alias for each chosen one, with routes, targets and rules like its own."""
    _tell(page, request, [(row, copy_of_alias(row)) for row in rows])


@admin.action(description="Copy, switched off", permissions=["copy"])
def copy_routes(page: ModelAdmin, request: HttpRequest, rows: models.QuerySet[Any]) -> None:
    """A route for each chosen one, the last of its alias, with targets like its own."""
    copies = []
    for row in rows.select_related("alias"):
        last = row.alias.routes.aggregate(last=models.Max("position"))["last"]
        position = min(last + 1, POSITION_MAX)
        copies.append((row, _copy_of_route(row, position=position, enabled=False)))
    _tell(page, request, copies)


def may_copy(page: ModelAdmin, request: HttpRequest) -> bool:
    """Whether somebody may add such a row and all that is copied along."""
    parts: Any = PARTS[page.model]
    names = (f"{part._meta.app_label}.add_{part._meta.model_name}" for part in parts)
    return bool(page.has_add_permission(request)) and request.user.has_perms(list(names))


def copy_of_alias(alias: ModelAlias) -> ModelAlias:
    """A like alias with a name of its own."""
    made = _like(alias, name=_free_name(alias.name), enabled=False)
    for route in alias.routes.order_by("position", "pk"):
        _copy_of_route(route, alias=made)
    for rules in (HeaderRule, Transformation):
        for rule in rules._default_manager.filter(alias=alias).order_by("position", "pk"):
            _like(rule, alias=made)
    return made


def _copy_of_route(route: Route, **changed: Any) -> Route:
    made = _like(route, **changed)
    for target in route.targets.order_by("position", "pk"):
        _like(target, route=made)
    return made


def _like(row: Row, **changed: Any) -> Row:
    """A row that has the same in all fields but those; by save(), which counts the version that processes watch."""
    columns = (field.attname for field in row._meta.concrete_fields if not field.primary_key)
    made = type(row)(**{name: getattr(row, name) for name in columns})
    for name, value in changed.items():
        setattr(made, name, value)
    made.save(force_insert=True)
    return made


def _free_name(name: str) -> str:
    ends = chain(("-copy",), (f"-copy-{number}" for number in count(2)))
    names = (name[: NAME_MAX - len(end)] + end for end in ends)
    return next(found for found in names if not ModelAlias.objects.filter(name=found).exists())


def _tell(page: ModelAdmin, request: HttpRequest, copies: list[tuple[Any, Any]]) -> None:
    names = page.opts.verbose_name if len(copies) == 1 else page.opts.verbose_name_plural
    for row, made in copies:
        page.log_addition(request, made, f"Copied from {row}.")
    address = f"admin:{page.opts.app_label}_{page.opts.model_name}_change"
    links = format_html_join(
        ", ",
        '<a class="llmgw-link" href="{}">{}</a>',
        ((reverse(address, args=[made.pk]), made) for _row, made in copies[:LINKS_MAX]),
    )
    more = f" and {len(copies) - LINKS_MAX} more" if len(copies) > LINKS_MAX else ""
    sentence = "{} {} copied, switched off: {}{}. Change what is to differ, then switch on."
    messages.success(request, format_html(sentence, len(copies), names, links, more))

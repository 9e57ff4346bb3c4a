"""The ways from other pages to the audit trail."""

from typing import Any

from django import template
from django.contrib import admin
from django.db import models

from accounting.audit import access, history, shown, watch

register = template.Library()


@register.simple_tag(takes_context=True)
def audit_history(context: dict[str, Any]) -> str:
    """The address of all entries about the object of an admin page; empty where there are none, or none to be seen."""
    row, request = context.get("original"), context.get("request")
    if row is None or request is None or type(row) not in watch.kinds():
        return ""
    return shown.history_of(row) if access.sees_all(request.user) else ""


@register.simple_tag(takes_context=True)
def audit_changes(context: dict[str, Any], row: models.Model) -> dict[str, Any]:
    """What the trail has about the object of an admin page and what is edited there.

    ``is_seen`` is false where it has nothing to tell: the object is of no watched sort, or the person may not look.
    """
    request = context["request"]
    if type(row) not in watch.kinds() or not access.sees_all(request.user):
        return {"is_seen": False}
    page = admin.site.get_model_admin(type(row))
    found = history.entries_about(row, history.parts_of(type(row), page.inlines))
    return {
        "is_seen": True,
        "entries": found[: history.ENTRIES_MAX],
        "is_more": len(found) > history.ENTRIES_MAX,
        "address": shown.history_of(row),
    }


@register.filter
def may_see_audit(user: Any) -> bool:
    """Whether the person is to be led to the page of the trail; staff without a look at teams, which costs a query."""
    return access.sees_all(user) if user.is_staff else bool(access.teams_of(user))

"""The report pages as HTML, and as CSV and JSON of exactly what is shown."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounting.budget_report import budget_page
from accounting.performance import paths, performance
from accounting.principals import Principal, principal_of
from accounting.report_query import DIMENSIONS, Ask, log_query, presets, read_ask
from accounting.reports import Page, breakdown, caching, overview
from accounting.statements import read_month, statement_of, statements_table
from accounting.tables import csv_answer, json_answer
from accounting.top_requests import ORDERS, top_requests

View = Callable[..., HttpResponseBase]
FILES = ("csv", "json")
DIGITS_MAX = 6


def for_people_with_usage(view: View) -> View:
    """Only for people who are signed in and may see something; the view is given what they may see."""

    @login_required
    @require_safe
    @wraps(view)
    def guarded(request: HttpRequest, **names: str) -> HttpResponseBase:
        principal = principal_of(request.user)
        if principal.is_outsider:
            return render(request, "accounting/forbidden.html", status=403)
        response = view(request, principal, **names)
        response["Cache-Control"] = "no-store"
        return response

    return guarded


def today() -> date:
    """The day in UTC."""
    return datetime.now(UTC).date()


@for_people_with_usage
def usage(request: HttpRequest, principal: Principal) -> HttpResponse:
    """GET /usage/."""
    ask = read_ask(request.GET, today=today())
    return answer(request, overview(ask, principal), ask, principal)


@for_people_with_usage
def usage_by(request: HttpRequest, principal: Principal, dimension: str) -> HttpResponse:
    """GET /usage/by/<dimension>/; with ``rows=all`` every row instead of the first hundred."""
    if dimension not in DIMENSIONS:
        raise Http404
    ask = read_ask(request.GET, today=today())
    with_all = request.GET.get("rows") == "all"
    page = breakdown(ask, principal, DIMENSIONS[dimension], with_all=with_all)
    tabs = [
        (
            other.label,
            reverse("accounting:breakdown", args=[other.name]) + ask.query(),
            other.name == dimension,
        )
        for other in DIMENSIONS.values()
    ]
    own = {"rows": "all"} if with_all else {}
    return answer(request, page, ask, principal, tabs=tabs, own=own)


@for_people_with_usage
def usage_performance(request: HttpRequest, principal: Principal) -> HttpResponse:
    """GET /usage/performance/."""
    ask = read_ask(request.GET, today=today())
    return answer(request, performance(ask, principal), ask, principal)


@for_people_with_usage
def usage_caching(request: HttpRequest, principal: Principal) -> HttpResponse:
    """GET /usage/caching/."""
    ask = read_ask(request.GET, today=today())
    return answer(request, caching(ask, principal), ask, principal)


@for_people_with_usage
def usage_paths(request: HttpRequest, principal: Principal) -> HttpResponse:
    """GET /usage/paths/."""
    ask = read_ask(request.GET, today=today())
    return answer(request, paths(ask, principal), ask, principal)


@for_people_with_usage
def usage_top(request: HttpRequest, principal: Principal) -> HttpResponse:
    """GET /usage/top/; ``order`` chooses by what."""
    ask = read_ask(request.GET, today=today())
    order = request.GET.get("order", "cost")
    order = order if order in ORDERS else "cost"
    tabs = [
        (title, address(ask, order=name), name == order)
        for name, (title, _column) in ORDERS.items()
    ]
    return answer(
        request,
        top_requests(ask, principal, order),
        ask,
        principal,
        tabs=tabs,
        own={"order": order},
    )


@for_people_with_usage
def budgets(request: HttpRequest, principal: Principal) -> HttpResponse:
    """GET /usage/budgets/; ``part`` chooses which rows of long tables. Files hold all of them."""
    part = None if request.GET.get("format") in FILES else _number(request.GET.get("part", ""))
    page = budget_page(principal, now=datetime.now(UTC), part=part)
    return answer(request, page, None, principal)


def _number(text: str) -> int:
    """A number from an address; 1 where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < DIGITS_MAX else 1


@for_people_with_usage
def statements(request: HttpRequest, principal: Principal) -> HttpResponse:
    """GET /usage/statements/: which there are."""
    page = Page("statements", "Statements", tables=(statements_table(principal, today=today()),))
    return answer(request, page, None, principal)


@for_people_with_usage
def statement(request: HttpRequest, principal: Principal, team: str, month: str) -> HttpResponse:
    """GET /usage/statements/<team>/<YYYY-MM>/: a team's month, for paper; absent and not yours get the same answer."""
    month_on = read_month(month)
    found = month_on and statement_of(team, month_on, principal, today=today())
    if not found:
        return render(request, "accounting/statement_absent.html", {"team": team}, status=404)
    name = f"statement-{found.month}"
    if request.GET.get("format") == "csv":
        return csv_answer(name, _chosen(request, found.tables))
    if request.GET.get("format") == "json":
        tables = _chosen(request, found.tables)
        head = {"team": found.team, "month": found.month, "provisional": found.is_provisional}
        return json_answer({**head, "tables": {table.name: table.tree() for table in tables}})
    context = {"statement": found, "adjustments": found.tables[1], "sees_teams": True}
    return render(request, "accounting/statement.html", context)


def _chosen(request: HttpRequest, tables: tuple[Any, ...]) -> tuple[Any, ...]:
    """The table that the address names, or all."""
    name = request.GET.get("table")
    if not name:
        return tables
    found = tuple(table for table in tables if table.name == name)
    if not found:
        raise Http404
    return found


def address(ask: Ask, **more: str) -> str:
    """The query of a page for the same question, with more to say; never empty."""
    query = {**ask.period.query, **ask.words, **more}
    return f"?{urlencode(query)}"


def answer(
    request: HttpRequest,
    page: Page,
    ask: Ask | None,
    principal: Principal,
    *,
    tabs: list[tuple[str, str, bool]] | None = None,
    own: dict[str, str] | None = None,
) -> HttpResponse:
    """The page as the address wants it; ``own`` are parameters that only this page has."""
    own = own or {}
    match request.GET.get("format"):
        case "csv":
            name = f"{page.name}-{ask.period.from_on}-{ask.period.to_on}" if ask else page.name
            return csv_answer(name, _chosen(request, page.all_tables))
        case "json":
            return json_answer(_tree(page, ask, _chosen(request, page.all_tables)))
    context: dict[str, Any] = {
        "page": page,
        "ask": ask,
        "tabs": tabs,
        "own": own,
        "csv_address": address(ask, **own, format="csv") if ask else "?format=csv",
        "json_address": address(ask, **own, format="json") if ask else "?format=json",
        "sees_teams": bool(principal.whole_teams),
        "sees_part": not principal.is_staff and bool(principal.joined - principal.whole_teams),
    }
    if ask:
        context |= {
            "carried": ask.query(),
            "presets": [
                (label, query + _with(query, own), is_shown)
                for label, query, is_shown in presets(ask, today=today())
            ],
            "before": ask.period.before(),
            "log_query": log_query(ask),
            "includes_today": ask.period.from_on <= today() <= ask.period.to_on,
            "all_address": address(ask, **own, rows="all"),
        }
    return render(request, "accounting/report.html", context)


def _with(query: str, own: dict[str, str]) -> str:
    if not own:
        return ""
    return ("&" if len(query) > 1 else "") + urlencode(own)


def _tree(page: Page, ask: Ask | None, tables: tuple[Any, ...]) -> dict[str, Any]:
    tree: dict[str, Any] = {"report": page.name}
    if ask:
        before = ask.period.before()
        tree |= {
            "from": str(ask.period.from_on),
            "to": str(ask.period.to_on),
            "compared_with": {"from": str(before.from_on), "to": str(before.to_on)},
            "filters": dict(ask.words),
        }
    return {
        **tree,
        "tables": {table.name: table.tree() for table in tables},
        "notes": list(page.notes),
    }

"""The request log for people: what was asked, newest first, and one request from its acceptance to its bill."""

import csv
from typing import Any
from urllib.parse import urlencode

import orjson
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounting.audit import watch
from accounting.bills import tokens_in_parts
from accounting.models.request_log import BODIES
from accounting.principals import Principal, principal_of
from accounting.report_query import PATHS
from accounting.request_query import STATUSES, Search, query_of, read_search
from accounting.request_reading import note_reading
from accounting.request_search import FoundPage, find_by_id, find_page
from accounting.request_story import RequestStory, story_of
from accounting.request_trees import moment, story_tree, table_rows, tree_of
from accounting.tables import inert

LIVE_S = 10
CHIPS = {
    "team": "team", "project": "project", "key": "API key", "member": "member", "developer": "developer",
    "alias": "asked for", "model": "model", "provider": "provider", "kind": "provider kind", "status": "status",
    "path": "path", "error": "error", "session": "session", "agent": "agent", "tag": "tag", "upstream_id": "provider's id",
    "from": "from", "to": "to", "min_cost": "from USD", "min_ms": "from ms",
}  # fmt: skip
"""What the parameters of the address are called."""
FIELDS_SHOWN = ("team", "project", "key", "member", "model", "provider")
FIELDS_MORE = ("alias", "error", "tag", "session", "agent", "developer")


@login_required
@require_safe
def requests_page(request: HttpRequest) -> HttpResponse:
    """GET /usage/requests/: the requests that match, a page of them; as CSV and JSON, too."""
    principal = principal_of(request.user)
    if principal.is_outsider:
        return render(request, "accounting/forbidden.html", status=403)
    if named := request.GET.get("q", "").strip():
        return _look_up(principal, named)
    search = read_search(request.GET)
    page = find_page(search, principal)
    match request.GET.get("format"):
        case "csv":
            return csv_answer(page)
        case "json":
            return json_answer(_page_tree(search, page))
    response = render(request, "accounting/requests.html", _list_context(request, search, page))
    response["Cache-Control"] = "no-store"
    return response


def _look_up(principal: Principal, named: str) -> HttpResponse:
    """To the request of that id; else to those with that id at their provider."""
    request_id = find_by_id(named, principal)
    if request_id:
        return redirect("accounting:request", request_id=request_id)
    return redirect(f"{reverse('accounting:requests')}?{urlencode({'upstream_id': named})}")


def _list_context(request: HttpRequest, search: Search, page: FoundPage) -> dict[str, Any]:
    query = query_of(search)
    trees = [tree_of(found) for found in page.requests]
    is_live = request.GET.get("live") == "1" and search.before is None
    return {
        "page": page,
        "search": search,
        "wrong": search.wrong,
        "statuses": STATUSES,
        "status": search.status,
        "given": query,
        "fields": [_field(name, query, trees) for name in FIELDS_SHOWN],
        "more_fields": [_field(name, query, trees) for name in FIELDS_MORE],
        "has_more_fields": any(name in query for name in (*FIELDS_MORE, "min_cost", "min_ms")),
        "chips": [
            (CHIPS[name], _shown(name, value), _address(query, name))
            for name, value in query.items()
        ],
        "next_address": _address({**query, "before": str(page.next)}) if page.next else "",
        "first_address": _address(query),
        "live_address": _address({**query, "live": "1"}),
        "live_s": LIVE_S if is_live else 0,
        "csv_address": _address({**_with_place(query, search), "format": "csv"}),
        "json_address": _address({**_with_place(query, search), "format": "json"}),
        "is_first": search.before is None,
    }


def _shown(name: str, value: str) -> str:
    """What a chip calls a value of the address."""
    names = {"status": STATUSES, "path": PATHS}.get(name, {})
    return names.get(value, value)


def _field(name: str, query: dict[str, str], trees: list[dict[str, Any]]) -> dict[str, Any]:
    """An input with what is in it, and what the requests shown suggest for it."""
    if name == "tag":
        values = {tag for tree in trees for tag in tree["tags"]}
    else:
        values = {tree[name] for tree in trees if tree[name]}
    return {
        "name": name,
        "label": CHIPS[name],
        "value": query.get(name, ""),
        "suggestions": sorted(values),
    }


def _with_place(query: dict[str, str], search: Search) -> dict[str, str]:
    return {**query, "before": str(search.before)} if search.before else query


def _address(query: dict[str, str], without: str = "") -> str:
    """The list's address with these parameters but one."""
    left = {name: value for name, value in query.items() if name != without}
    return f"?{urlencode(left)}" if left else reverse("accounting:requests")


def csv_answer(page: FoundPage) -> HttpResponse:
    """The page's requests as a file."""
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="requests.csv"'},
    )
    writer = csv.writer(response)
    for row in table_rows(page.requests):
        writer.writerow([inert(cell) for cell in row])
    return response


def _page_tree(search: Search, page: FoundPage) -> dict[str, Any]:
    return {
        "search": query_of(search),
        "wrong": search.wrong,
        "requests": [tree_of(found) for found in page.requests],
        "next": str(page.next) if page.next else None,
        "searched_back_to": moment(page.stopped_at) if page.stopped_at else None,
    }


def json_answer(tree: dict[str, Any]) -> HttpResponse:
    """A tree as JSON that a person can read, too."""
    body = orjson.dumps(tree, option=orjson.OPT_INDENT_2)
    return HttpResponse(
        body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )


# One request.


@login_required
@require_safe
def request_page(request: HttpRequest, request_id: str) -> HttpResponse:
    """GET /usage/requests/<id>/: one request; with ``bodies=1`` what crossed, for who may read that."""
    with_messages = request.GET.get("bodies") == "1"
    story = story_of(
        request_id, principal_of(request.user), request.user, with_messages=with_messages
    )
    if story is None:
        return absent(request, request_id)
    note_reading(story)
    if request.GET.get("format") == "json":
        return json_answer(story_tree(story))
    response = render(request, "accounting/request.html", _story_context(request, story))
    response["Cache-Control"] = "no-store"
    return response


def absent(request: HttpRequest, request_id: str) -> HttpResponse:
    """The same for a request that is not there and for one that is not theirs."""
    context = {"request_id": request_id, "days": settings.LOG_RETENTION_DAYS}
    return render(request, "accounting/request_absent.html", context, status=404)


def _story_context(request: HttpRequest, story: RequestStory) -> dict[str, Any]:
    user = request.user
    last = story.last
    may_explain = user.is_staff and user.has_perm("routing.view_modelalias")
    return {
        "story": story,
        "found": story.request,
        "last": last,
        "attempts": [(attempt, tokens_in_parts(attempt.record)) for attempt in story.attempts],
        "session_address": _session_address(last.session),
        "retention_days": settings.LOG_RETENTION_DAYS,
        "may_explain": may_explain,
        "may_replay": may_explain and user.has_perm("accounting.add_virtualkey"),
        "may_price": user.is_staff and user.has_perm("accounting.add_price"),
        "may_flag": user.is_staff and user.has_perm("routing.view_featureflag"),
        "may_view_record": user.is_staff and user.has_perm("accounting.view_usagerecord"),
        "json_address": "?format=json" + ("&bodies=1" if story.shows_messages else ""),
    }


def _session_address(session: str) -> str:
    if not session:
        return ""
    return f"{reverse('accounting:requests')}?{urlencode({'session': session})}"


@login_required
@require_safe
def body_file(request: HttpRequest, request_id: str, attempt: int, name: str) -> HttpResponse:
    """GET …/<attempt>/<body>.txt: one kept body as a file; the same 404 for everybody who may not have it."""
    story = story_of(request_id, principal_of(request.user), request.user, with_messages=True)
    for told in story.attempts if story and name in BODIES else ():
        for message in told.messages if told.record.attempt == attempt else ():
            if told.log and message["name"] == name and message["body"]:
                watch.note_use(told.log, "Saved a kept body as a file, masked.", body=name)
                file_name = f"{request_id}-{attempt}-{name}.txt"
                return HttpResponse(
                    message["body"].text,
                    content_type="text/plain; charset=utf-8",
                    headers={
                        "Content-Disposition": f'attachment; filename="{file_name}"',
                        "Cache-Control": "no-store",
                    },
                )
    return absent(request, request_id)

"""The audit trail of teams, for those who lead or audit them; whoever may see all of it finds all of it here, too."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_safe

from accounting.audit import access, exports, shown, sign_ins, watch
from accounting.audit.shown import Line
from accounting.models import AuditEntry

ENTRIES_SHOWN = 50
ACTIONS = (watch.CREATE, watch.CHANGE, watch.DELETE, watch.USE)
SIGN_INS = (sign_ins.SIGN_IN, sign_ins.SIGN_OUT, sign_ins.REFUSED)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the address asks for; what it says wrongly is left out. Days are UTC, both are meant with."""

    team: str = ""
    kind: str = ""
    action: str = ""
    actor: str = ""
    name: str = ""
    from_on: date | None = None
    to_on: date | None = None
    before: int | None = None

    @property
    def given(self) -> dict[str, str]:
        """The conditions as they stand in an address."""
        named = {
            "team": self.team,
            "kind": self.kind,
            "action": self.action,
            "actor": self.actor,
            "name": self.name,
            "from": str(self.from_on or ""),
            "to": str(self.to_on or ""),
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as the page shows it."""

    entry: AuditEntry
    what: str
    summary: str
    lines: list[Line]

    @property
    def is_change(self) -> bool:
        """Whether there is a before and an after."""
        return self.entry.action == watch.CHANGE


@login_required
@require_safe
def audit_page(request: HttpRequest) -> HttpResponseBase:
    """GET /usage/audit/: who changed what, newest first; as CSV and JSON lines, too. Who may see nothing finds nothing."""
    visible = access.visible_to(request.user)
    if visible is None:
        raise Http404
    wish = read_wish(request.GET)
    found = narrowed(visible, wish)
    form = request.GET.get("format", "")
    if form in exports.CONTENT_TYPES:
        return exports.download(request, found, form)
    response = render(request, "accounting/audit.html", _context(request, wish, found))
    response["Cache-Control"] = "no-store"
    return response


def _context(request: HttpRequest, wish: Wish, found: QuerySet[AuditEntry]) -> dict[str, Any]:
    older = found.filter(number__lt=wish.before) if wish.before else found
    rows = list(older.order_by("-number")[: ENTRIES_SHOWN + 1])
    is_all = access.sees_all(request.user)
    next_number = rows[ENTRIES_SHOWN - 1].number if len(rows) > ENTRIES_SHOWN else None
    return {
        "wish": wish,
        "entries": [shown_as(entry) for entry in rows[:ENTRIES_SHOWN]],
        "teams": [] if is_all else access.teams_of(request.user),
        "kinds": shown.known_kinds(),
        "actions": (*ACTIONS, *SIGN_INS) if is_all else ACTIONS,
        "is_all": is_all,
        "is_first": wish.before is None,
        "newest_address": f"?{urlencode(wish.given)}",
        "next_address": f"?{urlencode({**wish.given, 'before': next_number})}"
        if next_number
        else "",
        "csv_address": f"?{urlencode({**wish.given, 'format': exports.CSV})}",
        "json_address": f"?{urlencode({**wish.given, 'format': exports.JSON_LINES})}",
    }


def shown_as(entry: AuditEntry) -> Shown:
    """The entry in words."""
    return Shown(
        entry, shown.kind_words(entry.kind), shown.summary_of(entry), shown.lines_of(entry)
    )


def read_wish(query: QueryDict) -> Wish:
    """What the address asks for."""
    before = query.get("before", "")
    is_number = before.isascii() and before.isdecimal() and len(before) < 19
    return Wish(
        team=_word(query, "team"),
        kind=_word(query, "kind"),
        action=_word(query, "action"),
        actor=_word(query, "actor"),
        name=_word(query, "name"),
        from_on=_day(query, "from"),
        to_on=_day(query, "to"),
        before=int(before) if is_number else None,
    )


def _word(query: QueryDict, name: str) -> str:
    """PostgreSQL is not to be asked for a zero byte: no column holds one."""
    return query.get(name, "").strip().replace("\0", "")


def _day(query: QueryDict, name: str) -> date | None:
    try:
        found = parse_date(_word(query, name))
    except ValueError:
        return None
    # Django's databases know no moments before the year 1 or behind 9999, also not a day further.
    return found if found and 1 < found.year < 9999 else None


def narrowed(entries: QuerySet[AuditEntry], wish: Wish) -> QuerySet[AuditEntry]:
    """Those that match all of what is asked for."""
    words = {
        name: getattr(wish, name)
        for name in ("team", "kind", "action", "actor")
        if getattr(wish, name)
    }
    condition = Q(**words)
    if wish.name:
        condition &= Q(name__icontains=wish.name)
    if wish.from_on:
        condition &= Q(at__gte=_midnight(wish.from_on))
    if wish.to_on:
        condition &= Q(at__lt=_midnight(wish.to_on + timedelta(days=1)))
    return entries.filter(condition)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

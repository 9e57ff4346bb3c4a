"""A team's own pages, for people who cannot open the admin: its keys, people and budgets.

Members see their own keys and may rotate or revoke them, and make some where a lead lets them; auditors see all of the
team's; leads change keys and people too. Whoever is not in a team is told the same of it as of one that does not exist.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounting import keys, member_keys
from accounting.budget_states import budgets, states
from accounting.key_words import OVERLAPS, KeyReader, KeyWords, WordUnreadable, read_span
from accounting.keys import MintedKey
from accounting.models import Membership, Team, VirtualKey
from accounting.principals import Principal, principal_of

WORDS = ("name", "project", "owner", "expires", "rpm", "tpm", "concurrent")


def team_for(principal: Principal, slug: str) -> Team:
    """The team, for one of its people or for staff.

    Raises:
        Http404: there is none, or they have nothing to do with it.
    """
    if not (principal.is_staff or slug in principal.joined):
        raise Http404("There is no such team.")
    return get_object_or_404(Team, slug=slug)


def keys_for(principal: Principal, team: Team) -> "QuerySet[VirtualKey]":
    """The team's keys that may be seen: all of them, or their own."""
    rows = VirtualKey.objects.filter(team=team).select_related("team", "owner", "default_project")
    if not principal.may_see_team(team.slug):
        rows = rows.filter(owner__username=principal.username)
    return rows.prefetch_related("rotated_to")


def key_for(principal: Principal, team: Team, pk: int) -> VirtualKey:
    """A key that may be changed: by a lead, or by whose it is.

    Raises:
        Http404: there is none that may be seen.
        PermissionDenied: it may be looked at only.
    """
    row: VirtualKey = get_object_or_404(keys_for(principal, team), pk=pk)
    is_own = row.owner is not None and row.owner.get_username() == principal.username
    if not (principal.may_lead(team.slug) or is_own):
        raise PermissionDenied
    return row


@login_required
@require_safe
def teams_page(request: HttpRequest) -> HttpResponse:
    """GET /usage/teams/: the teams that one is in; all of them for staff."""
    principal = principal_of(request.user)
    rows = (
        Team.objects.all() if principal.is_staff else Team.objects.filter(slug__in=principal.joined)
    )
    found = list(
        rows.annotate(
            people=Count("memberships", distinct=True),
            usable_keys=Count(
                "keys", filter=Q(keys__enabled=True, keys__revoked_at=None), distinct=True
            ),
        )
    )
    if len(found) == 1:
        return redirect("accounting:team", slug=found[0].slug)
    return render(request, "accounting/teams.html", {"teams": found})


@login_required
@require_safe
def team_page(request: HttpRequest, slug: str) -> HttpResponse:
    """GET /usage/teams/<slug>/: what one may see of a team."""
    principal = principal_of(request.user)
    return _team_page(request, principal, team_for(principal, slug))


def _team_page(
    request: HttpRequest,
    principal: Principal,
    team: Team,
    *,
    problems: tuple[str, ...] = (),
    status: int = 200,
) -> HttpResponse:
    now = datetime.now(UTC)
    may_lead, sees_all = principal.may_lead(team.slug), principal.may_see_team(team.slug)
    context: dict[str, Any] = {
        "team": team,
        "may_lead": may_lead,
        "sees_all": sees_all,
        "keys": [
            {
                "row": row,
                "state": keys.state_of(row, now=now),
                "is_open": row.revoked_at is None
                and (may_lead or (row.owner and row.owner.get_username() == principal.username)),
                "is_rotated": bool(row.rotated_to.all()),
            }
            for row in keys_for(principal, team)
        ],
        "problems": problems,
        "given": request.POST,
        "url": _address(request),
        **_own(request, principal, team, now=now),
    }
    if sees_all:
        own = budgets().filter(team=team) | budgets().filter(project__team=team)
        context |= {
            "members": team.memberships.select_related("user"),
            "projects": team.projects.all(),
            "budgets": list(states(own | budgets().filter(key__team=team), now=now)),
            "roles": Membership.Role.choices,
        }
    response = render(request, "accounting/team.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _own(
    request: HttpRequest, principal: Principal, team: Team, *, now: datetime
) -> dict[str, Any]:
    """What the page shows of the person's own: what they used, their budgets, whether they may make a key."""
    if team.slug not in principal.joined or not isinstance(request.user, User):
        return {"may_make": principal.may_lead(team.slug)}
    user = request.user
    of_own_keys = budgets().filter(key__team=team, key__owner=user, key__revoked_at=None)
    return {
        "own_usage": member_keys.own_usage(team, principal.username, now=now),
        "own_keys_n": member_keys.own_open_keys(team, user, now=now).count(),
        "own_budgets": list(states(of_own_keys, now=now)),
        "limited": _limited(team, user),
        "may_make": principal.may_lead(team.slug) or member_keys.may_make(team, user),
    }


def _limited(team: Team, user: User) -> list[tuple[str, Any]]:
    """The team, its projects that the person's keys are booked under, and those keys, as far as they have limits."""
    own = VirtualKey.objects.filter(team=team, owner=user, revoked_at=None)
    own = own.select_related("default_project")
    projects = {row.default_project for row in own if row.default_project}
    rows: list[tuple[str, Any]] = [("All of the team", team)]
    rows += [(f"Project {row.slug}", row) for row in sorted(projects, key=lambda row: row.slug)]
    rows += [(f"Key {row.name}", row) for row in own]
    return [(name, row) for name, row in rows if any(getattr(row, it) for it in keys.LIMITS)]


@login_required
@require_POST
def set_allowance(request: HttpRequest, slug: str) -> HttpResponse:
    """POST /usage/teams/<slug>/allowance/: whether members make keys of their own, and how many. For leads."""
    principal = principal_of(request.user)
    team = team_for(principal, slug)
    if not principal.may_lead(team.slug):
        raise PermissionDenied
    problem = member_keys.read_allowance(request.POST, team)
    if problem:
        return _team_page(request, principal, team, problems=(problem,), status=422)
    team.save(update_fields=["members_may_make_keys", "keys_per_member_max"])
    return redirect("accounting:team", slug=slug)


@login_required
@require_POST
def add_key(request: HttpRequest, slug: str) -> HttpResponse:
    """POST /usage/teams/<slug>/keys/: a new key, shown once in the answer. For leads, and members where leads let them."""
    principal = principal_of(request.user)
    team = team_for(principal, slug)
    texts = {word: request.POST.get(word, "").strip() for word in WORDS}
    aliases = request.POST.get("aliases", "").replace(",", " ").split()
    now = datetime.now(UTC)
    if not principal.may_lead(team.slug):
        user = request.user
        if not isinstance(user, User) or not member_keys.may_make(team, user):
            raise PermissionDenied
        words = {**texts, "aliases": aliases}
        minted, problems = member_keys.make_own(team, user, words, now=now)
        if minted is None:
            return _team_page(request, principal, team, problems=tuple(problems), status=422)
        return _shown_once(request, minted)
    row, problems = KeyReader(now=now).read(KeyWords(team=team.slug, aliases=aliases, **texts))
    if row is None:
        return _team_page(request, principal, team, problems=tuple(problems), status=422)
    return _shown_once(request, keys.mint_for(row))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rotate_key(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """/usage/teams/<slug>/keys/<pk>/rotate/: asks how; then shows the new key, once."""
    principal = principal_of(request.user)
    row = key_for(principal, team_for(principal, slug), pk)
    problem = keys.problem_with_rotation(row)
    if request.method == "POST" and not problem:
        try:
            overlap = read_span(request.POST.get("overlap", "")) or timedelta(0)
            return _shown_once(request, keys.rotate(row, overlap, now=datetime.now(UTC)))
        except (WordUnreadable, ValidationError) as error:
            problem = getattr(error, "message", "") or str(error)
    context = {"row": row, "what": "rotate", "overlaps": OVERLAPS, "problem": problem}
    return render(request, "accounting/team_key.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_key(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """/usage/teams/<slug>/keys/<pk>/revoke/: asks; then refuses the key for good."""
    principal = principal_of(request.user)
    row = key_for(principal, team_for(principal, slug), pk)
    if request.method == "POST":
        keys.revoke(row, now=datetime.now(UTC))
        return redirect("accounting:team", slug=slug)
    others = keys.others_accepted(row, now=datetime.now(UTC))
    context = {"row": row, "what": "revoke", "others": others}
    return render(request, "accounting/team_key.html", context)


@login_required
@require_POST
def set_member(request: HttpRequest, slug: str) -> HttpResponse:
    """POST /usage/teams/<slug>/members/: puts a person into the team, or gives them another role. For leads."""
    principal = principal_of(request.user)
    team = team_for(principal, slug)
    if not principal.may_lead(team.slug):
        raise PermissionDenied
    name, role = request.POST.get("user", "").strip(), request.POST.get("role", "")
    user = User.objects.filter(username=name, is_active=True).first()
    problem = _problem_with_member(principal, name, user, role)
    if problem or user is None:
        return _team_page(request, principal, team, problems=(problem,), status=422)
    if role == "none":
        for row in Membership.objects.filter(team=team, user=user):
            row.delete()
    else:
        row, is_new = Membership.objects.get_or_create(
            team=team, user=user, defaults={"role": role}
        )
        if not is_new and (row.role, row.origin) != (role, Membership.Origin.HAND):
            # From now on it is the lead's word that counts, not the group's.
            row.role, row.origin = role, Membership.Origin.HAND
            row.save(update_fields=["role", "origin"])
    return redirect("accounting:team", slug=slug)


def _problem_with_member(principal: Principal, name: str, user: User | None, role: str) -> str:
    if user is None:
        return f"There is no user {name!r} who can log in. An administrator can add them."
    if role not in (*Membership.Role.values, "none"):
        return "Choose a role."
    if name == principal.username and not principal.is_staff:
        return "Nobody can change their own role: ask another lead or an administrator."
    return ""


def _shown_once(request: HttpRequest, minted: MintedKey) -> HttpResponse:
    context = {
        "row": minted.row,
        "secret": minted.secret,
        "url": _address(request),
    }
    response = render(request, "accounting/team_minted.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _address(request: HttpRequest) -> str:
    """Where clients reach the gateway."""
    return settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/")

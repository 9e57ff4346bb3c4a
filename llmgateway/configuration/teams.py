"""Reads teams with their people, projects and budgets from a file, and writes them as a tree for YAML."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Prefetch, QuerySet

from accounting.keys import LIMITS
from accounting.models import Membership, Project, Team
from llmgateway.configuration.budgets import budgets_trees, read_budgets
from llmgateway.configuration.entries import check_keys, chosen, items_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import save
from llmgateway.lined_yaml import Lined

TEAM_FIELDS = ("name", "enabled", *LIMITS)
TEAM = {*TEAM_FIELDS, "members", "projects", "budgets"}
PROJECT_FIELDS = ("name", *LIMITS)
PROJECT = {"slug", *PROJECT_FIELDS, "budgets"}
MEMBER = {"user", "role"}


def read_team(run: Import, slug: str, entry: Lined, line: int) -> None:
    """A team; members, projects and budgets that are not listed stay."""
    check_keys(run, entry, TEAM, f"team {slug!r}")
    values, lines = chosen(entry, TEAM_FIELDS)
    team = save(run, Team, {"slug": slug}, values, line, f"team {slug}", lines=lines)
    projects = entry.get("projects") or []
    if not isinstance(projects, list) or not all(
        isinstance(item, str | Lined) for item in projects
    ):
        run.fault(entry.line_of("projects"), "projects must be a list of short names")
        return
    if team is None:
        return
    for item in items_of(run, entry, "members"):
        _read_member(run, team, item)
    for item in projects:
        _read_project(run, team, item, entry.line_of("projects"))
    read_budgets(run, entry, team, f"team {slug}")


def _read_member(run: Import, team: Team, item: Lined) -> None:
    """A person who can log in already, and what they are in the team."""
    check_keys(run, item, MEMBER, "a member")
    user = User.objects.filter(username=str(item.get("user"))).first()
    if user is None:
        run.fault(item.line_of("user"), f"there is no user {item.get('user')!r}: add them first")
        return
    values, lines = chosen(item, ("role",))
    what = f"member {user.get_username()} of team {team.slug}"
    save(run, Membership, {"team": team, "user": user}, values, item.line, what, lines=lines)


def _read_project(run: Import, team: Team, item: str | Lined, line: int) -> None:
    """A short name, or a mapping with ``slug`` and what else is to be said of it."""
    if isinstance(item, str):
        what = f"project {team.slug}/{item}"
        save(run, Project, {"team": team, "slug": item}, {}, line, what)
        return
    check_keys(run, item, PROJECT, "a project")
    slug = item.get("slug")
    if not isinstance(slug, str):
        run.fault(item.line, "a project needs a slug, its short name")
        return
    values, lines = chosen(item, PROJECT_FIELDS)
    what = f"project {team.slug}/{slug}"
    keys = {"team": team, "slug": slug}
    project = save(run, Project, keys, values, item.line, what, lines=lines)
    if project is not None:
        read_budgets(run, item, project, what)


def teams() -> "QuerySet[Team]":
    """All teams, with what their trees are made of."""
    # The users come with their memberships: as a prefetch of their own SQLite takes no more than 1,000 of them.
    # Those that came from groups come from them again wherever the people sign in.
    by_hand = Membership.objects.filter(origin=Membership.Origin.HAND)
    members = Prefetch("memberships", by_hand.select_related("user"))
    return Team.objects.prefetch_related(members, "projects__budgets", "budgets")


def team_tree(row: Team, variables: Mapping[int, str]) -> dict[str, Any]:
    """A team with its people, projects and budgets; ``variables`` stand for the webhooks of budgets."""
    tree: dict[str, Any] = {
        "name": row.name,
        "enabled": row.enabled,
        **_limits(row),
        "projects": [_project_tree(project, variables) for project in row.projects.all()],
    }
    members = [
        {"user": member.user.get_username(), "role": member.role}
        for member in row.memberships.all()
    ]
    further = {"members": members, "budgets": budgets_trees(row.budgets.all(), variables)}
    return {**tree, **{name: value for name, value in further.items() if value}}


def _project_tree(row: Project, variables: Mapping[int, str]) -> str | dict[str, Any]:
    further = {
        "name": row.name,
        **_limits(row),
        "budgets": budgets_trees(row.budgets.all(), variables),
    }
    said = {name: value for name, value in further.items() if value}
    return {"slug": row.slug, **said} if said else row.slug


def _limits(row: Team | Project) -> dict[str, int]:
    return {name: getattr(row, name) for name in LIMITS if getattr(row, name) is not None}

"""Reads teams and projects from a file, and writes them as a tree for YAML."""

from typing import Any

from accounting.models import Project, Team
from llmgateway.configuration.entries import REFUSED, check_keys, chosen
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import save
from llmgateway.lined_yaml import Lined

TEAM_FIELDS = ("name", "enabled")
TEAM = {*TEAM_FIELDS, "projects"}
PROJECT = {"slug", "name"}


def read_team(run: Import, slug: str, entry: Lined, line: int) -> None:
    """A team; projects that are not listed stay."""
    check_keys(run, entry, TEAM, f"team {slug!r}", refused=REFUSED)
    values, lines = chosen(entry, TEAM_FIELDS)
    team = save(run, Team, {"slug": slug}, values, line, f"team {slug}", lines=lines)
    projects = entry.get("projects") or []
    if not isinstance(projects, list) or not all(
        isinstance(item, str | Lined) for item in projects
    ):
        run.fault(entry.line_of("projects"), "projects must be a list of short names")
        return
    for item in projects:
        if team is not None:
            _read_project(run, team, item, entry.line_of("projects"))


def _read_project(run: Import, team: Team, item: str | Lined, line: int) -> None:
    """A short name, or a mapping with ``slug`` and ``name``."""
    values: dict[str, Any] = {}
    slug: Any = item
    if isinstance(item, Lined):
        check_keys(run, item, PROJECT, "a project")
        slug, line = item.get("slug"), item.line
        values, _lines = chosen(item, ("name",))
    if not isinstance(slug, str):
        run.fault(line, "a project needs a slug, its short name")
        return
    what = f"project {team.slug}/{slug}"
    save(run, Project, {"team": team, "slug": slug}, values, line, what)


def team_tree(row: Team) -> dict[str, Any]:
    """A team with its projects."""
    tree: dict[str, Any] = {"name": row.name, "enabled": row.enabled}
    return {**tree, "projects": [_project_tree(project) for project in row.projects.all()]}


def _project_tree(row: Project) -> str | dict[str, str]:
    return {"slug": row.slug, "name": row.name} if row.name else row.slug

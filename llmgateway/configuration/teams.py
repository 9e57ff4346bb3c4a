"""Reads teams and projects from a file, and writes them as a tree for YAML."""

from typing import Any

from accounting.models import Project, Team
from llmgateway.configuration.entries import check_keys
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import save
from llmgateway.lined_yaml import Lined

TEAM = {"name", "enabled", "projects"}


def read_team(run: Import, slug: str, entry: Lined, line: int) -> None:
    check_keys(run, entry, TEAM, f"team {slug!r}")
    values = {key: entry[key] for key in ("name", "enabled") if key in entry}
    team = save(run, Team, {"slug": slug}, values, line, f"team {slug}", lines=entry.lines)
    projects = entry.get("projects") or []
    if not isinstance(projects, list) or not all(isinstance(word, str) for word in projects):
        run.fault(entry.line_of("projects"), "projects must be a list of short names")
        return
    for project in projects:
        if team is not None:
            keys = {"team": team, "slug": project}
            save(run, Project, keys, {}, entry.line_of("projects"), f"project {slug}/{project}")


def team_tree(row: Team) -> dict[str, Any]:
    tree: dict[str, Any] = {"name": row.name, "enabled": row.enabled}
    return {**tree, "projects": [project.slug for project in row.projects.all()]}

"""Lists teams: whether they are on, how many people, projects and keys they have, and their limits."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count

from accounting import keys
from accounting.models import Team
from conversion.terminals import inert


class Command(BaseCommand):
    help = "List teams with their projects, people, keys and limits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="One JSON list.")

    def handle(self, *_args: Any, **options: Any) -> None:
        counted = Team.objects.annotate(
            people_n=Count("memberships", distinct=True), keys_n=Count("keys", distinct=True)
        )
        found = [tree_of(row) for row in counted.prefetch_related("projects")]
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        width = max((len(tree["slug"]) for tree in found), default=0)
        for tree in found:
            self.stdout.write(inert(line_of(tree, width)))
        if not found:
            self.stdout.write("There is no team yet.")


def tree_of(row: Any) -> dict[str, Any]:
    """A team as JSON."""
    return {
        "slug": row.slug,
        "name": row.name,
        "enabled": row.enabled,
        "projects": [project.slug for project in row.projects.all()],
        "people": row.people_n,
        "keys": row.keys_n,
        **{name: getattr(row, name) for name in keys.LIMITS},
        "created_at": row.created_at.isoformat(),
    }


def line_of(tree: dict[str, Any], width: int) -> str:
    """A team in a line."""
    state = "on " if tree["enabled"] else "off"
    counts = f"{tree['people']} people, {tree['keys']} keys"
    projects = f"projects {', '.join(tree['projects'])}" if tree["projects"] else ""
    return "  ".join(filter(None, (f"{tree['slug']:<{width}}", state, counts, projects)))

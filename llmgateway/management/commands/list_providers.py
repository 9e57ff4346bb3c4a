"""Lists providers with what the last check of each found; calls nobody (check_providers does)."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count

from conversion.terminals import inert
from routing import checks
from routing.models import Provider


class Command(BaseCommand):
    help = "List providers with their kind, address, deployments, and what the last check found."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="One JSON list.")

    def handle(self, *_args: Any, **options: Any) -> None:
        counted = Provider.objects.select_related("last_check").annotate(
            credentials_n=Count("credentials", distinct=True),
            deployments_n=Count("deployments", distinct=True),
        )
        found = [tree_of(row) for row in counted]
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        width = max((len(tree["slug"]) for tree in found), default=0)
        for tree in found:
            self.stdout.write(inert(line_of(tree, width)))
        if not found:
            self.stdout.write("There is no provider yet.")


def tree_of(row: Any) -> dict[str, Any]:
    """A provider as JSON."""
    check = getattr(row, "last_check", None)
    return {
        "slug": row.slug,
        "kind": row.kind,
        "base_url": row.base_url,
        "enabled": row.enabled,
        "credentials": row.credentials_n,
        "deployments": row.deployments_n,
        "checked_at": check.checked_at.isoformat() if check else None,
        "health": checks.sentence(checks.finding_of(check).state) if check else None,
    }


def line_of(tree: dict[str, Any], width: int) -> str:
    """A provider in a line."""
    state = "on " if tree["enabled"] else "off"
    health = tree["health"] or "not checked yet"
    counts = f"{tree['deployments']} deployments"
    return f"{tree['slug']:<{width}}  {state}  {tree['kind']}  {counts}  {health}"

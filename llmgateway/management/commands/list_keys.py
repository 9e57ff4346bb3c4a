"""Lists API keys: whose they are, whether they are taken, and what they are limited to. Never a key itself."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from accounting import keys
from accounting.models import VirtualKey
from conversion.terminals import inert


class Command(BaseCommand):
    help = "List API keys with their state, owner, limits and expiry."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--team", default="", help="Only those of the team with this short name."
        )
        parser.add_argument(
            "--accepted", action="store_true", help="Only those that are taken now."
        )
        parser.add_argument("--json", action="store_true", help="One JSON list.")

    def handle(self, *_args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        rows = VirtualKey.objects.select_related("team", "owner", "default_project")
        rows = rows.prefetch_related("rotated_to")
        if options["team"]:
            rows = rows.filter(team__slug=options["team"])
        found = [tree_of(row, now) for row in rows]
        if options["accepted"]:
            found = [tree for tree in found if tree["state"] in keys.ACCEPTED]
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        width = max((len(f"{tree['team']}/{tree['name']}") for tree in found), default=0)
        for tree in found:
            self.stdout.write(inert(line_of(tree, width)))
        if not found:
            self.stdout.write("There is no such API key.")


def tree_of(row: VirtualKey, now: datetime) -> dict[str, Any]:
    """A key as JSON."""
    return {
        "id": row.pk,
        "team": row.team.slug,
        "name": row.name,
        "shown": row.shown,
        "state": keys.state_of(row, now=now),
        "owner": row.owner.get_username() if row.owner else None,
        "project": row.default_project.slug if row.default_project else None,
        "allowed_aliases": row.allowed_aliases,
        **{name: getattr(row, name) for name in keys.LIMITS},
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
        "created_at": row.created_at.isoformat(),
    }


def line_of(tree: dict[str, Any], width: int) -> str:
    """A key in a line."""
    name = f"{tree['team']}/{tree['name']}"
    told = [
        f"{name:<{width}}",
        tree["shown"],
        f"{tree['state']:<8}",
        f"owner {tree['owner']}" if tree["owner"] else "",
        f"until {tree['expires_at'][:16]}" if tree["expires_at"] else "",
        f"for {', '.join(tree['allowed_aliases'])}" if tree["allowed_aliases"] else "",
    ]
    return "  ".join(filter(None, told)).rstrip()

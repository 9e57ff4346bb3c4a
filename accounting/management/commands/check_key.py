"""Says what is known of a virtual key, without showing it."""

import json
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from accounting import keys
from accounting.models import VirtualKey
from conversion.terminals import inert


class Command(BaseCommand):
    """The key comes on standard input: an argument would stand in the list of processes and in the shell's history."""

    help = (
        "Read an API key from standard input and say whether it is well-formed, known, whose, and accepted. "
        "It is never printed. Exit code 0: it is accepted now; 1: it is not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--json."""
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look, and tell."""
        secret = sys.stdin.read().strip()
        row = keys.find(secret)
        told = {"well_formed": keys.is_well_formed(secret), "known": row is not None}
        facts: dict[str, Any] = told if row is None else {**told, **facts_of(row)}
        if options["json"]:
            self.stdout.write(json.dumps(facts))
        else:
            for name, value in facts.items():
                self.stdout.write(inert(f"{name.replace('_', ' ')}: {shown(value)}"))
        if facts.get("state") not in keys.ACCEPTED:
            sys.exit(1)


def facts_of(row: VirtualKey) -> dict[str, Any]:
    """What is known of a key, in the order in which it is told."""
    return {
        "key": row.shown,
        "team": row.team.slug,
        "name": row.name,
        "owner": row.owner.get_username() if row.owner else "",
        "state": keys.state_of(row, now=datetime.now(UTC)),
        "made_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
    }


def shown(value: Any) -> str:
    """The value as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)

"""Refuses a virtual key for good."""

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounting import keys
from accounting.management.key_arguments import key_of
from accounting.models import VirtualKey
from conversion.terminals import inert


class Command(BaseCommand):
    """A key is named, or comes in clear on standard input: a leaked one need not be looked up first."""

    help = "Refuse an API key for good, in every process within a second."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """--team and --name, or --stdin."""
        parser.add_argument("--team", default="", help="The team's short name.")
        parser.add_argument("--name", default="", help="The key's name.")
        parser.add_argument(
            "--stdin",
            action="store_true",
            help="Read the key itself from standard input instead, such as one that was found in a public place.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Revoke, and say what else is still accepted."""
        now = datetime.now(UTC)
        row = self._row(options)
        if not keys.revoke(row, now=now):
            raise CommandError(f"{row} was revoked on {row.revoked_at:%Y-%m-%d %H:%M} UTC already.")
        self.stdout.write(
            inert(f"{row} ({row.shown}) is revoked: refused everywhere within a second.")
        )
        for other in keys.others_accepted(row, now=now):
            self.stdout.write(inert(f"{other} ({other.shown}) of the same line is still accepted."))

    @staticmethod
    def _row(options: dict[str, Any]) -> VirtualKey:
        if not options["stdin"]:
            if not (options["team"] and options["name"]):
                raise CommandError("Name the key with --team and --name, or give it with --stdin.")
            return key_of(options)
        row = keys.find(sys.stdin.read().strip())
        if row is None:
            raise CommandError("That key is not known here.")
        return row

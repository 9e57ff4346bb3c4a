"""Makes a virtual key and prints it, and nothing else."""

import argparse
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounting import keys
from accounting.key_words import KeyReader
from accounting.management.key_arguments import words_of


class Command(BaseCommand):
    """The key is printed once; only its hash is kept."""

    help = "Make an API key for a team and print it: once, and nothing else."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """--team, --name and what the key is limited to."""
        parser.add_argument("--team", required=True, help="The team's short name; it must exist.")
        parser.add_argument(
            "--name", required=True, help="What tells this key from the team's others."
        )
        parser.add_argument(
            "--project", default="", help="Short name of the project its usage is booked under."
        )
        parser.add_argument(
            "--owner", default="", metavar="USER", help="Whose key it is: a member of the team."
        )
        parser.add_argument(
            "--expires",
            default="",
            metavar="WHEN",
            help="Refused from then on: 2027-01-31, 2027-01-31T12:00:00Z, or 90d from now. Default: never.",
        )
        parser.add_argument(
            "--alias",
            "--allow",
            action="append",
            default=[],
            metavar="ALIAS",
            help="A model name the key may ask for, * stands for any text; may be repeated. Default: all.",
        )
        parser.add_argument("--rpm", default="", help="Requests per minute. Default: no limit.")
        parser.add_argument("--tpm", default="", help="Tokens per minute. Default: no limit.")
        parser.add_argument(
            "--concurrent",
            default="",
            help="Requests under way at the same time. Default: no limit.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Mint and print."""
        row, problems = KeyReader(now=datetime.now(UTC)).read(words_of(options))
        if row is None:
            raise CommandError(" ".join(problems))
        try:
            minted = keys.mint_for(row)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(minted.secret)

"""Puts a new virtual key in the place of one and prints it, and nothing else."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounting import keys
from accounting.key_words import WordUnreadable, read_expiry
from accounting.management.key_arguments import add_key_arguments, key_of, span_argument


class Command(BaseCommand):
    """The new key is printed once; what became of the old one goes to standard error."""

    help = (
        "Make a new API key in the place of one and print it: once, and nothing else. The old one is accepted for the "
        "overlap longer; name, limits, budgets, project, owner and allowed models go over to the new one."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """--team, --name, --overlap and --expires."""
        add_key_arguments(parser)
        parser.add_argument(
            "--overlap",
            type=span_argument,
            default=timedelta(days=1),
            metavar="SPAN",
            help="How long the old key is still accepted: 30m, 24h, 7d; 0m refuses it at once. Default: 1d.",
        )
        parser.add_argument(
            "--expires",
            default="",
            metavar="WHEN",
            help="When the new key expires: a day, a moment, or a span from now. "
            "Default: it lives as long as the old one was made to live.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Rotate and print."""
        now = datetime.now(UTC)
        row = key_of(options)
        try:
            expires_at = read_expiry(options["expires"], now=now) if options["expires"] else None
            minted = keys.rotate(row, options["overlap"], now=now, expires_at=expires_at)
        except WordUnreadable as error:
            raise CommandError(f"--expires: {error}") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        row.refresh_from_db()
        self.stdout.write(minted.secret)
        self.stderr.write(
            f"The old key is {row.name!r} now and is accepted until {row.expires_at:%Y-%m-%d %H:%M} UTC."
        )

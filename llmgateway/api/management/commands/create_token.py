"""Makes a token for the management API and prints it, and nothing else."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounting.key_words import WordUnreadable, read_expiry
from llmgateway.api import tokens
from llmgateway.api.models import ApiToken


class Command(BaseCommand):
    """The token is printed once; only its hash is kept."""

    help = "Make a token for the management API and print it: once, and nothing else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, help="Whose token: it may do what they may.")
        parser.add_argument("--name", required=True, help="What tells it from the user's others.")
        parser.add_argument("--scope", choices=ApiToken.Scope.values, default=ApiToken.Scope.READ)
        parser.add_argument(
            "--expires",
            default="",
            metavar="WHEN",
            help="Refused from then on: a day, a moment, or a span from now such as 90d. Default: never.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']!r} who may sign in.")
        try:
            when = options["expires"]
            expires_at = read_expiry(when, now=datetime.now(UTC)) if when else None
            minted = tokens.mint(
                user, options["name"], scope=options["scope"], expires_at=expires_at
            )
        except WordUnreadable as error:
            raise CommandError(f"--expires: {error}") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(minted.secret)

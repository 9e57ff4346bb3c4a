"""Takes a person's second factor away, for a lost phone."""

import argparse
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from llmgateway.sign_in import sealed


class Command(BaseCommand):
    """Noted in the audit trail, with the account that ran it."""

    help = "Take away a person's second factor and recovery codes: their password alone lets them in until they set up a new one."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("user", help="The name that they sign in with.")

    def handle(self, *_args: Any, **options: Any) -> None:
        name = options["user"]
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no user {name!r}. Admin → Users lists them.")
        if sealed.reset(user):
            self.stdout.write(f"The second factor of {name} is gone.")
        else:
            self.stdout.write(f"{name} has no second factor.")

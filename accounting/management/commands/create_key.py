"""Makes a virtual key and prints it, and nothing else."""

import argparse
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounting import keys
from accounting.models import Project, Team


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
            "--allow",
            action="append",
            default=[],
            metavar="ALIAS",
            help="A model name the key may ask for, * stands for any text; may be repeated. Default: all.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Mint and print."""
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            known = ", ".join(Team.objects.values_list("slug", flat=True)[:10]) or "none yet"
            raise CommandError(f"There is no team {options['team']!r}. Teams: {known}.")
        project = None
        if options["project"]:
            project = Project.objects.filter(team=team, slug=options["project"]).first()
            if project is None:
                raise CommandError(f"Team {team.slug} has no project {options['project']!r}.")
        try:
            minted = keys.mint(
                team, options["name"], project=project, allowed_aliases=options["allow"]
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(minted.secret)

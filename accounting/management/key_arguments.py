"""Arguments that commands about keys share, and how they find the key that is meant."""

import argparse
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from accounting.key_words import KeyWords, WordUnreadable, read_span
from accounting.models import VirtualKey


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """--team and --name: which key is meant."""
    parser.add_argument("--team", required=True, help="The team's short name.")
    parser.add_argument("--name", required=True, help="The key's name.")


def key_of(options: Mapping[str, Any]) -> VirtualKey:
    """The key that --team and --name name.

    Raises:
        CommandError: there is none.
    """
    team, name = options["team"], options["name"]
    row = VirtualKey.objects.select_related("team").filter(team__slug=team, name=name).first()
    if row is None:
        raise CommandError(f"Team {team!r} has no API key {name!r}.")
    return row


def words_of(options: Mapping[str, Any]) -> KeyWords:
    """What create_key's arguments wish for."""
    return KeyWords(
        team=options["team"],
        name=options["name"],
        project=options["project"],
        owner=options["owner"],
        expires=options["expires"],
        aliases=options["alias"],
        rpm=options["rpm"],
        tpm=options["tpm"],
        concurrent=options["concurrent"],
    )


def span_argument(text: str) -> timedelta:
    """The type of an argument that is a span of time."""
    try:
        return read_span(text)
    except WordUnreadable as error:
        raise argparse.ArgumentTypeError(str(error)) from error

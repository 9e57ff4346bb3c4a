"""Tells one request in the terminal: attempts, times, tokens, cost with its arithmetic, and what crossed."""

import argparse
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from accounting.principals import Principal
from accounting.request_reading import note_reading
from accounting.request_search import find_by_id
from accounting.request_story import whole_story_of
from accounting.request_trees import story_tree
from accounting.request_words import to_text


class Command(BaseCommand):
    """What the page of the request shows, for who runs the gateway."""

    help = "Show one request: its attempts and why each led to the next, times, tokens, cost, and what was kept of it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """What to show of which request."""
        parser.add_argument("id", metavar="ID", help="The request's id, or one of its records'.")
        parser.add_argument(
            "--bodies", action="store_true", help="Also headers and bodies, masked, where kept."
        )
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print it; the request's words cannot act on the terminal."""
        everything = Principal(username="", is_staff=True)
        request_id = find_by_id(options["id"], everything)
        story = whole_story_of(request_id, with_messages=options["bodies"]) if request_id else None
        if story is None:
            raise CommandError(
                f"There is no request {options['id'][:64]!r}. One that was refused before any provider was called "
                "leaves no record; the log has its line."
            )
        note_reading(story)
        if options["json"]:
            tree = orjson.dumps(story_tree(story), option=orjson.OPT_INDENT_2).decode()
            self.stdout.write(as_ascii(tree))
        else:
            self.stdout.write(to_text(story), ending="")


def as_ascii(tree: str) -> str:
    """JSON with every character beyond ASCII written as an escape: no terminal acts on it, every parser reads it."""
    return "".join(char if " " <= char <= "~" or char == "\n" else _escaped(char) for char in tree)


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))

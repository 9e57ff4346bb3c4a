"""Applies a configuration file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from llmgateway.configuration import ConfigurationFaulty, import_text


class Command(BaseCommand):
    """All faults are told with their lines; a file with any changes nothing."""

    help = "Apply a YAML configuration file in one transaction and print what changed."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", help="The file, or - for standard input.")
        parser.add_argument("--dry-run", action="store_true", help="Only print what would change.")

    def handle(self, *_args: Any, **options: Any) -> None:
        name, dry_run = options["file"], options["dry_run"]
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{name} cannot be read: {error}") from error
        try:
            run = import_text(text, dry_run=dry_run)
        except ConfigurationFaulty as error:
            raise CommandError("\n".join(f"{name}, {fault}" for fault in error.faults)) from error
        for warning in run.warnings:
            self.stderr.write(f"{name}, {warning}")
        for change in run.changes:
            self.stdout.write(change)
        count = len(run.changes)
        done = "would change" if dry_run else "changed"
        self.stdout.write(f"{count} {done}." if count else "Nothing to change.")

"""Makes many virtual keys from a CSV file."""

import os
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounting import key_files
from llmgateway.progress import ProgressBar


class Command(BaseCommand):
    """Keys and the file with their secrets come about together, or neither does."""

    help = (
        f"Make API keys from a CSV file with the columns {', '.join(key_files.COLUMNS)} (team and name are needed; aliases "
        "are separated by spaces). A file with any fault makes none. The new keys are written to a file that only its "
        "owner can read: they are shown nowhere else."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="The file, or - for standard input.")
        parser.add_argument(
            "--out", metavar="OUT.csv", help="Where the new keys go; the file must not exist yet."
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Only say what is wrong, or how many would be made.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        name, out = options["file"], options["out"]
        if not (out or options["dry_run"]):
            raise CommandError("Say with --out where the new keys go, or try with --dry-run.")
        asked = key_files.read(self._text(name), now=datetime.now(UTC))
        if asked.faults:
            raise CommandError("\n".join(f"{name}, {fault}" for fault in asked.faults))
        if options["dry_run"]:
            self.stdout.write(f"{len(asked.wanted)} keys would be made.")
            return
        count = self._make(asked, Path(out))
        self.stdout.write(
            f"{count} keys were made; they are in {out}. Hand them out and delete it."
        )

    @staticmethod
    def _text(name: str) -> str:
        try:
            return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{name} cannot be read: {error}") from error

    @staticmethod
    def _make(asked: key_files.KeyFile, out: Path) -> int:
        try:
            file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CommandError(f"{out} cannot be made: {error.strerror}.") from error
        bar = ProgressBar(sys.stderr, "Making keys")
        try:
            # The file is on the disk before the keys are in the database: a key that nobody has is of no use.
            with os.fdopen(file, "w", encoding="utf-8", newline="") as stream, transaction.atomic():
                made = key_files.make(asked.wanted, progress=bar)
                stream.write(key_files.written(made))
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException as error:
            out.unlink(missing_ok=True)
            if isinstance(error, ValidationError):
                raise CommandError(f"No key was made. {' '.join(error.messages)}") from error
            raise
        finally:
            bar.end()
        return len(made)

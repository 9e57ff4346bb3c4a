"""Writes usage records of past months to files, and deletes them from the ledger if that is asked for."""

import getpass
import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounting import archive, ledger
from accounting.errors import AccountingError
from accounting.models import UsageArchive
from llmgateway.progress import ProgressBar


def read_month(text: str) -> date:
    """The first day of a month, as an argument names it."""
    try:
        return archive.first_of_month(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no month such as 2026-08") from error


class Command(BaseCommand):
    help = (
        "Write the usage records of past months to one file for each month, read it back and compare. With --delete "
        "they are then deleted from the ledger; the daily sums stay, and reports go on to show them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--before",
            required=True,
            type=read_month,
            metavar="YYYY-MM",
            help="Months before this one (UTC).",
        )
        parser.add_argument("--format", choices=UsageArchive.Format.values, default="csv")
        parser.add_argument(
            "--out", type=Path, help="Folder for the files. Default: archives in the data folder."
        )
        parser.add_argument(
            "--delete",
            action="store_true",
            help="Delete the records from the ledger, once their file is proven.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only tell what would be done.")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            months = archive.months_before(options["before"], today=datetime.now(UTC).date())
            if options["delete"]:
                self._look_at_journal(options["before"])
            for month_on in months:
                self._do(month_on, options)
        except AccountingError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"The archive cannot be written: {error}") from error
        if not months:
            self.stdout.write(f"No usage records before {options['before']:%Y-%m}.")

    def _look_at_journal(self, before: date) -> None:
        """An entry that was archived and still is in a journal would be booked again at the next start."""
        waiting = ledger.entries_waiting(settings.JOURNAL_DIR, before=before)
        if waiting:
            raise CommandError(
                f"{waiting} attempts from then are still in the journal of a process that is gone. Start the gateway "
                "once, so that they are booked; if they stay, its log says why."
            )

    def _do(self, month_on: date, options: dict[str, Any]) -> None:
        pending = archive.pending(month_on)
        if options["dry_run"]:
            count = archive.records_of(month_on).count()
            self.stdout.write(f"{month_on:%Y-%m}  {count} records in the ledger. Nothing was done.")
            return
        if pending and not options["delete"]:
            self.stdout.write(f"{month_on:%Y-%m}  is archived already: {pending[0].path}")
            return
        for waiting in pending:
            self._delete(waiting)
        if not archive.records_of(month_on).exists():
            return
        made = self._write(month_on, options)
        if options["delete"]:
            self._delete(made)

    def _write(self, month_on: date, options: dict[str, Any]) -> UsageArchive:
        bar = ProgressBar(sys.stderr, f"Writing {month_on:%Y-%m}")
        made = archive.write_month(
            month_on,
            kind=options["format"],
            directory=options["out"] or settings.DATA_DIR / "archives",
            by=getpass.getuser(),
            progress=bar,
        )
        bar.end()
        self.stdout.write(
            f"{month_on:%Y-%m}  {made.records} records, {made.cost_usd:f} USD, {made.file_bytes} bytes: {made.path}"
        )
        return made

    def _delete(self, made: UsageArchive) -> None:
        bar = ProgressBar(sys.stderr, f"Deleting {made.month_on:%Y-%m}")
        deleted = archive.delete_archived(made, progress=bar)
        bar.end()
        self.stdout.write(f"{made.month_on:%Y-%m}  {deleted} records deleted from the ledger.")

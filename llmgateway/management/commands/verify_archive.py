"""Reads archives and compares them with what was noted when they were written; puts them back if that is asked for."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounting import archive
from accounting.errors import AccountingError
from accounting.models import UsageArchive
from llmgateway.progress import ProgressBar


class Command(BaseCommand):
    help = (
        "Read archived usage records and compare them with what was written: how many, their sums, and a digest over "
        "all values. Exits with 1 when a file is not what it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "files",
            nargs="*",
            type=Path,
            metavar="FILE",
            help="Compared with the manifest beside each. Default: all archives that the database knows.",
        )
        parser.add_argument(
            "--restore",
            action="store_true",
            help="Put the records back into the ledger, once their file is proven. The daily sums hold them already.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        files: list[Path] = options["files"]
        known = {row.path: row for row in UsageArchive.objects.order_by("month_on", "part")}
        if options["restore"] and not files:
            raise CommandError("--restore needs to be told which files.")
        wrong = 0
        for path in files or [Path(path) for path in known]:
            try:
                self._check(path, known)
                if options["restore"]:
                    self._restore(path, known)
            except AccountingError as error:
                wrong += 1
                self.stdout.write(f"WRONG  {error.message}")
        if not files and not known:
            self.stdout.write("No archive is known to the database.")
        if wrong:
            raise CommandError(f"{wrong} archives are not what they were.", returncode=1)

    def _check(self, path: Path, known: dict[str, UsageArchive]) -> None:
        row = known.get(str(path.resolve()))
        expected = archive.tally_of(row) if row else archive.read_manifest(path)
        archive.check(path, expected)
        self.stdout.write(f"ok     {path}: {expected.records} records, {expected.cost_usd:f} USD")

    def _restore(self, path: Path, known: dict[str, UsageArchive]) -> None:
        digest = archive.read_manifest(path).digest
        row = next((row for row in known.values() if row.digest == digest), None)
        if row is None:
            raise CommandError(f"{path} is not an archive of this database's ledger.")
        bar = ProgressBar(sys.stderr, f"Restoring {row.month_on:%Y-%m}")
        put = archive.restore(row, path=path, progress=bar)
        bar.end()
        self.stdout.write(f"{row.month_on:%Y-%m}  {put} records put back into the ledger.")

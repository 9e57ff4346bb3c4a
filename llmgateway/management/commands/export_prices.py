"""Writes the price book as CSV, as import_prices reads it."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounting import price_csv
from accounting.models import Price
from llmgateway.progress import ProgressBar


class Command(BaseCommand):
    help = "Write the whole price book, its history and tiers too, as CSV; import_prices --from csv reads it back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", nargs="?", default="-", help="The file; - for standard output (default)."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["file"] == "-":
            for line in price_csv.write():
                self.stdout.write(line, ending="")
            return
        bar = ProgressBar(sys.stderr, "Writing")
        total = Price.objects.count()
        try:
            with Path(options["file"]).open("w", encoding="utf-8", newline="") as file:
                for done, line in enumerate(price_csv.write()):
                    file.write(line)
                    bar(min(done, total), total)
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be written: {error.strerror}") from error
        finally:
            bar.end()
        self.stderr.write(f"{total} prices were written to {options['file']}.")

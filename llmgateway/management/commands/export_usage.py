"""Writes usage records to a file or to standard output, without holding them in memory."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from accounting import exports, parquet
from accounting.errors import ParquetMissing
from accounting.models import UsageRecord
from llmgateway.progress import ProgressBar


class Command(BaseCommand):
    help = "Write usage records as CSV, JSON lines or Parquet, in the order in which they began."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="from_on",
            type=date.fromisoformat,
            metavar="YYYY-MM-DD",
            help="First day (UTC).",
        )
        parser.add_argument(
            "--to",
            dest="to_on",
            type=date.fromisoformat,
            metavar="YYYY-MM-DD",
            help="Last day (UTC), included.",
        )
        parser.add_argument("--format", choices=["csv", "jsonl", "parquet"], default="csv")
        parser.add_argument("--team", help="Only of this team.")
        parser.add_argument("--out", type=Path, help="The file. Default: standard output.")

    def handle(self, *_args: Any, **options: Any) -> None:
        out: Path | None = options["out"]
        try:
            if options["format"] == "parquet":
                parquet.check_available()
            if out is None:
                self._write(sys.stdout.buffer, options)
                return
            with out.open("xb") as file:
                self._write(file, options)
        except ParquetMissing as error:
            raise CommandError(error.message) from error
        except BrokenPipeError:
            raise CommandError("Nobody reads on.") from None
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}") from error

    def _write(self, out: IO[bytes], options: dict[str, Any]) -> None:
        records = _chosen(options)
        bar = ProgressBar(sys.stderr, "Writing")
        rows = _watched(records, bar)
        if options["format"] == "parquet":
            parquet.write(out, rows)
        elif options["format"] == "jsonl":
            out.writelines(exports.json_lines(portion) for portion in rows)
        else:
            out.write(exports.csv_heading())
            out.writelines(exports.csv_lines(portion) for portion in rows)
        out.flush()
        bar.end()


def _chosen(options: dict[str, Any]) -> QuerySet[UsageRecord]:
    records = UsageRecord.objects.all()
    if options["from_on"]:
        records = records.filter(started_at__gte=_midnight(options["from_on"]))
    if options["to_on"]:
        records = records.filter(started_at__lt=_midnight(options["to_on"] + timedelta(days=1)))
    if options["team"]:
        records = records.filter(team=options["team"])
    return records


def _midnight(on: date) -> datetime:
    return datetime(on.year, on.month, on.day, tzinfo=UTC)


def _watched(records: QuerySet[UsageRecord], bar: ProgressBar) -> Iterator[list[exports.Row]]:
    total = records.count() if sys.stderr.isatty() else 0
    done = 0
    for portion in exports.portions(records):
        yield portion
        done += len(portion)
        bar(done, total)

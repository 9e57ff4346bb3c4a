"""Lays a provider's bill beside the ledger, by day and model."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import BaseCommand, CommandError

from accounting.errors import BillUnreadable
from accounting.provider_bills import KNOWN, MAPPED, BillFormat, mapped_format, read_bill
from accounting.reconciliation import Comparison, compare
from accounting.reconciliation_page import write_csv
from accounting.templatetags.differences import count_difference
from conversion.terminals import inert


def read_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ArgumentTypeError(f"{text!r} is no time zone such as Europe/Berlin") from error


def read_pair(text: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not (equals and left and right):
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=NAME")
    return left, right


class Command(BaseCommand):
    help = (
        "Compare a provider's bill or usage export (CSV) with what was booked, by day and model. Nothing is changed "
        "and nothing kept. Known formats are told by their columns."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--provider", default="", help="The provider here whose bill it is. Default: all."
        )
        parser.add_argument("--format", choices=sorted(KNOWN), help="Default: told by the columns.")
        parser.add_argument(
            "--column",
            action="append",
            default=[],
            type=read_pair,
            metavar="WHAT=COLUMN",
            help=f"For any other format: which column is {', '.join(MAPPED)}; several are joined by +.",
        )
        parser.add_argument(
            "--zone",
            type=read_zone,
            default=ZoneInfo("UTC"),
            help="Time zone of the bill's days. Default: UTC.",
        )
        parser.add_argument(
            "--name",
            action="append",
            default=[],
            type=read_pair,
            metavar="THEIRS=OURS",
            help="Which model here a name on the bill is; may be repeated.",
        )
        parser.add_argument("--csv", action="store_true", help="Print all lines as CSV.")

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            with path.open("rb") as file:
                bill = read_bill(file, known=_format_of(options), zone=options["zone"])
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}") from error
        except BillUnreadable as error:
            raise CommandError("\n".join(f"{path}: {fault}" for fault in error.faults)) from error
        found = compare(
            bill, provider=options["provider"], zone=options["zone"], names=dict(options["name"])
        )
        if options["csv"]:
            write_csv(self.stdout, found)
            return
        self.stdout.write(f"{bill.format.label}: {bill.lines} lines")
        self._tell(found)

    def _tell(self, found: Comparison) -> None:
        self.stdout.write(
            f"{found.from_on} to {found.to_on} ({found.zone}), USD theirs / ours / difference"
        )
        for line in (*found.models, found.total):
            difference = line.difference
            theirs = line.theirs.cost_usd if line.theirs else None
            ours = line.ours.cost_usd if line.ours else None
            self.stdout.write(
                f"{inert(line.model):<44} {_usd(theirs)} / {_usd(ours)} / {_usd(difference.cost_usd)}"
                f"  requests {count_difference(difference.requests)}"
                f"  prompt tokens {count_difference(difference.prompt_tokens)}"
                f"  completion tokens {count_difference(difference.completion_tokens)}"
            )
        for name in found.taken_for:
            self.stdout.write(inert(f"{name.theirs} was taken for {name.ours} ({name.how})."))
        for name in found.unmatched:
            perhaps = (
                f" Perhaps: --name '{name.theirs}={name.proposals[0]}'" if name.proposals else ""
            )
            self.stdout.write(inert(f"{name.theirs} is no model here.{perhaps}"))
        self.stdout.write(
            f"{len(found.differing)} of {len(found.lines)} days and models differ; --csv lists all."
        )


def _usd(amount_usd: Any) -> str:
    return "–" if amount_usd is None else f"{amount_usd:f}"


def _format_of(options: dict[str, Any]) -> BillFormat | None:
    if options["column"]:
        return mapped_format(dict(options["column"]))
    return KNOWN.get(options["format"] or "")

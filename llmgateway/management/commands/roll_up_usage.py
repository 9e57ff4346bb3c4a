"""Compares the daily and hourly sums with the ledger's rows, and makes them anew where they differ."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounting import recount
from accounting.models.money import from_pico
from conversion.terminals import inert
from llmgateway.progress import ProgressBar

LINES_MAX = 50


class Command(BaseCommand):
    help = (
        "Compare the daily and hourly sums, which reports and the dashboard are made of, with the ledger's rows, to "
        "the last digit. Exits with 1 when they differ. The gateway may run meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="from_on",
            type=_day,
            metavar="YYYY-MM-DD",
            help="First day (UTC). Default: the ledger's.",
        )
        parser.add_argument(
            "--to",
            dest="to_on",
            type=_day,
            metavar="YYYY-MM-DD",
            help="Last day (UTC). Default: the ledger's.",
        )
        how = parser.add_mutually_exclusive_group()
        how.add_argument(
            "--verify", action="store_true", help="Only compare; so it is without it, too."
        )
        how.add_argument(
            "--repair",
            action="store_true",
            help="Count those days anew that differ, each in one transaction.",
        )
        parser.add_argument("--json", action="store_true", help="Print all that was found as JSON.")

    def handle(self, *_args: Any, **options: Any) -> None:
        bar = ProgressBar(sys.stderr, "Days")
        found = recount.look(
            options["from_on"], options["to_on"], repair=options["repair"], progress=bar
        )
        bar.end()
        if options["json"]:
            self.stdout.write(json.dumps(asdict(found), default=str, indent=1))
        else:
            self._tell(found)
        if found.differences and not options["repair"]:
            raise CommandError(
                "The sums are not what the rows say. roll_up_usage --repair makes them anew.",
                returncode=1,
            )

    def _tell(self, found: recount.Findings) -> None:
        for difference in found.differences[:LINES_MAX]:
            self.stdout.write(inert(_line(difference)))
        if len(found.differences) > LINES_MAX:
            self.stdout.write(f"… and {len(found.differences) - LINES_MAX} more; --json has all.")
        for unknown in found.unknown:
            self.stdout.write(f"{unknown.on}  not compared: {unknown.reason}")
        self.stdout.write(
            f"{found.days} days, {len(found.differences)} differences, {len(found.repaired)} days made anew, "
            f"{len(found.unknown)} not compared."
        )


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _line(difference: recount.Difference) -> str:
    stored, counted = difference.stored, difference.counted
    words = " ".join(f"{name}={value}" for name, value in difference.words.items() if value != "")
    if difference.name.endswith("_usd"):
        amounts = f"{from_pico(stored):f} USD instead of {from_pico(counted):f} USD"
    else:
        amounts = f"{stored} instead of {counted}"
    return f"{difference.on}  {difference.table}, {difference.name}: {amounts} ({words})"

"""Books what records cost more or less by the price book than was booked."""

import getpass
import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounting import price_book, recosting
from accounting.models.money import from_pico
from accounting.recosting import Line, Outcome, Run, Wish
from accounting.templatetags.amounts import usd
from conversion.terminals import inert
from llmgateway.progress import ProgressBar

BY_CHARS_MAX = 150
REASON_CHARS_MAX = 200


def day(text: str) -> date:
    """A day such as 2026-11-30."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no day such as 2026-11-30") from error


class Command(BaseCommand):
    help = (
        "Work out anew what usage cost, by the prices that the price book now says were in force then, and book the "
        "difference as adjustments. Records are never changed; a second run books nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="from_on",
            type=day,
            required=True,
            metavar="DAY",
            help="First day (UTC).",
        )
        parser.add_argument(
            "--to",
            dest="to_on",
            type=day,
            required=True,
            metavar="DAY",
            help="Last day (UTC), included.",
        )
        parser.add_argument("--provider", metavar="SLUG", help="Only records of this provider.")
        parser.add_argument("--model", metavar="NAME", help="Only records of this upstream model.")
        parser.add_argument("--team", metavar="SLUG", help="Only records of this team.")
        parser.add_argument(
            "--include-provider",
            action="store_true",
            help="Also records whose cost is the provider's own figure: the price book's replaces it.",
        )
        parser.add_argument(
            "--reason", default=recosting.REASON, help="Stands beside each adjustment."
        )
        parser.add_argument(
            "--by", default="", help="Who has it booked. Default: the user of the system."
        )
        parser.add_argument("--dry-run", action="store_true", help="Tell, and book nothing.")
        parser.add_argument("--yes", action="store_true", help="Book without asking.")
        parser.add_argument("--json", action="store_true", help="Tell as JSON.")

    def handle(self, *_args: Any, **options: Any) -> None:
        wish = wish_of(options)
        tags = price_book.read_tags()
        is_sure = options["yes"] and not options["dry_run"]
        run = run_of(options) if is_sure else None
        outcome = self._pass_over(wish, tags, run)
        if not options["dry_run"] and not is_sure and outcome.total.adjusted:
            self._tell_lines(outcome)
            self._ask(outcome)
            run = run_of(options)
            outcome = self._pass_over(wish, tags, run)
        if options["json"]:
            self.stdout.write(json.dumps(tree_of(outcome, run), indent=2))
            return
        self._tell_lines(outcome)
        self._tell_total(outcome, run)

    def _pass_over(self, wish: Wish, tags: price_book.Tags, run: Run | None) -> Outcome:
        bar = ProgressBar(sys.stderr, "Booking" if run else "Comparing")
        try:
            return recosting.recost(wish, tags, run, progress=bar)
        finally:
            bar.end()

    def _ask(self, outcome: Outcome) -> None:
        total = outcome.total
        question = f"Book {total.adjusted:,} adjustments of {signed(total.after - total.before)} in all? [y/N] "
        if not sys.stdin.isatty():
            raise CommandError("Nothing was booked: say --yes to book, or --dry-run to look.")
        if input(question).strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was booked.")

    def _tell_lines(self, outcome: Outcome) -> None:
        for (on, provider, model), line in outcome.changed:
            self.stdout.write(inert(f"{on}  {provider}: {model}  {change_of(line)}"))

    def _tell_total(self, outcome: Outcome, run: Run | None) -> None:
        total = outcome.total
        left = [
            f"{count:,} without {what}"
            for count, what in (
                (outcome.without_price, "a price in the book for their moment"),
                (outcome.without_tokens, "a count of tokens or images"),
            )
            if count
        ]
        if left:
            self.stdout.write(f"Left as they are: {', '.join(left)}.")
        self.stdout.write(
            f"{total.records:,} records compared, {total.adjusted:,} adjusted: {usd(from_pico(total.before))} → "
            f"{usd(from_pico(total.after))} ({signed(total.after - total.before)})."
        )
        if run is not None and total.adjusted:
            self.stdout.write(f"Booked as run {run.id}.")
        elif total.adjusted:
            self.stdout.write("Nothing was booked.")


def wish_of(options: dict[str, Any]) -> Wish:
    """What the options ask for.

    Raises:
        CommandError: the days are the wrong way round, or --json has nobody to ask.
    """
    if options["from_on"] > options["to_on"]:
        raise CommandError("--from is after --to.")
    if options["json"] and not (options["yes"] or options["dry_run"]):
        raise CommandError("--json asks nobody: say --dry-run or --yes with it.")
    columns = {"provider": "provider", "model": "upstream_model", "team": "team"}
    narrowed = {column: options[name] for name, column in columns.items() if options[name]}
    return Wish(options["from_on"], options["to_on"], narrowed, options["include_provider"])


def run_of(options: dict[str, Any]) -> Run:
    """A new run, by whoever is named or runs the command."""
    reason = options["reason"][:REASON_CHARS_MAX]
    by = options["by"] or system_user()
    return recosting.new_run(by[:BY_CHARS_MAX], now=datetime.now(UTC), reason=reason)


def system_user() -> str:
    """The name of the system's user; in a container there may be none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def change_of(line: Line) -> str:
    """How the sums of a line change."""
    text = f"{line.adjusted:,} of {line.records:,} records, {usd(from_pico(line.before))} → {usd(from_pico(line.after))}"
    if line.unpriced_before:
        text += f", unpriced {line.unpriced_before:,} → {line.unpriced_after:,}"
    return text


def signed(pico: int) -> str:
    """A difference with its sign."""
    amount: Decimal = from_pico(pico)
    return f"{'+' if amount >= 0 else '−'}{usd(abs(amount))}"


def tree_of(outcome: Outcome, run: Run | None) -> dict[str, Any]:
    """The outcome for JSON; amounts are strings, so that no digit is lost."""
    return {
        "run": run.id if run else None,
        "total": line_tree(outcome.total),
        "without_price": outcome.without_price,
        "without_tokens": outcome.without_tokens,
        "lines": [
            {"day": str(on), "provider": provider, "model": model, **line_tree(line)}
            for (on, provider, model), line in outcome.changed
        ],
    }


def line_tree(line: Line) -> dict[str, Any]:
    """One line for JSON."""
    return {
        "records": line.records,
        "adjusted": line.adjusted,
        "unpriced_before": line.unpriced_before,
        "unpriced_after": line.unpriced_after,
        "before_usd": f"{from_pico(line.before):f}",
        "after_usd": f"{from_pico(line.after):f}",
    }

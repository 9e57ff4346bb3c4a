"""Imports prices from LiteLLM's cost map, OpenRouter's list of models, or a CSV file."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounting.price_changes import PriceChange, book_changes
from accounting.price_csv import CsvInvalid
from accounting.price_words import sentence
from conversion.errors import GatewayError
from conversion.terminals import inert
from llmgateway import price_sources
from llmgateway.price_sources import Offers, Plan, SourceUnreadable
from llmgateway.progress import ProgressBar
from routing import snapshot
from routing.management.commands.check_providers import chosen

SHOWN_MAX = 10


class Command(BaseCommand):
    help = (
        "Import prices. A price that differs from the one in force becomes a further one, in force from now on (a CSV "
        "file may name the moment); what is in the book is never changed. Exit code 1 when nothing could be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            nargs="?",
            help="litellm: a cost map (default: the installed package's). openrouter: the answer to GET /models "
            "(default: asked for). csv: the file; - for standard input.",
        )
        parser.add_argument(
            "--from", dest="source", choices=("litellm", "openrouter", "csv"), required=True
        )
        parser.add_argument(
            "--provider",
            action="append",
            default=[],
            metavar="SLUG",
            help="Only for this provider; may be given several times. Default: all that are switched on.",
        )
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="PATTERN",
            help="Only models whose name matches, such as 'anthropic/*'; may be given several times.",
        )
        parser.add_argument(
            "--over-manual",
            action="store_true",
            help="Replace prices that were entered by hand, too. A CSV file always does.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Tell, and change nothing.")
        parser.add_argument("--json", action="store_true", help="Tell as JSON.")

    def handle(self, *_args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        try:
            offers = _read(options, now)
        except (SourceUnreadable, GatewayError) as error:
            raise CommandError(inert(getattr(error, "message", str(error)))) from error
        except CsvInvalid as error:
            raise CommandError("\n".join(map(str, error.faults))) from error
        plan = price_sources.plan(offers, now=now, over_manual=options["over_manual"])
        if not options["dry_run"]:
            bar = ProgressBar(sys.stderr, "Booking")
            book_changes(plan.found.changes, now=now, progress=bar)
            bar.end()
        if options["json"]:
            self.stdout.write(json.dumps(_tree(plan), default=_plain, indent=2))
        else:
            self._tell(plan, is_dry=options["dry_run"])

    def _tell(self, plan: Plan, *, is_dry: bool) -> None:
        for what, changes in (("new", plan.new), ("changed", plan.changed)):
            for change in changes:
                line = f"{what:<8} {change.provider}: {change.model}  {sentence(change.old, change.new)}"
                self.stdout.write(inert(line + _moment(change)))
        for offer in plan.found.kept:
            self.stdout.write(
                inert(f"kept     {offer.provider}: {offer.model}  entered by hand, and differs")
            )
        for offer in plan.found.taken:
            self.stdout.write(
                inert(
                    f"taken    {offer.provider}: {offer.model}  another price has that moment already"
                )
            )
        for provider, model in plan.gone:
            self.stdout.write(
                inert(f"gone     {provider}: {model}  not told any more; its price stays")
            )
        self._tell_left_out(plan.offers)
        found = plan.found
        self.stdout.write(
            f"{len(plan.new)} new, {len(plan.changed)} changed, {found.same} the same, {len(found.kept)} kept, "
            f"{len(plan.gone)} gone." + (" Nothing was changed." if is_dry else "")
        )

    def _tell_left_out(self, offers: Offers) -> None:
        if offers.unknown:
            shown = ", ".join(offers.unknown[:SHOWN_MAX])
            more = len(offers.unknown) - SHOWN_MAX
            self.stdout.write(
                inert(f"No price is told of: {shown}")
                + (f", and {more} more." if more > 0 else ".")
            )
        if offers.untaken:
            names = (f"{name} ({count})" for name, count in offers.untaken.most_common())
            self.stdout.write(inert(f"Told, and not taken (models): {', '.join(names)}."))


def _read(options: dict[str, Any], now: datetime) -> Offers:
    file, patterns = options["file"], options["filter"]
    if options["source"] == "csv":
        if file is None:
            raise SourceUnreadable("Name the CSV file, or - for standard input.")
        offers = price_sources.from_csv(_bytes_of(file))
        wanted = set(options["provider"])
        return price_sources.narrowed(offers, wanted, patterns)
    providers = chosen(snapshot.build().providers.values(), options["provider"])
    raw = None if file is None else _bytes_of(file)
    if options["source"] == "litellm":
        return price_sources.from_litellm(providers, now=now, raw=raw, patterns=patterns)
    bar = ProgressBar(sys.stderr, "Asking")
    try:
        return price_sources.from_openrouter(providers, raw=raw, patterns=patterns, progress=bar)
    finally:
        bar.end()


def _bytes_of(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise SourceUnreadable(f"{file} cannot be read: {error.strerror}") from error


def _moment(change: PriceChange) -> str:
    return f"  from {change.valid_from_at:%Y-%m-%d %H:%M} UTC" if change.valid_from_at else ""


def _tree(plan: Plan) -> dict[str, Any]:
    found = plan.found
    return {
        "new": [asdict(change) for change in plan.new],
        "changed": [asdict(change) for change in plan.changed],
        "same": found.same,
        "kept": [[offer.provider, offer.model] for offer in found.kept],
        "taken": [[offer.provider, offer.model] for offer in found.taken],
        "gone": plan.gone,
        "unknown": plan.offers.unknown,
        "untaken": dict(plan.offers.untaken),
    }


def _plain(value: Any) -> str:
    """Amounts with all their digits, moments in ISO 8601."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value.isoformat())

"""Brings a provider's deployments and prices up to what the provider tells of its models."""

import asyncio
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversion.errors import GatewayError
from conversion.terminals import inert
from llmgateway import model_sync
from llmgateway.progress import ProgressBar
from llmgateway.sync_words import sentence
from routing import snapshot
from routing.management.commands.check_providers import chosen
from routing.models import Provider
from routing.synchronisation import What


class Command(BaseCommand):
    help = (
        "Add a provider's models as deployments, bring the facts of those that are there up to date, and note their "
        "prices. What an operator entered by hand stays. Models that are gone are told and left as they are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", metavar="PROVIDER")
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="PATTERN",
            help="Only models whose name matches, such as 'anthropic/*'; may be given several times.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Tell, and change nothing.")
        parser.add_argument(
            "--prices",
            action=BooleanOptionalAction,
            default=True,
            help="Note prices where they differ from those in force.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        (picture,) = chosen(snapshot.build().providers.values(), [options["slug"]])
        row = Provider.objects.get(slug=options["slug"])
        patterns: list[str] = options["filter"]
        bar = ProgressBar(sys.stderr, "Asking")
        known = list(row.deployments.values_list("upstream_model", flat=True))
        try:
            asked = asyncio.run(model_sync.ask(picture, known, patterns=patterns, progress=bar))
        except GatewayError as error:
            raise CommandError(inert(error.message)) from error
        except model_sync.NothingTold as error:
            raise CommandError(inert(str(error))) from error
        finally:
            bar.end()
        now = datetime.now(UTC)
        plan = model_sync.preview(
            row, asked, now=now, patterns=patterns, with_prices=options["prices"]
        )
        for update in plan.updates:
            self.stdout.write(inert(sentence(update)))
        for model in plan.kept_prices:
            self.stdout.write(inert(f"kept     {model}  its price was entered by hand and differs"))
        if options["dry_run"]:
            self.stdout.write(self._summary_of(plan) + " Nothing was changed.")
            return
        bar = ProgressBar(sys.stderr, "Writing")
        done = model_sync.apply(row, plan.updates, now=now, progress=bar)
        bar.end()
        gone = len(plan.of(What.GONE))
        self.stdout.write(
            f"{done.new} new, {done.changed} changed, {done.prices} prices noted, {gone} gone."
        )

    def _summary_of(self, plan: model_sync.Preview) -> str:
        prices = sum(update.price is not None for update in plan.updates)
        new, changed, gone = (len(plan.of(what)) for what in What)
        return f"{new} new, {changed} changed, {prices} prices to note, {gone} gone."

"""Lists a provider's models with what it tells of them."""

import asyncio
import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversion.errors import GatewayError
from conversion.terminals import inert
from routing import snapshot
from routing.management.commands.check_providers import chosen
from routing.providers.facts import ModelFacts
from routing.upstream import lookups


class Command(BaseCommand):
    help = "List a provider's models: name, context window, most output, prices in USD per million tokens, state."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", metavar="PROVIDER")
        parser.add_argument(
            "--json", action="store_true", help="Everything that is known, as JSON."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        (provider,) = chosen(snapshot.build().providers.values(), [options["slug"]])
        try:
            found = asyncio.run(lookups.list_models(provider))
        except GatewayError as error:
            raise CommandError(inert(error.message)) from error
        if options["json"]:
            self.stdout.write(json.dumps([asdict(facts) for facts in found], default=str, indent=2))
            return
        if not found:
            self.stdout.write(f"{provider.slug} lists no models.")
        width = max((len(facts.id) for facts in found), default=0)
        for facts in found:
            self.stdout.write(inert(f"{facts.id:<{width}}  {sentence(facts)}".rstrip()))


def sentence(facts: ModelFacts) -> str:
    """What is known of a model, in a line."""
    prices = facts.prices
    parts = [
        f"context {facts.context_window_tokens}" if facts.context_window_tokens else "",
        f"output {facts.max_output_tokens}" if facts.max_output_tokens else "",
    ]
    if prices.prompt_usd_per_mtok is not None and prices.completion_usd_per_mtok is not None:
        parts.append(
            f"USD {prices.prompt_usd_per_mtok:f} / {prices.completion_usd_per_mtok:f} per million"
        )
    parts.append(facts.state)
    return ", ".join(filter(None, parts))

"""Looks for model servers, and adds those that are wanted as providers."""

import asyncio
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from llmgateway import discovery
from llmgateway.discovery import Added
from routing.upstream.discovery import USUAL_ADDRESSES, Sighting, look_around, read_address

MODELS_NAMED = 5


class Command(BaseCommand):
    help = (
        "Tell who answers at the addresses, or at the usual ones of this machine (LiteLLM, Ollama, vLLM, llama.cpp, "
        "LM Studio, SGLang). With --add each becomes a provider with its models as deployments and exact aliases."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "addresses", nargs="*", metavar="ADDRESS", help="Such as 10.0.0.5:8000."
        )
        parser.add_argument("--add", action="store_true", help="Add what is found.")
        parser.add_argument("--yes", action="store_true", help="Add without asking.")
        parser.add_argument(
            "--timeout", type=float, default=2.0, metavar="S", help="Seconds for one page (2)."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["timeout"] <= 0:
            raise CommandError("--timeout must be longer than 0 seconds.")
        try:
            given = [read_address(text) for text in options["addresses"]]
        except ValueError as error:
            raise CommandError(str(error)) from error
        addresses = list(dict.fromkeys(given or USUAL_ADDRESSES))
        found = asyncio.run(look_around(addresses, timeout_s=options["timeout"]))
        for address, sighting in zip(addresses, found, strict=True):
            if sighting is not None or given:
                self.stdout.write(f"{address}  {sentence(sighting)}")
        if not any(found) and not given:
            self.stdout.write(f"Nobody answers at {', '.join(addresses)}.")
        if options["add"]:
            self._add([s for s in found if s is not None and s.kind], ask=not options["yes"])

    def _add(self, sightings: list[Sighting], *, ask: bool) -> None:
        wanted = []
        for sighting in sightings:
            row = discovery.provider_at(sighting)
            if row is None:
                wanted.append(sighting)
            else:
                self.stdout.write(f"{sighting.address} is provider {row} already.")
        if not wanted:
            self.stdout.write("Nothing to add.")
            return
        names = ", ".join(f"{s.what} at {s.address}" for s in wanted)
        if ask and sys.stdin.isatty() and not _agrees(f"Add {names}? [y/N] "):
            self.stdout.write("Nothing was added.")
            return
        for sighting in wanted:
            self.stdout.write(told(discovery.add(sighting)))


def _agrees(question: str) -> bool:
    return input(question).strip().lower() in {"y", "yes"}


def sentence(sighting: Sighting | None) -> str:
    """Who answers, in a line."""
    if sighting is None:
        return "nobody answers"
    if not sighting.kind:
        return sighting.what
    if sighting.wants_credential:
        return f"{sighting.what}, wants a credential"
    count = len(sighting.models)
    names = ", ".join(facts.id for facts in sighting.models[:MODELS_NAMED])
    more = ", …" if count > MODELS_NAMED else ""
    return f"{sighting.what}, {count} model{'' if count == 1 else 's'}{': ' if names else ''}{names}{more}"


def told(added: Added) -> str:
    """What was added, in a line or two."""
    line = (
        f"Added provider {added.provider} with {added.models} models and {added.aliases} aliases."
    )
    if added.taken:
        line += f" Aliases that exist were left as they are: {', '.join(added.taken)}."
    if added.problem:
        line += f" But {added.problem}."
    return line

"""Says of each provider whether it answers, takes its credential, and has credit left."""

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversion.terminals import inert
from routing import checks, snapshot
from routing.models import Provider
from routing.pictures import ProviderPicture
from routing.providers.facts import ProviderState


class Command(BaseCommand):
    help = "Check every provider that is switched on, or those named; exit code 1 when one has a problem."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="PROVIDER")

    def handle(self, *_args: Any, **options: Any) -> None:
        providers = chosen(snapshot.build().providers.values(), options["slugs"])
        models_sought = dict(Provider.objects.values_list("slug", "check_model"))
        states = asyncio.run(check_all(providers, models_sought))
        width = max((len(provider.slug) for provider in providers), default=0)
        for provider, state in zip(providers, states, strict=True):
            self.stdout.write(inert(f"{provider.slug:<{width}}  {checks.sentence(state)}"))
        if not providers:
            self.stdout.write("No provider is switched on.")
        if any(state.problem for state in states):
            raise CommandError("Some providers have a problem.")


def chosen(providers: Any, slugs: list[str]) -> list[ProviderPicture]:
    """The providers to look at.

    Raises:
        CommandError: a name is not known, or switched off.
    """
    known = {provider.slug: provider for provider in providers}
    unknown = sorted(set(slugs) - set(known))
    if unknown:
        raise CommandError(
            f"No provider {', '.join(unknown)} is switched on; there are: {', '.join(sorted(known)) or 'none'}."
        )
    return [known[slug] for slug in (slugs or sorted(known))]


async def check_all(
    providers: list[ProviderPicture], models_sought: dict[str, str]
) -> list[ProviderState]:
    """All at once: a slow one holds up no other."""
    looks = (checks.look(provider, models_sought[provider.slug]) for provider in providers)
    return list(await asyncio.gather(*looks))

"""Makes what was found at an address a provider, its models deployments, and their names aliases.

Rows that exist are left as they are: an address that a provider has, and names that clients can ask for already.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from django.db import transaction
from django.utils.text import slugify

from conversion.errors import GatewayError
from llmgateway import model_sync
from llmgateway.beginnings import add_target
from routing import checks, providers
from routing.models import Deployment, ModelAlias, Provider
from routing.upstream.discovery import Sighting

LOOPBACK = {"localhost", "[::1]", "::1"}


@dataclass(frozen=True, slots=True)
class Added:
    """The provider that was made, how many models and names it got, and the names that were taken already."""

    provider: Provider
    models: int
    aliases: int
    taken: tuple[str, ...] = ()
    problem: str = ""


def provider_at(sighting: Sighting) -> Provider | None:
    """The provider that has the address already."""
    wanted = _place(sighting.base_url)
    for row in Provider.objects.all():
        kind = providers.KINDS.get(row.kind)
        if _place(row.base_url or (kind.base_url if kind else "")) == wanted:
            return row
    return None


def _place(address: str) -> tuple[str, int | None, str]:
    """Host, port and path of an address, the same for all the names of this machine."""
    parts = urlsplit(address.rstrip("/").removesuffix("/v1"))
    host = (parts.hostname or "").lower()
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return "127.0.0.1" if host in LOOPBACK else host, port, parts.path.rstrip("/")


def add(sighting: Sighting) -> Added:
    """A provider for what was found, with its models as deployments and their names as exact aliases."""
    row = Provider.objects.create(
        slug=_free_slug(sighting), kind=sighting.kind, base_url=sighting.base_url
    )
    if sighting.wants_credential:
        return Added(
            row, 0, 0, problem="it wants a credential: add one, then synchronise its models"
        )
    now = datetime.now(UTC)
    try:
        asked = asyncio.run(model_sync.ask(checks.picture_of(row), []))
    except (GatewayError, model_sync.NothingTold) as error:
        return Added(row, 0, 0, problem=str(getattr(error, "message", error)))
    # A server of one's own has no list price: what the cost map says of a name is another's.
    plan = model_sync.preview(row, asked, now=now, with_prices=False)
    done = model_sync.apply(row, plan.updates, now=now)
    made, taken = _add_aliases(row)
    return Added(row, done.new, made, taken)


@transaction.atomic
def _add_aliases(row: Provider) -> tuple[int, tuple[str, ...]]:
    made, taken = 0, []
    for deployment in Deployment.objects.filter(provider=row):
        alias, is_new = ModelAlias.objects.get_or_create(name=deployment.upstream_model)
        if is_new:
            add_target(alias, deployment)
            made += 1
        else:
            taken.append(alias.name)
    return made, tuple(taken)


def _free_slug(sighting: Sighting) -> str:
    """A short name that no provider has: by who it is, else with the port, else with a number."""
    known = sighting.what.replace(".", "-").removesuffix(" proxy").removesuffix(" server")
    name = slugify(known) or sighting.kind
    port = urlsplit(sighting.base_url).port
    taken = set(Provider.objects.values_list("slug", flat=True))
    choices = [name, *([f"{name}-{port}"] if port else [])]
    number = 2
    while True:
        for choice in choices:
            if choice not in taken:
                return choice
        choices, number = [f"{name}-{number}"], number + 1

"""Whom prices can be imported from: LiteLLM's cost map, OpenRouter's list of models, a CSV file.

Each source ends in offers, which accounting compares with the price book. What is told of prices and has no place
there is counted by its name, so that nothing is left out in silence.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from accounting import price_csv
from accounting.models import Price
from accounting.price_changes import (
    Book,
    Comparison,
    Offer,
    PriceChange,
    compare,
)
from accounting.unpriced import models_used
from llmgateway.model_sync import SOURCES, offers_of
from routing.models import Provider
from routing.pictures import ProviderPicture
from routing.providers import KINDS, cost_map
from routing.providers.cost_map import CostMap
from routing.providers.facts import ModelFacts
from routing.synchronisation import Layer, Told, matches, tell
from routing.upstream import lookups

OPENROUTER = "openrouter"
LIST_SOURCE = f"{OPENROUTER} list"
Progress = Callable[[int, int], None]


class SourceUnreadable(Exception):
    """Prices cannot be read from there; the sentence says why."""


@dataclass(slots=True)
class Offers:
    """What a source tells of the models of ``providers`` that match ``patterns``.

    ``untaken`` counts the models for which a price of that name is told and not taken, ``unknown`` are models of which
    no usable price is told.
    """

    offers: list[Offer] = field(default_factory=list)
    source: str = ""
    providers: list[str] = field(default_factory=list)
    patterns: Sequence[str] = ()
    untaken: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """What an import would do. ``gone``: models whose price in force is from this source, which tells it no more."""

    offers: Offers
    found: Comparison
    gone: list[tuple[str, str]] = field(default_factory=list)

    @property
    def new(self) -> list[PriceChange]:
        """Prices of models that had none."""
        return [change for change in self.found.changes if change.old is None]

    @property
    def changed(self) -> list[PriceChange]:
        """Prices that replace another."""
        return [change for change in self.found.changes if change.old is not None]


def plan(offers: Offers, *, now: datetime, over_manual: bool) -> Plan:
    """What the offers would do to the book. A file's prices replace any; a list's only a list's, unless asked for."""
    is_file = offers.source == price_csv.SOURCE
    book = Book({*offers.providers, *(offer.provider for offer in offers.offers)})
    in_force = {} if is_file else book.in_force(now)
    found = compare(
        offers.offers,
        now=now,
        replaceable=None if is_file or over_manual else SOURCES,
        book=book,
    )
    told = {(offer.provider, offer.model) for offer in offers.offers}
    gone = sorted(
        key
        for key, held in in_force.items()
        if held.source == offers.source and key not in told and matches(offers.patterns, key[1])
    )
    return Plan(offers, found, gone)


def from_csv(raw: bytes) -> Offers:
    """The prices of a CSV file.

    Raises:
        SourceUnreadable: it is not in UTF-8.
        CsvInvalid: with every line that cannot be taken.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceUnreadable("The file is not in UTF-8.") from error
    return Offers(list(price_csv.read(text).offers), price_csv.SOURCE)


def narrowed(offers: Offers, providers: Collection[str], patterns: Sequence[str]) -> Offers:
    """Only the offers of these providers, if any are named, and of models that match."""
    kept = [
        offer
        for offer in offers.offers
        if (not providers or offer.provider in providers) and matches(patterns, offer.model)
    ]
    return replace(offers, offers=kept)


def from_litellm(
    providers: Sequence[ProviderPicture],
    *,
    now: datetime,
    raw: bytes | None = None,
    patterns: Sequence[str] = (),
) -> Offers:
    """What LiteLLM's cost map, the installed package's or one in a file, tells of models that are called.

    These are the providers' deployments, the models in the price book, and those used in the last days; of a kind
    without a list of its own also those of the map that a pattern names.

    Raises:
        SourceUnreadable: there is no map, or none of the providers has names in it.
    """
    named = [provider for provider in providers if provider.kind.cost_map_names is not None]
    if not named:
        raise SourceUnreadable(
            "LiteLLM's cost map has no names for the models of these providers. OpenRouter's own list has "
            "(--from openrouter); a LiteLLM proxy tells its prices where its models are synchronised."
        )
    book = _book_of(raw)
    slugs = [provider.slug for provider in named]
    found = Offers(source=cost_map.SOURCE, providers=slugs, patterns=patterns)
    for provider in named:
        models = _models_of(provider, now)
        if not provider.kind.models_path and patterns:
            models |= {name for name in book.names() if matches(patterns, name)}
        told = _told_by(book, provider, sorted(m for m in models if matches(patterns, m)))
        _add(found, provider.slug, told)
    return found


def _book_of(raw: bytes | None) -> CostMap:
    if raw is not None:
        try:
            return cost_map.read_map(raw)
        except ValueError as error:
            raise SourceUnreadable(f"The file is no cost map of LiteLLM's: {error}") from error
    book = cost_map.shipped()
    if not book.names():
        raise SourceUnreadable("The package litellm is not installed; name a file with its map.")
    return book


def _models_of(provider: ProviderPicture, now: datetime) -> set[str]:
    """The models of a provider that have been named: patterns stand for those that were used."""
    slug = provider.slug
    deployed = Provider.objects.filter(slug=slug).values_list(
        "deployments__upstream_model", flat=True
    )
    priced = Price.objects.filter(provider=slug).values_list("upstream_model", flat=True)
    used = (use.model for use in models_used(now, providers=[slug]))
    return {model for model in (*deployed, *priced, *used) if model and "{" not in model}


def _told_by(book: CostMap, provider: ProviderPicture, models: Sequence[str]) -> list[Told]:
    names_in_map = provider.kind.cost_map_names
    facts = {
        model: book.find(model, names_in_map(provider.base_url, model)) if names_in_map else None
        for model in models
    }
    known = {model: found for model, found in facts.items() if found is not None}
    return tell(models, [Layer(cost_map.SOURCE, known)])


def from_openrouter(
    providers: Sequence[ProviderPicture],
    *,
    raw: bytes | None = None,
    patterns: Sequence[str] = (),
    progress: Progress = lambda _done, _total: None,
) -> Offers:
    """What OpenRouter's list of models tells: asked for at each provider of the kind, or from a file with its answer.

    Raises:
        SourceUnreadable: no provider is of the kind, or the file is no such list.
        GatewayError: a provider does not answer.
    """
    asked = [provider for provider in providers if provider.kind.name == OPENROUTER]
    if not asked:
        raise SourceUnreadable("None of these providers is of the kind OpenRouter.")
    slugs = [provider.slug for provider in asked]
    found = Offers(source=LIST_SOURCE, providers=slugs, patterns=patterns)
    for done, provider in enumerate(asked):
        listed = _listed_in(raw) if raw is not None else asyncio.run(lookups.list_models(provider))
        facts = {entry.id: entry for entry in listed if matches(patterns, entry.id)}
        _add(found, provider.slug, tell(facts, [Layer(LIST_SOURCE, facts)]))
        progress(done + 1, len(asked))
    return found


def _listed_in(raw: bytes) -> list[ModelFacts]:
    read_models = KINDS[OPENROUTER].read_models
    try:
        body: Any = json.loads(raw, parse_float=Decimal)
    except ValueError as error:
        raise SourceUnreadable(f"The file is no list of OpenRouter's models: {error}") from error
    listed = read_models(body) if read_models else []
    if not listed:
        raise SourceUnreadable("The file is no list of OpenRouter's models, or an empty one.")
    return listed


def _add(found: Offers, provider: str, told: Iterable[Told]) -> None:
    told = list(told)
    offers = offers_of(provider, told)
    found.offers += offers
    offered = {offer.model for offer in offers}
    found.unknown += [f"{provider}: {entry.model}" for entry in told if entry.model not in offered]
    for entry in told:
        found.untaken.update(entry.prices.untaken)

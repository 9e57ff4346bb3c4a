"""Brings a provider's deployments and the price book up to what is told of its models.

Three steps: ``ask`` calls out, ``preview`` compares with the rows, ``apply`` writes what was chosen of the preview.
Only prices that an earlier synchronisation noted are replaced, by a further row; one that was entered by hand stays.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from accounting.audit import watch
from accounting.price_changes import (
    EXACT,
    FIGURE_MAX,
    RATES,
    Figures,
    Offer,
    PriceChange,
    TierFigures,
    book_changes,
    compare,
)
from routing import providers, snapshot, versions
from routing.models import Deployment, Provider
from routing.pictures import ProviderPicture
from routing.providers import cost_map
from routing.providers.facts import RATES as TOLD_RATES
from routing.providers.facts import ModelPrices, TokenPrices
from routing.synchronisation import (
    FACTS,
    Known,
    Layer,
    ModelChange,
    Told,
    What,
    diff,
    matches,
    tell,
)
from routing.upstream import lookups

ROWS_AT_ONCE = 50
SOURCES = {cost_map.SOURCE, *(f"{name} list" for name in providers.KINDS)}
"""What a synchronisation writes beside a price; another word there is an operator's."""


class NothingTold(Exception):
    """Nobody tells which models the provider has."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was told of a provider's models; ``list_is_whole`` where the provider itself lists them."""

    told: Sequence[Told]
    list_is_whole: bool


@dataclass(frozen=True, slots=True)
class Update:
    """All that would be done about one model."""

    model: str
    what: What
    changes: tuple[ModelChange, ...] = ()
    price: PriceChange | None = None

    @property
    def digest(self) -> str:
        """Tells this update from any other, so that what is confirmed is what was shown."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a synchronisation would do; ``kept_prices`` are models whose price was entered by hand and differs."""

    updates: tuple[Update, ...]
    kept_prices: tuple[str, ...] = ()

    def of(self, what: What) -> list[Update]:
        """The updates of one sort."""
        return [update for update in self.updates if update.what is what]


@dataclass(frozen=True, slots=True)
class Applied:
    """How many rows were written."""

    new: int
    changed: int
    prices: int


def _nobody(_done: int, _total: int) -> None:
    """Hears how far something is, and does nothing."""


Progress = Callable[[int, int], None]


async def ask(
    picture: ProviderPicture,
    known_models: Iterable[str],
    *,
    patterns: Sequence[str] = (),
    progress: Progress = _nobody,
) -> Asked:
    """What the provider, and LiteLLM's cost map where the kind has names in it, tell of its models.

    A kind without a list is told of the models that have a deployment, and of those of the map that match a pattern.

    Raises:
        NothingTold: the list is empty, or there is nobody who could tell.
        GatewayError: the provider does not answer, or refuses.
    """
    kind = picture.kind
    if not kind.models_path and kind.cost_map_names is None:
        raise NothingTold(f"{kind.label} has no list of models.")
    layers: list[Layer] = []
    models = [model for model in known_models if "{" not in model]
    if kind.models_path:
        found = await lookups.list_models(picture)
        if not found:
            raise NothingTold(f"Provider {picture.slug} lists no models.")
        wanted = [facts for facts in found if matches(patterns, facts.id)]
        described = await lookups.describe_models(
            picture, wanted, told=lambda count: progress(count, len(wanted))
        )
        models = [facts.id for facts in found]
        layers.append(Layer(f"{kind.name} list", {facts.id: facts for facts in described}))
    if kind.cost_map_names is not None:
        names_in_map = kind.cost_map_names
        book = cost_map.shipped()
        if not kind.models_path and patterns:
            models += [name for name in book.names() if matches(patterns, name)]
        facts_in_map = (book.find(m, names_in_map(picture.base_url, m)) for m in models)
        layers.append(Layer(cost_map.SOURCE, {f.id: f for f in facts_in_map if f is not None}))
    return Asked(tell(dict.fromkeys(models), layers), list_is_whole=bool(kind.models_path))


def known_deployments(row: Provider) -> list[Known]:
    """The provider's deployments as values."""
    return [
        Known(
            pk=deployment.pk,
            model=deployment.upstream_model,
            facts={name: getattr(deployment, name) for name in FACTS},
            sources=deployment.fact_sources,
        )
        for deployment in row.deployments.order_by("pk")
    ]


def preview(
    row: Provider,
    asked: Asked,
    *,
    now: datetime,
    patterns: Sequence[str] = (),
    with_prices: bool = True,
) -> Preview:
    """What would have to be done to the rows, by model."""
    changes: dict[str, list[ModelChange]] = {}
    known = known_deployments(row)
    for change in diff(asked.told, known, patterns=patterns, list_is_whole=asked.list_is_whole):
        changes.setdefault(change.model, []).append(change)
    prices, kept = _price_changes(row, asked.told, patterns, now) if with_prices else ({}, ())
    updates = []
    for model in sorted({*changes, *prices}):
        of_model = tuple(changes.get(model, ()))
        what = of_model[0].what if of_model else What.CHANGED
        updates.append(Update(model, what, of_model, prices.get(model)))
    return Preview(tuple(updates), kept)


def _price_changes(
    row: Provider, told: Sequence[Told], patterns: Sequence[str], now: datetime
) -> tuple[Mapping[str, PriceChange], tuple[str, ...]]:
    offers = offers_of(row.slug, told, patterns)
    found = compare(offers, now=now, replaceable=SOURCES)
    return {change.model: change for change in found.changes}, tuple(o.model for o in found.kept)


def offers_of(provider: str, told: Iterable[Told], patterns: Sequence[str] = ()) -> list[Offer]:
    """What is told of the prices of the models that match; a model of which nothing usable is told is left out."""
    return [
        Offer(provider, entry.model, figures, entry.prices_source)
        for entry in told
        if matches(patterns, entry.model) and (figures := figures_of(entry.prices)) is not None
    ]


def figures_of(prices: ModelPrices) -> Figures | None:
    """The prices as the price book holds them; None where one is missing that it needs, or is out of its range."""
    rates = _rates(prices)
    if rates is None:
        return None
    tiers = [
        TierFigures(**tier_rates, prompt_tokens_above=tier.prompt_tokens_above)
        for tier in prices.tiers
        if (tier_rates := _rates(tier)) is not None
    ]
    figures = Figures(
        **rates,
        request_usd=_exact(prices.request_usd) or Decimal(0),
        image_usd=_exact(prices.image_usd) or Decimal(0),
        tiers=tuple(tiers),
    )
    return figures if figures.is_storable() else None


def _rates(prices: TokenPrices) -> dict[str, Any] | None:
    """The rates under the price book's names; None where one is missing that it needs."""
    if prices.prompt_usd_per_mtok is None or prices.completion_usd_per_mtok is None:
        return None
    told = (getattr(prices, name) for name in TOLD_RATES)
    return {name: _exact(amount) for name, amount in zip(RATES, told, strict=True)}


def _exact(amount: Decimal | None) -> Decimal | None:
    """To the places of its column; what is beyond its range is left for ``is_storable`` to see."""
    return amount if amount is None or amount >= FIGURE_MAX else amount.quantize(EXACT)


def apply(
    row: Provider,
    updates: Sequence[Update],
    *,
    now: datetime,
    author: str = "sync_models",
    progress: Progress = _nobody,
) -> Applied:
    """Write the updates, all of them or none; what is gone is left as it is. ``author`` is whose version it becomes."""
    with versions.changes_by(author, f"Synchronised models of provider {row}."):
        changes = [change for update in updates for change in update.changes]
        new = _new_deployments(row, changes)
        changed = [change for change in changes if change.what is What.CHANGED]
        prices = [update.price for update in updates if update.price is not None]
        total = len(new) + len(changed) + len(prices)
        for start in range(0, len(new), ROWS_AT_ONCE):
            watch.note_created(Deployment.objects.bulk_create(new[start : start + ROWS_AT_ONCE]))
            progress(min(start + ROWS_AT_ONCE, len(new)), total)
        for done, change in enumerate(changed, start=len(new) + 1):
            _change_deployment(change)
            progress(done, total)
        book_changes(prices, now=now)
        progress(total, total)
        if new or changed:
            snapshot.bump()
    return Applied(len(new), len(changed), len(prices))


def _new_deployments(row: Provider, changes: Sequence[ModelChange]) -> list[Deployment]:
    """Those that are not there by now: another synchronisation may have come first, and waits while this one writes."""
    there = Deployment.objects.filter(provider=row, credential=None)
    known = set(there.values_list("upstream_model", flat=True))
    added = [change for change in changes if change.what is What.NEW and change.model not in known]
    return [_new_deployment(row, change) for change in added]


def _new_deployment(row: Provider, change: ModelChange) -> Deployment:
    return Deployment(
        provider=row,
        upstream_model=change.model,
        fact_sources={fact.name: fact.source for fact in change.facts},
        **{fact.name: fact.new for fact in change.facts},
    )


def _change_deployment(change: ModelChange) -> None:
    deployment = Deployment.objects.filter(pk__in=[change.pk]).first()
    if deployment is None:
        return
    for fact in change.facts:
        setattr(deployment, fact.name, fact.new)
        deployment.fact_sources[fact.name] = fact.source
    deployment.save(update_fields=[*(fact.name for fact in change.facts), "fact_sources"])

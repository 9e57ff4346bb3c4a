"""Brings a provider's deployments and the price book up to what is told of its models.

Three steps: ``ask`` calls out, ``preview`` compares with the rows, ``apply`` writes what was chosen of the preview.
Only prices that an earlier synchronisation noted are replaced, by a further row; one that was entered by hand stays.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import Decimal

from accounting import snapshot as keys_snapshot
from accounting.models import Price
from routing import providers, snapshot, versions
from routing.models import Deployment, Provider
from routing.pictures import ProviderPicture
from routing.providers import cost_map
from routing.providers.facts import ModelPrices
from routing.synchronisation import (
    FACTS,
    Known,
    Layer,
    ModelChange,
    Told,
    What,
    diff,
    is_priced,
    matches,
    tell,
)
from routing.upstream import lookups

EXACT = Decimal("0.00000001")
FIGURE_MAX = Decimal(1_000_000)
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
class Figures:
    """The amounts of a price, as the price book holds them."""

    prompt_usd_per_mtok: Decimal
    completion_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal | None
    cache_write_5m_usd_per_mtok: Decimal | None
    cache_write_1h_usd_per_mtok: Decimal | None
    reasoning_usd_per_mtok: Decimal | None
    request_usd: Decimal


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price that would be in force from now on."""

    old: Figures | None
    new: Figures
    source: str


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
    in_force = prices_in_force(row.slug, now)
    changes: dict[str, PriceChange] = {}
    kept: list[str] = []
    for entry in told:
        figures = figures_of(entry.prices)
        if figures is None or not matches(patterns, entry.model):
            continue
        price = in_force.get(entry.model)
        old = figures_in(price) if price else None
        if old == figures:
            continue
        if price is not None and price.source not in SOURCES:
            kept.append(entry.model)
        else:
            changes[entry.model] = PriceChange(old, figures, entry.prices_source)
    return changes, tuple(kept)


def prices_in_force(provider: str, now: datetime) -> dict[str, Price]:
    """The price in force of each of the provider's models."""
    rows = Price.objects.filter(provider=provider, valid_from_at__lte=now)
    return {row.upstream_model: row for row in rows.order_by("valid_from_at")}


def figures_of(prices: ModelPrices) -> Figures | None:
    """The prices as the price book holds them; None where one is missing that it needs, or is out of its range."""
    prompt, completion = prices.prompt_usd_per_mtok, prices.completion_usd_per_mtok
    amounts = [getattr(prices, entry.name) for entry in fields(prices)]
    if not is_priced(prices) or prompt is None or completion is None:
        return None
    if any(amount is not None and amount >= FIGURE_MAX for amount in amounts):
        return None
    return Figures(
        prompt_usd_per_mtok=prompt.quantize(EXACT),
        completion_usd_per_mtok=completion.quantize(EXACT),
        cache_read_usd_per_mtok=_exact(prices.cache_read_usd_per_mtok),
        cache_write_5m_usd_per_mtok=_exact(prices.cache_write_usd_per_mtok),
        cache_write_1h_usd_per_mtok=_exact(prices.cache_write_1h_usd_per_mtok),
        reasoning_usd_per_mtok=_exact(prices.reasoning_usd_per_mtok),
        request_usd=_exact(prices.request_usd) or Decimal(0),
    )


def figures_in(row: Price) -> Figures:
    """The amounts of a row."""
    return Figures(**{entry.name: getattr(row, entry.name) for entry in fields(Figures)})


def _exact(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.quantize(EXACT)


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
        new = [_new_deployment(row, change) for change in changes if change.what is What.NEW]
        changed = [change for change in changes if change.what is What.CHANGED]
        prices = _new_prices(row, updates, now)
        total = len(new) + len(changed) + len(prices)
        for start in range(0, len(new), ROWS_AT_ONCE):
            # Another synchronisation may have come first.
            Deployment.objects.bulk_create(new[start : start + ROWS_AT_ONCE], ignore_conflicts=True)
            progress(min(start + ROWS_AT_ONCE, len(new)), total)
        for done, change in enumerate(changed, start=len(new) + 1):
            _change_deployment(change)
            progress(done, total)
        Price.objects.bulk_create(prices)
        progress(total, total)
        if new or changed:
            snapshot.bump()
        if prices:
            keys_snapshot.bump()
    return Applied(len(new), len(changed), len(prices))


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


def _new_prices(row: Provider, updates: Sequence[Update], now: datetime) -> list[Price]:
    return [
        Price(
            provider=row.slug,
            upstream_model=update.model,
            valid_from_at=now,
            source=update.price.source,
            **asdict(update.price.new),
        )
        for update in updates
        if update.price is not None
    ]

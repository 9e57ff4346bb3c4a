"""Compares what is told of a provider's models with its deployments. Pure: no row is read or written here.

Each fact comes with its source. Layers of sources are given in order, and the first that says something is believed.
A fact that an operator set is left alone: one that is there without a source, or whose source is ``operator``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from routing.providers.facts import ModelFacts, ModelPrices

FACTS = (
    "context_window_tokens",
    "max_output_tokens",
    "takes_tools",
    "takes_images",
    "can_reason",
    "can_cache",
)
OPERATOR = "operator"
Value = int | bool | None


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source tells, by the model's name."""

    source: str
    models: Mapping[str, ModelFacts]


@dataclass(frozen=True, slots=True)
class Told:
    """What all sources together tell of one model; ``sources`` are by the name of the fact."""

    model: str
    facts: Mapping[str, Value]
    sources: Mapping[str, str]
    prices: ModelPrices = field(default_factory=ModelPrices)
    prices_source: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A deployment as it is."""

    pk: int
    model: str
    facts: Mapping[str, Value]
    sources: Mapping[str, str]

    @property
    def is_pattern(self) -> bool:
        """Whether its name is made of what a pattern matched, so that no list can have it."""
        return "{" in self.model

    def is_by_hand(self, name: str) -> bool:
        """Whether an operator set the fact."""
        source = self.sources.get(name, "")
        return source == OPERATOR or (not source and self.facts.get(name) is not None)


class What(StrEnum):
    """What a synchronisation would do."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class FactChange:
    """One fact with its old value, its new one, and who says so."""

    name: str
    old: Value
    new: Value
    source: str


@dataclass(frozen=True, slots=True)
class ModelChange:
    """What would be done about one model; ``pk`` is that of the deployment, None for a new one."""

    what: What
    model: str
    facts: tuple[FactChange, ...] = ()
    pk: int | None = None


def tell(models: Iterable[str], layers: Sequence[Layer]) -> list[Told]:
    """What the layers tell of each model, the first one that says something believed."""
    return [_tell_one(model, layers) for model in models]


def _tell_one(model: str, layers: Sequence[Layer]) -> Told:
    facts: dict[str, Value] = {}
    sources: dict[str, str] = {}
    prices, prices_source = ModelPrices(), ""
    for layer in layers:
        told = layer.models.get(model)
        if told is None:
            continue
        for name in FACTS:
            value = getattr(told, name)
            if value is not None and name not in facts:
                facts[name], sources[name] = value, layer.source
        if not prices_source and is_priced(told.prices):
            prices, prices_source = told.prices, layer.source
    return Told(model, facts, sources, prices, prices_source)


def is_priced(prices: ModelPrices) -> bool:
    """Whether prompts and answers both have a price; half a price would book half a cost."""
    return prices.prompt_usd_per_mtok is not None and prices.completion_usd_per_mtok is not None


def diff(
    told: Sequence[Told],
    known: Sequence[Known],
    *,
    patterns: Sequence[str] = (),
    list_is_whole: bool = True,
) -> list[ModelChange]:
    """What would have to be done, by name; nothing for what is the same.

    ``patterns`` (``anthropic/*``) keep it to the models that match one of them. Where the list is not whole, a model
    that is not in it is not gone.
    """
    by_model: dict[str, list[Known]] = {}
    for deployment in known:
        if not deployment.is_pattern and matches(patterns, deployment.model):
            by_model.setdefault(deployment.model, []).append(deployment)
    changes: list[ModelChange] = []
    for entry in told:
        if not matches(patterns, entry.model):
            continue
        deployments = by_model.pop(entry.model, None)
        if deployments is None:
            changes.append(ModelChange(What.NEW, entry.model, _facts_of_new(entry)))
        else:
            changes.extend(c for d in deployments if (c := _changed(entry, d)) is not None)
    if list_is_whole:
        changes.extend(
            ModelChange(What.GONE, model, pk=deployment.pk)
            for model, deployments in by_model.items()
            for deployment in deployments
        )
    return sorted(changes, key=lambda change: (change.model, change.pk or 0))


def matches(patterns: Sequence[str], model: str) -> bool:
    """Whether the name matches one of the patterns; without any, every name does."""
    return not patterns or any(fnmatchcase(model, pattern) for pattern in patterns)


def _facts_of_new(told: Told) -> tuple[FactChange, ...]:
    return tuple(
        FactChange(name, None, told.facts[name], told.sources[name])
        for name in FACTS
        if name in told.facts
    )


def _changed(told: Told, known: Known) -> ModelChange | None:
    changes = tuple(
        FactChange(name, known.facts.get(name), told.facts[name], told.sources[name])
        for name in FACTS
        if name in told.facts
        and known.facts.get(name) != told.facts[name]
        and not known.is_by_hand(name)
    )
    return ModelChange(What.CHANGED, known.model, changes, known.pk) if changes else None

"""What LiteLLM tells of models: in the cost map that its package ships, and in what its proxy answers.

The map is read as a file of the installed package: importing the package takes seconds and 190 MB. Facts: the map of
``litellm`` 1.106 and the answer of its proxy to ``GET /model/info`` (read November 2026). Prices that begin at a
number of tokens, and those of batches and priorities, are passed over.
"""

import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from routing.providers.facts import ModelFacts, ModelPrices, count_in, entries_of, per_mtok
from routing.providers.kind import CostMapName

SOURCE = "litellm cost map"
FILE_NAME = "model_prices_and_context_window_backup.json"
MODES = frozenset({"chat", "completion", "embedding", "responses"})
FLAGS = ("takes_tools", "takes_images", "can_reason", "can_cache")


class CostMap:
    """The entries by name; ``find`` reads one of them."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def find(self, model: str, names: Iterable[CostMapName]) -> ModelFacts | None:
        """The facts of the first name that the map has, as those of ``model``."""
        for name, provider in names:
            entry = self._entries.get(name)
            if isinstance(entry, dict) and _is_one(entry, provider):
                return read_info(model, entry)
        return None

    def names(self) -> list[str]:
        """The names of all models that one can converse with, or embed, as LiteLLM takes them."""
        return sorted(
            name
            for name, entry in self._entries.items()
            if isinstance(entry, dict) and _is_one(entry, "") and name != "sample_spec"
        )


def _is_one(entry: Mapping[str, Any], provider: str) -> bool:
    is_of_it = str(entry.get("litellm_provider") or "").startswith(provider)
    return is_of_it and entry.get("mode") in MODES


def shipped() -> CostMap:
    """The map of the installed package; an empty one where there is none. Reads 3 MB."""
    package = importlib.util.find_spec("litellm")
    if package is None or package.origin is None:
        return CostMap({})
    path = Path(package.origin).parent / FILE_NAME
    try:
        entries = json.loads(path.read_bytes(), parse_float=Decimal)
    except (OSError, ValueError):
        return CostMap({})
    return CostMap(entries if isinstance(entries, dict) else {})


def read_model_info(body: Any) -> list[ModelFacts]:
    """``GET /model/info`` of a proxy: its deployments, of which several may share a name; patterns are passed over."""
    by_name: dict[str, ModelFacts] = {}
    for entry in entries_of(body, name="model_name"):
        name, info = entry["model_name"], entry.get("model_info")
        if "*" in name:
            continue
        facts = _without_zeros(read_info(name, info if isinstance(info, dict) else {}))
        known = by_name.get(name)
        by_name[name] = facts if known is None else _shared(known, facts)
    return list(by_name.values())


def read_info(model: str, info: Mapping[str, Any]) -> ModelFacts:
    """One entry of the map, or the ``model_info`` of a proxy, which has the same names."""
    window = count_in(info, "max_input_tokens")
    longest = count_in(info, "max_tokens")
    # max_tokens is the most output, or the window where there is nothing else to say.
    is_output = longest is not None and window is not None and longest < window
    return ModelFacts(
        id=model,
        context_window_tokens=window,
        max_output_tokens=count_in(info, "max_output_tokens") or (longest if is_output else None),
        prices=_prices(info),
        takes_tools=_flag(info, "supports_function_calling"),
        takes_images=_flag(info, "supports_vision"),
        can_reason=_flag(info, "supports_reasoning"),
        can_cache=_flag(info, "supports_prompt_caching"),
    )


def _prices(info: Mapping[str, Any]) -> ModelPrices:
    return ModelPrices(
        prompt_usd_per_mtok=per_mtok(info, "input_cost_per_token"),
        completion_usd_per_mtok=per_mtok(info, "output_cost_per_token"),
        cache_read_usd_per_mtok=per_mtok(info, "cache_read_input_token_cost"),
        cache_write_usd_per_mtok=per_mtok(info, "cache_creation_input_token_cost"),
        cache_write_1h_usd_per_mtok=per_mtok(info, "cache_creation_input_token_cost_above_1hr"),
        reasoning_usd_per_mtok=per_mtok(info, "output_cost_per_reasoning_token"),
    )


def _without_zeros(facts: ModelFacts) -> ModelFacts:
    """A proxy tells 0 for a model whose price it does not know; nothing is free by mistake."""
    prices = facts.prices
    is_priced = prices.prompt_usd_per_mtok or prices.completion_usd_per_mtok
    return facts if is_priced else replace(facts, prices=ModelPrices())


def _flag(info: Mapping[str, Any], name: str) -> bool | None:
    value = info.get(name)
    return value if isinstance(value, bool) else None


def _shared(one: ModelFacts, other: ModelFacts) -> ModelFacts:
    """What holds whichever of two deployments answers: the smaller limit, and what both say."""
    agreed: dict[str, Any] = {
        name: getattr(one, name) if getattr(one, name) == getattr(other, name) else None
        for name in FLAGS
    }
    for name in ("context_window_tokens", "max_output_tokens"):
        limits = [limit for limit in (getattr(one, name), getattr(other, name)) if limit]
        agreed[name] = min(limits) if limits else None
    prices = one.prices if one.prices == other.prices else ModelPrices()
    return replace(one, prices=prices, **agreed)

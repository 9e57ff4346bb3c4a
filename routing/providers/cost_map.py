"""What LiteLLM tells of models: in the cost map that its package ships, and in what its proxy answers.

The map is read as a file of the installed package: importing the package takes seconds and 190 MB. Facts: the map of
``litellm`` 1.106 and the answer of its proxy to ``GET /model/info`` (read November 2026). Prices of long prompts become
tiers, as ``litellm_core_utils/llm_cost_calc`` there reckons with them; those of batches and priorities are passed over.
"""

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from routing.providers.facts import (
    RATES,
    ModelFacts,
    ModelPrices,
    TierPrices,
    TokenPrices,
    count_in,
    entries_of,
    per_mtok,
    tier_over,
    usd_in,
)
from routing.providers.kind import CostMapName

SOURCE = "litellm cost map"
FILE_NAME = "model_prices_and_context_window_backup.json"
MODES = frozenset({"chat", "completion", "embedding", "responses"})
TAKEN = {
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "input_cost_per_token_cache_hit",  # an older name beside the one before, with the same price
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
    "output_cost_per_reasoning_token",
    "input_cost_per_request",
    "input_cost_per_image",
    "tiered_pricing",
}
TIER_NAME = re.compile(
    r"(?:input_cost_per_token|output_cost_per_token|output_cost_per_reasoning_token|cache_read_input_token_cost"
    r"|cache_creation_input_token_cost(?:_above_1hr)?)_above_(?P<count>(?P<number>\d+)(?P<thousands>k?))_tokens$"
)
BEGIN_AT_THRESHOLD = frozenset({"xai"})
"""Whose tiers hold for a prompt of exactly that length, too."""
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
    try:
        return read_map((Path(package.origin).parent / FILE_NAME).read_bytes())
    except (OSError, ValueError):
        return CostMap({})


def read_map(raw: bytes) -> CostMap:
    """The map in a file such as LiteLLM publishes.

    Raises:
        ValueError: it is no JSON, or no object.
    """
    entries = json.loads(raw, parse_float=Decimal)
    if not isinstance(entries, dict):
        raise ValueError("a cost map is an object with a member for each model")
    return CostMap(entries)


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
    table = info.get("tiered_pricing")
    base, tiers = _tabled(info, table) if isinstance(table, list) and table else _stepped(info)
    return ModelPrices(
        **{name: getattr(base, name) for name in RATES},
        request_usd=usd_in(info, "input_cost_per_request"),
        image_usd=usd_in(info, "input_cost_per_image"),
        tiers=tuple(tiers),
        untaken=tuple(name for name in info if _is_price(name, info) and not _is_taken(name)),
    )


def _stepped(info: Mapping[str, Any]) -> tuple[TokenPrices, list[TierPrices]]:
    """Prices with others ``_above_200k_tokens``; where a longer prompt has none of its own, the shorter's holds."""
    base = lower = _rates(info)
    tiers: list[TierPrices] = []
    thresholds = {match["count"]: match for name in info if (match := TIER_NAME.match(name))}
    for count, match in sorted(thresholds.items(), key=lambda item: _tokens(item[1])):
        lower = tier_over(lower, _tokens(match) - _starts_at(info), _rates(info, count))
        tiers.append(lower)
    return base, tiers


def _tabled(info: Mapping[str, Any], table: list[Any]) -> tuple[TokenPrices, list[TierPrices]]:
    """Prices by ranges of lengths, each whole in itself but for the answer's, which may stand beside the table."""
    answer = TokenPrices(completion_usd_per_mtok=per_mtok(info, "output_cost_per_token"))
    tiers = sorted(
        (
            tier_over(answer, int(row["range"][0]), _rates(row))
            for row in table
            if isinstance(row, dict) and _is_range(row.get("range"))
        ),
        key=lambda tier: tier.prompt_tokens_above,
    )
    return (tiers[0], tiers[1:]) if tiers else _stepped(info)


def _is_range(value: Any) -> bool:
    numbers = value if isinstance(value, list) and len(value) == 2 else [None]
    return all(isinstance(number, int | Decimal | float) and number >= 0 for number in numbers)


def _rates(info: Mapping[str, Any], above: str = "") -> TokenPrices:
    """The prices of tokens, of prompts above a number of them (``200k``) where one is given."""
    end = f"_above_{above}_tokens" if above else ""
    return TokenPrices(
        prompt_usd_per_mtok=per_mtok(info, "input_cost_per_token" + end),
        completion_usd_per_mtok=per_mtok(info, "output_cost_per_token" + end),
        cache_read_usd_per_mtok=per_mtok(info, "cache_read_input_token_cost" + end),
        cache_write_usd_per_mtok=per_mtok(info, "cache_creation_input_token_cost" + end),
        cache_write_1h_usd_per_mtok=per_mtok(
            info, "cache_creation_input_token_cost_above_1hr" + end
        ),
        reasoning_usd_per_mtok=per_mtok(info, "output_cost_per_reasoning_token" + end),
    )


def _tokens(match: re.Match[str]) -> int:
    return int(match["number"]) * (1000 if match["thousands"] else 1)


def _starts_at(info: Mapping[str, Any]) -> int:
    """1 where a tier begins at its number and not above it."""
    return int(info.get("litellm_provider") in BEGIN_AT_THRESHOLD)


def _is_price(name: str, info: Mapping[str, Any]) -> bool:
    value = info.get(name)
    return ("cost" in name or "pricing" in name) and (
        isinstance(value, dict | list) or bool(usd_in(info, name))
    )


def _is_taken(name: str) -> bool:
    return name in TAKEN or TIER_NAME.match(name) is not None


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

"""Reads the price book from a file, and writes it as a tree for YAML; amounts are decimal, to the last digit."""

from datetime import UTC, date, datetime, time
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime

from accounting.models import Price, PriceTier
from llmgateway.configuration.entries import check_keys, chosen, items_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import save
from llmgateway.lined_yaml import Lined
from routing.configuration.tree import number

RATES = (
    "prompt_usd_per_mtok",
    "completion_usd_per_mtok",
    "cache_read_usd_per_mtok",
    "cache_write_5m_usd_per_mtok",
    "cache_write_1h_usd_per_mtok",
    "reasoning_usd_per_mtok",
)
BESIDE = ("request_usd", "image_usd")
"""What a request costs beside its tokens; left out where it is nothing."""
AMOUNTS = (*RATES, *BESIDE)
PRICE = {"provider", "model", "valid_from_at", "source", "tiers", *AMOUNTS}
TIER = {"prompt_tokens_above", *RATES}
BY_HAND = "manual"


def read_prices(run: Import, tree: Lined) -> None:
    """Prices by provider, model and moment; those that are not listed stay."""
    for item in items_of(run, tree, "prices"):
        check_keys(run, item, PRICE, "a price")
        _read_price(run, item)


def _read_price(run: Import, item: Lined) -> None:
    for name in ("provider", "model"):
        if not isinstance(item.get(name), str):
            run.fault(item.line_of(name), f"a price needs a {name}")
            return
    moment = _moment(item.get("valid_from_at"))
    if moment is None:
        run.fault(
            item.line_of("valid_from_at"),
            "a price needs valid_from_at, the moment from which it is in force, such as 2026-01-31T00:00:00Z",
        )
        return
    keys = {
        "provider": item["provider"],
        "upstream_model": item["model"],
        "valid_from_at": moment,
    }
    values, lines = chosen(item, (*AMOUNTS, "source"))
    if "source" not in values and not Price.objects.filter(**keys).exists():
        values["source"] = BY_HAND
    lines |= {"provider": item.line_of("provider"), "upstream_model": item.line_of("model")}
    what = f"price {item['provider']}: {item['model']} from {_written(moment)}"
    price = save(run, Price, keys, values, item.line, what, lines=lines)
    if price is not None and "tiers" in item:
        _set_tiers(run, price, item, what)


def _set_tiers(run: Import, price: Price, item: Lined, what: str) -> None:
    """The tiers in the list, and no others."""
    seen = set()
    for entry in items_of(run, item, "tiers"):
        check_keys(run, entry, TIER, "a tier")
        above = entry.get("prompt_tokens_above")
        line = entry.line_of("prompt_tokens_above")
        if type(above) is not int or above < 0:
            run.fault(line, "a tier needs prompt_tokens_above, a whole number of tokens")
            continue
        if above in seen:
            run.fault(line, f"there are two tiers above {above} tokens")
            continue
        seen.add(above)
        values, lines = chosen(entry, RATES)
        keys = {"price": price, "prompt_tokens_above": above}
        told = f"{what}, above {above} tokens"
        save(run, PriceTier, keys, values, entry.line, told, lines=lines)
    for row in price.tiers.exclude(prompt_tokens_above__in=seen):
        run.changes.append(f"- {what}, above {row.prompt_tokens_above} tokens")
        row.delete()


def _moment(value: Any) -> datetime | None:
    """A moment, in UTC where no zone is given; a day begins at midnight."""
    if isinstance(value, str):
        try:
            value = parse_datetime(value.strip()) or parse_date(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return datetime.combine(value, time(), UTC) if isinstance(value, date) else None


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def prices_tree() -> list[dict[str, Any]]:
    """All prices; amounts that are not given are left out."""
    return [_price_tree(row) for row in Price.objects.prefetch_related("tiers")]


def _price_tree(row: Price) -> dict[str, Any]:
    beside = {name: number(getattr(row, name)) for name in BESIDE if getattr(row, name)}
    tree = {
        "provider": row.provider,
        "model": row.upstream_model,
        **_rates(row),
        **beside,
        "valid_from_at": _written(row.valid_from_at),
        "source": row.source,
    }
    tiers = [
        {"prompt_tokens_above": tier.prompt_tokens_above, **_rates(tier)}
        for tier in sorted(row.tiers.all(), key=lambda tier: tier.prompt_tokens_above)
    ]
    return {**tree, "tiers": tiers} if tiers else tree


def _rates(row: Price | PriceTier) -> dict[str, Any]:
    rates = {name: getattr(row, name) for name in RATES}
    return {name: number(value) for name, value in rates.items() if value is not None}

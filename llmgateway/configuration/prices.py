"""Reads the price book from a file, and writes it as a tree for YAML; amounts are decimal, to the last digit."""

from datetime import UTC, date, datetime, time
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime

from accounting.models import Price
from llmgateway.configuration.entries import check_keys, chosen, items_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import save
from llmgateway.lined_yaml import Lined
from routing.configuration.tree import number

AMOUNTS = (
    "prompt_usd_per_mtok",
    "completion_usd_per_mtok",
    "cache_read_usd_per_mtok",
    "cache_write_5m_usd_per_mtok",
    "cache_write_1h_usd_per_mtok",
    "reasoning_usd_per_mtok",
    "request_usd",
)
PRICE = {"provider", "model", "valid_from_at", "source", *AMOUNTS}
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
    save(run, Price, keys, values, item.line, what, lines=lines)


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
    return [_price_tree(row) for row in Price.objects.all()]


def _price_tree(row: Price) -> dict[str, Any]:
    amounts = {name: getattr(row, name) for name in AMOUNTS}
    if not row.request_usd:
        del amounts["request_usd"]
    return {
        "provider": row.provider,
        "model": row.upstream_model,
        **{name: number(value) for name, value in amounts.items() if value is not None},
        "valid_from_at": _written(row.valid_from_at),
        "source": row.source,
    }

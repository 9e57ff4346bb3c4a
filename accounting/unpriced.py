"""Which models are used without a price: what budgets cannot hold, and what reports call unpriced."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Max, Min, Sum

from accounting.models import DailyUsage
from accounting.price_changes import Book

DAYS = 30


@dataclass(frozen=True, slots=True)
class ModelUse:
    """How often a model was called over some days. ``unpriced`` attempts did not fail and have no cost."""

    provider: str
    model: str
    attempts: int
    unpriced: int
    first_on: date
    last_on: date
    has_price: bool


def models_used(
    now: datetime, *, days: int = DAYS, providers: Collection[str] | None = None
) -> list[ModelUse]:
    """The models of the last days, those with most unpriced attempts first. Three queries, over the daily sums."""
    rows = DailyUsage.objects.filter(on__gt=now.date() - timedelta(days=days))
    if providers is not None:
        rows = rows.filter(provider__in=providers)
    sums = rows.values("provider", "upstream_model").annotate(
        attempts_sum=Sum("attempts"),
        unpriced_sum=Sum("unpriced"),
        first_on=Min("on"),
        last_on=Max("on"),
    )
    found = list(sums.order_by("-unpriced_sum", "-attempts_sum", "provider", "upstream_model"))
    priced = Book({row["provider"] for row in found}).in_force(now)
    return [
        ModelUse(
            provider=row["provider"],
            model=row["upstream_model"],
            attempts=row["attempts_sum"],
            unpriced=row["unpriced_sum"],
            first_on=row["first_on"],
            last_on=row["last_on"],
            has_price=(row["provider"], row["upstream_model"]) in priced,
        )
        for row in found
    ]

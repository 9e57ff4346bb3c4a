"""What lists of big tables share: a count that ends early, and moments from when to when, in UTC."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.utils import parse_datetime_str

COUNTED_MAX = 10_000


class AtLeast(int):
    """A count that ended early, and says so wherever it is written."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than anybody turns pages: a full count would read the whole table."""

    @cached_property
    def count(self) -> int:
        """How many rows there are; at least ``COUNTED_MAX`` where there are more."""
        ids: Any = self.object_list
        found = int(ids.order_by().values("pk")[: COUNTED_MAX + 1].count())
        return found if found <= COUNTED_MAX else AtLeast(COUNTED_MAX)


class MomentFilter(RangeDateTimeFilter):
    """From when to when (UTC), both included; a day without a time is meant whole.

    Unfold's own leaves a day without a time out in silence, and compares what was typed without a time zone.
    """

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows between the two; what cannot be read is told, and left out."""
        bounds = {}
        for end, lookup, time in (("from", "gte", "00:00:00"), ("to", "lte", "23:59:59.999999")):
            day = self.used_parameters.get(f"{self.parameter_name}_{end}_0")
            if not day:
                continue
            typed = f"{day} {self.used_parameters.get(f'{self.parameter_name}_{end}_1') or time}"
            moment = parse_datetime_str(typed)
            if moment is None:
                _tell(request, f"{self.title}, {end}: “{typed}”")
            else:
                bounds[f"{self.parameter_name}__{lookup}"] = moment.replace(tzinfo=UTC)
        return queryset.filter(**bounds)


def _tell(request: HttpRequest, what: str) -> None:
    example = f"{datetime.now(UTC):%Y-%m-%d} and 12:00:00"
    messages.warning(
        request, f"{what} is no moment and was left out. Write it as {example}.", fail_silently=True
    )

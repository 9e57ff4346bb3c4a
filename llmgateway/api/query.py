"""What stands behind the ? of an address: read by a declared field each, and refused where nothing is declared.

A filter that was misspelt would otherwise answer with everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.request import Request

from llmgateway.api.errors import invalid

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


@dataclass(frozen=True, slots=True)
class Filter:
    """A name in the address: how it is read, and the look-up that it narrows rows by."""

    field: serializers.Field
    lookup: str
    is_flipped: bool = False


def words(lookup: str, help_text: str = "", *, chars_max: int = 200) -> Filter:
    """A filter by text, compared as it is."""
    field = serializers.CharField(required=False, max_length=chars_max, help_text=help_text)
    return Filter(field, lookup)


def one_of(lookup: str, choices: Any, help_text: str = "") -> Filter:
    """A filter by one of some words."""
    return Filter(
        serializers.ChoiceField(required=False, choices=list(choices), help_text=help_text), lookup
    )


def truth(lookup: str, help_text: str = "") -> Filter:
    """A filter by true or false."""
    field = serializers.ChoiceField(required=False, choices=["true", "false"], help_text=help_text)
    return Filter(field, lookup)


def present(column: str, help_text: str = "") -> Filter:
    """A filter by whether a column holds anything."""
    return Filter(truth(column, help_text).field, f"{column}__isnull", is_flipped=True)


def moment(lookup: str, help_text: str) -> Filter:
    """A filter by a moment (ISO 8601)."""
    return Filter(serializers.DateTimeField(required=False, help_text=help_text), lookup)


def number(lookup: str, help_text: str = "") -> Filter:
    """A filter by a whole number."""
    field = serializers.IntegerField(
        required=False, min_value=0, max_value=2**53, help_text=help_text
    )
    return Filter(field, lookup)


def page_fields(paginator: type | None) -> dict[str, serializers.Field]:
    """What a list's address may say of its pages."""
    if paginator is None:
        return {}
    size = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=PAGE_SIZE_MAX,
        help_text=f"How many to a page. Default: {PAGE_SIZE}.",
    )
    if issubclass(paginator, CursorPagination):
        cursor = serializers.CharField(
            required=False, help_text="From next or previous of the answer before."
        )
        return {"cursor": cursor, "page_size": size}
    page = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="Counted from 1."
    )
    return {"page": page, "page_size": size}


def serializer_of(
    name: str, fields: Mapping[str, serializers.Field]
) -> type[serializers.Serializer]:
    """The fields as one, for reading and for the document."""
    return type(name, (serializers.Serializer,), dict(fields))


def read(request: Request, fields: Mapping[str, serializers.Field]) -> dict[str, Any]:
    """What the address says, by name.

    Raises:
        ValidationError: something is not known, said twice, or not of its type.
    """
    query = request.query_params
    unknown = sorted(set(query) - set(fields))
    if unknown:
        known = ", ".join(sorted(fields)) or "none"
        raise invalid({name: [f"Not known here. Known are: {known}."] for name in unknown})
    twice = [name for name in query if len(query.getlist(name)) > 1]
    if twice:
        raise invalid({name: ["Say it once."] for name in twice})
    reader = serializer_of("Query", fields)(data=query.dict())
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


def narrow(
    rows: QuerySet[Any], filters: Mapping[str, Filter], asked: Mapping[str, Any]
) -> QuerySet[Any]:
    """The rows for which all filters that were asked for hold."""
    for name, wanted in filters.items():
        if name in asked:
            value = _truth(asked[name])
            rows = rows.filter(Q(**{wanted.lookup: not value if wanted.is_flipped else value}))
    return rows


def _truth(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


class Pages(PageNumberPagination):
    """Numbered pages, for what people set: few enough to be counted."""

    page_size = PAGE_SIZE
    max_page_size = PAGE_SIZE_MAX
    page_size_query_param = "page_size"


class NewestFirst(CursorPagination):
    """Pages that begin where the one before ended, for what grows: never counted, as quick at the end as at the begin."""

    page_size = PAGE_SIZE
    max_page_size = PAGE_SIZE_MAX
    page_size_query_param = "page_size"
    ordering = "-pk"

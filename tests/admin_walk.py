"""All addresses that a model's admin pages have: lists with each search, filter and order, forms, history, deletion."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode

from django.contrib.admin import ModelAdmin, RelatedFieldListFilter, site
from django.contrib.admin.utils import get_model_from_relation
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import reverse

CHOICES_MAX = 2
"""Of each filter: one asks the database as the next does."""
WORDS = {
    "from_0": "2026-01-01",
    "from_1": "00:00:00",
    "to_0": "2036-01-01",
    "to_1": "00:00:00",
    "exact": "1",
    "from": "1",
    "to": "9",
}
"""What is typed into a filter's fields, by how their names end."""


def pages_of(*labels: str) -> list[ModelAdmin]:
    """The admin pages of the apps with these labels, in the order of their names."""
    pages = [page for model, page in site._registry.items() if model._meta.app_label in labels]
    return sorted(pages, key=lambda page: page.opts.label_lower)


def name_of(page: ModelAdmin) -> str:
    """What a test of the page is told by."""
    return page.opts.label_lower


def addresses_of(
    page: ModelAdmin, user: User, *, search: str, with_orders: bool = True
) -> Iterator[str]:
    """The addresses that the user may open; those of a single object are of the first and the last in the list."""
    named = f"admin:{page.opts.app_label}_{page.opts.model_name}"
    listed = reverse(f"{named}_changelist")
    request = RequestFactory().get(listed)
    request.user = user
    yield listed
    for asked in _narrowed(page, request, search, with_orders=with_orders):
        yield f"{listed}?{urlencode(asked)}"
    yield from _typed_elsewhere(page)
    if page.has_add_permission(request):
        yield reverse(f"{named}_add")
    shown = page.get_changelist_instance(request).result_list
    for row in {row.pk: row for row in (*shown[:1], *list(shown)[-1:])}.values():
        yield reverse(f"{named}_change", args=[row.pk])
        yield reverse(f"{named}_history", args=[row.pk])
        if page.has_delete_permission(request, row):
            yield reverse(f"{named}_delete", args=[row.pk])


def _narrowed(
    page: ModelAdmin, request: HttpRequest, search: str, *, with_orders: bool
) -> Iterator[dict[str, str]]:
    found = page.get_changelist_instance(request)
    yield {"p": "2"}
    yield {"e": "1"}
    if page.search_fields:
        yield {"q": search}
        yield {"q": "nothing-is-called-so"}
    for number, column in enumerate(found.list_display if with_orders else ()):
        is_offered = found.sortable_by is None or column in found.sortable_by
        if is_offered and found.get_ordering_field(column):
            yield {"o": f"{number}" if number % 2 else f"-{number}"}
    for spec in found.filter_specs:
        chosen = 0
        for choice in spec.choices(found):
            asked = choice.get("query_string", "").removeprefix("?")
            if asked and chosen < CHOICES_MAX:
                chosen += 1
                yield dict(parse_qsl(asked))
        names = [name for name in spec.expected_parameters() if name]
        if isinstance(spec, RelatedFieldListFilter) and not chosen:
            related = get_model_from_relation(spec.field)._default_manager
            yield {spec.lookup_kwarg: str(related.values_list("pk", flat=True).first())}
        elif not chosen:
            yield {name: _word(name) for name in names}


def _word(name: str) -> str:
    return next((word for end, word in WORDS.items() if name.endswith(f"_{end}")), "a")


def _typed_elsewhere(page: ModelAdmin) -> Iterator[str]:
    """What other forms ask while somebody types a name into a field that leads here."""
    for model, other in site._registry.items():
        forms = [other, *(inline(model, site) for inline in other.inlines)]
        for form in forms:
            for name in form.autocomplete_fields:
                if form.model._meta.get_field(name).related_model is page.model:
                    asked = {
                        "app_label": form.model._meta.app_label,
                        "model_name": form.model._meta.model_name,
                        "field_name": name,
                        "term": "a",
                    }
                    yield f"{reverse('admin:autocomplete')}?{urlencode(asked)}"
                    return

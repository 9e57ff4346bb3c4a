"""Rows that are put in order by dragging: where they are dropped becomes positions, and nothing else changes places.

Unfold's script numbers what a page shows from 0. Taken as they are, these numbers would put the rows of a second page,
of a filtered list, or a provider's own rules before all others. So only the order of the shown rows is taken from them:
the rows change places with each other, and all others keep theirs.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest
from unfold.forms import PaginationInlineFormSet

from routing.admin.page import RoutingAdmin

POSITION = "position"


def reorder(rows: Sequence[Any], wanted: Sequence[Any], *, ties: Sequence[str]) -> list[Any]:
    """Give rows the positions that put those with the primary keys ``wanted`` into that order; return who got another.

    ``rows`` are all that are numbered together, in the order in which they take effect: by position, and where it is
    the same by the fields ``ties``. Positions change as little as the new order allows.
    """
    by_pk = {row.pk: row for row in rows}
    moving = iter([by_pk[pk] for pk in wanted if pk in by_pk])
    seats = {row.pk for row in rows} & set(wanted)
    placed = [next(moving) if row.pk in seats else row for row in rows]
    numbers = [row.position for row in rows]
    moved: list[Any] = []
    before: Any = None
    for row, number in zip(placed, numbers, strict=True):
        least = number if before is None else max(number, before.position)
        is_tied = before is not None and least == before.position
        if is_tied and _tie(before, ties) > _tie(row, ties):
            least += 1
        if row.position != least:
            row.position = least
            moved.append(row)
        before = row
    return moved


def _tie(row: Any, names: Iterable[str]) -> list[Any]:
    return [getattr(row, name) for name in names]


class _Ordered:
    """What formsets of both sorts do once their forms are clean."""

    ties: Sequence[str] = ("pk",)

    def rows_in_order(self) -> list[Any]:
        """All rows that are numbered together."""
        raise NotImplementedError

    def put_in_order(self, forms: "Sequence[ModelForm[Any]]") -> list[Any]:
        """Write the positions into the forms of rows that exist; return other rows that must make room."""
        if all(_posted(form) == form.initial[POSITION] for form in forms):
            return []
        wanted = [form.instance.pk for form in sorted(forms, key=_posted)]
        rows = self.rows_in_order()
        moved = reorder(rows, wanted, ties=self.ties)
        numbers = {row.pk: row.position for row in rows}
        for form in forms:
            _number(form, numbers.get(form.instance.pk, form.initial[POSITION]))
        return [row for row in moved if row.pk not in wanted]


def _posted(form: "ModelForm[Any]") -> int:
    number = form.cleaned_data.get(POSITION)
    return form.initial[POSITION] if number is None else int(number)


def _number(form: "ModelForm[Any]", number: int) -> None:
    form.instance.position = form.cleaned_data[POSITION] = number
    others = [name for name in form.changed_data if name != POSITION]
    is_same = form.initial.get(POSITION) == number and not form.instance._state.adding
    form.__dict__["changed_data"] = others if is_same else [*others, POSITION]


class OrderedInlineFormSet(_Ordered, PaginationInlineFormSet):
    """Rows within the form of what they belong to; a new one comes last."""

    making_room: Sequence[Any] = ()

    def rows_in_order(self) -> list[Any]:
        """Those that belong together."""
        own = self.model._default_manager.filter(**{self.fk.name: self.instance})
        return list(own.order_by(POSITION, *self.ties))

    def clean(self) -> None:
        """Number the rows, unless something else has to be entered first."""
        super().clean()
        if any(self.errors):
            return
        kept = [form for form in self.initial_forms if not self._should_delete_form(form)]
        self.making_room = self.put_in_order(kept)
        last = max((form.instance.position for form in kept), default=-1)
        for form in self.extra_forms:
            if form.has_changed() and not self._should_delete_form(form):
                last += 1
                _number(form, last)

    def save_existing_objects(self, commit: bool = True) -> list[Any]:  # noqa: FBT001, FBT002  (Django's signature)
        """Save also who makes room."""
        for row in self.making_room if commit else ():
            row.save(update_fields=[POSITION])
        found: list[Any] = super().save_existing_objects(commit)
        return found


class OrderedListFormSet(_Ordered, BaseModelFormSet):  # type: ignore[type-arg]
    """Rows of a list."""

    def rows_in_order(self) -> list[Any]:
        """All of the sort, whatever the list was narrowed to."""
        return list(self.model._default_manager.order_by(POSITION, *self.ties))  # type: ignore[union-attr]

    def clean(self) -> None:
        """Number the rows."""
        super().clean()
        if any(self.errors):
            return
        making_room = self.put_in_order(self.initial_forms)
        changed = (form for form in self.initial_forms if form.has_changed())
        first = next(changed, None)
        if first is not None:
            first.making_room = making_room  # type: ignore[attr-defined]


class OrderedAdmin(RoutingAdmin):
    """A list in the order in which its rows take effect; they are dragged, and no column sorts it in another way."""

    ordering_field = POSITION
    hide_ordering_field = True
    sortable_by = ()
    list_formset: type[OrderedListFormSet] = OrderedListFormSet

    def get_changelist_formset(self, request: HttpRequest, **options: Any) -> Any:
        """The formset that knows of the other rows."""
        return super().get_changelist_formset(request, **{"formset": self.list_formset, **options})

    def save_model(
        self,
        request: HttpRequest,
        obj: Any,
        form: Any,
        change: bool,  # noqa: FBT001
    ) -> None:
        """Save also who makes room."""
        for row in getattr(form, "making_room", ()):
            row.save(update_fields=[POSITION])
        super().save_model(request, obj, form, change)

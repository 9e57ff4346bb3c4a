"""Makes and changes rows as a file says: says what changes, and which value at which line a row does not take."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import yaml
from django.core.exceptions import ValidationError
from django.db import models

from accounting.models.money import PLACES, UsdField
from llmgateway.configuration.faults import Import
from llmgateway.lined_yaml import Lined, plain

Row = TypeVar("Row", bound=models.Model)
Tree = Mapping[str, Any]


def save(
    run: Import,
    model: type[Row],
    keys: dict[str, Any],
    values: Mapping[str, Any],
    line: int,
    what: str,
    *,
    lines: Mapping[str, int] | None = None,
) -> Row | None:
    """The row with these keys, made or changed; None after a fault. ``lines`` are those of single values."""
    row = model._default_manager.filter(**keys).first()
    if row is None:
        row = model(**keys)
        if set_and_save(run, row, values, line, lines=lines):
            run.changes.append(f"+ {what}")
            return row
        return None
    changes = list(differences(row, values, what))
    if not changes:
        return row
    run.changes.extend(changes)
    return row if set_and_save(run, row, values, line, lines=lines) else None


def differences(row: models.Model, values: Mapping[str, Any], what: str) -> Iterator[str]:
    """A sentence for each value that the row does not have yet."""
    for name, value in values.items():
        old = getattr(row, name)
        if old != as_stored(row, name, value):
            yield f"~ {what}: {name} {_shown(old)} -> {_shown(value)}"


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, models.Model) else repr(value)


def as_stored(row: models.Model, name: str, value: Any) -> Any:
    """The value as the column would give it back; as it is where the column does not take it."""
    field = _field(row, name)
    try:
        return field.to_python(_exact(field, value))
    except (ValidationError, TypeError, ValueError, InvalidOperation):
        return value


def _field(row: models.Model, name: str) -> "models.Field[Any, Any]":
    return row._meta.get_field(name)  # type: ignore[return-value]


def _exact(field: "models.Field[Any, Any]", value: Any) -> Any:
    """The digits of a fraction as they stand in the file, where they matter."""
    is_fraction = isinstance(field, models.DecimalField | UsdField) and isinstance(value, float)
    return Decimal(str(value)) if is_fraction else value


def set_and_save(
    run: Import,
    row: models.Model,
    values: Mapping[str, Any],
    line: int,
    *,
    lines: Mapping[str, int] | None = None,
) -> bool:
    """Whether the row takes the values; if so, it is saved."""
    is_good = fill(run, row, values, line, lines=lines)
    if is_good:
        row.save()
    return is_good


def fill(
    run: Import,
    row: models.Model,
    values: Mapping[str, Any],
    line: int,
    *,
    lines: Mapping[str, int] | None = None,
    not_yet: Collection[str] = (),
) -> bool:
    """Whether the row takes the values; nothing is saved. Fields that are ``not_yet`` known are not looked at."""
    where = lines or {}
    for name, value in values.items():
        field = _field(row, name)
        problem = _problem_with(field, value)
        if problem:
            run.fault(where.get(name, line), f"{name}: {problem}")
            return False
        setattr(row, name, plain(_exact(field, value)))
    try:
        row.full_clean(exclude=not_yet)
    except ValidationError as error:
        for name, messages in error.message_dict.items():
            told = "" if name == "__all__" else f"{name}: "
            run.fault(where.get(name, line), told + " ".join(messages))
        return False
    except (TypeError, ValueError, InvalidOperation) as error:
        run.fault(line, f"a value is of the wrong type: {error}")
        return False
    return True


def _problem_with(field: "models.Field[Any, Any]", value: Any) -> str:
    """What a column would make something else of without a word."""
    if isinstance(field, UsdField):
        return _problem_with_usd(value)
    if isinstance(field, models.IntegerField) and isinstance(value, bool | float):
        return f"must be a whole number, not {value!r}"
    if isinstance(field, models.CharField | models.TextField):
        if isinstance(value, bool):
            return f"must be text, not {value!r}: put it in quotes"
        if isinstance(value, Lined | list) and not field.choices:
            return "must be text"
    if value is None and not field.null:
        return "may not be empty"
    return ""


def _problem_with_usd(value: Any) -> str:
    """What is no amount of money, or one with more places than its column has."""
    try:
        amount_usd = Decimal("nan") if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        amount_usd = Decimal("nan")
    if not amount_usd.is_finite():
        return f"must be an amount in USD, not {value!r}"
    places = amount_usd.normalize().as_tuple().exponent
    if isinstance(places, int) and places < -PLACES:
        return f"has more than {PLACES} places behind the point"
    return ""


def set_list(
    run: Import,
    present: Sequence[tuple[models.Model, Tree]],
    wanted: Sequence[tuple[models.Model, Tree]],
    what: str,
) -> None:
    """Make rows those of a list, in its order. Each comes with its tree; ``wanted`` are filled and not saved.

    Rows keep their place in the list, and with it their primary key.
    """
    old, new = [tree for _row, tree in present], [tree for _row, tree in wanted]
    if old == new or run.faults:
        return
    gone, come = _left_over(old, new), _left_over(new, old)
    run.changes.extend(f"- {what} {_in_a_line(tree)}" for tree in gone)
    run.changes.extend(f"+ {what} {_in_a_line(tree)}" for tree in come)
    if not gone and not come:
        run.changes.append(f"~ {what}: order")
    for row, _tree in present[len(wanted) :]:
        row.delete()
    for index, (row, _tree) in enumerate(wanted):
        if index < len(present):
            row.pk = present[index][0].pk
            row._state.adding = False
        row.save()


def _left_over(trees: Sequence[Tree], others: Sequence[Tree]) -> list[Tree]:
    left = list(others)
    found = []
    for tree in trees:
        if tree in left:
            left.remove(tree)
        else:
            found.append(tree)
    return found


def _in_a_line(tree: Tree) -> str:
    text = yaml.safe_dump(dict(tree), default_flow_style=True, sort_keys=False, width=10_000)
    return text.strip()

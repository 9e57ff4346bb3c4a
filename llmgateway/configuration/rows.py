"""Makes and changes rows as a file says: says what changes, and which value at which line a row does not take."""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from llmgateway.configuration.faults import Import


def save(
    run: Import,
    model: type[models.Model],
    keys: dict[str, Any],
    values: dict[str, Any],
    line: int,
    what: str,
    *,
    lines: Mapping[str, int] | None = None,
) -> Any:
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
    for name, value in values.items():
        old = getattr(row, name)
        if old != _as_stored(row, name, value):
            yield f"~ {what}: {name} {old!r} -> {value!r}"


def _as_stored(row: models.Model, name: str, value: Any) -> Any:
    """The value as the column would give it back; as it is where the column does not take it."""
    try:
        return _field(row, name).to_python(_exact(value))
    except (ValidationError, TypeError, ValueError, InvalidOperation):
        return value


def _field(row: models.Model, name: str) -> "models.Field[Any, Any]":
    return row._meta.get_field(name)  # type: ignore[return-value]


def _exact(value: Any) -> Any:
    """The digits of a fraction as they stand in the file."""
    return Decimal(str(value)) if isinstance(value, float) else value


def set_and_save(
    run: Import,
    row: models.Model,
    values: Mapping[str, Any],
    line: int,
    *,
    lines: Mapping[str, int] | None = None,
) -> bool:
    where = lines or {}
    for name, value in values.items():
        if isinstance(_field(row, name), models.IntegerField) and isinstance(value, bool | float):
            run.fault(where.get(name, line), f"{name}: must be a whole number, not {value!r}")
            return False
        if value is None and not _field(row, name).null:
            run.fault(where.get(name, line), f"{name}: may not be empty")
            return False
        setattr(row, name, _exact(value))
    try:
        row.full_clean()
    except ValidationError as error:
        for name, messages in error.message_dict.items():
            told = "" if name == "__all__" else f"{name}: "
            run.fault(where.get(name, line), told + " ".join(messages))
        return False
    except (TypeError, ValueError, InvalidOperation) as error:
        run.fault(line, f"a value is of the wrong type: {error}")
        return False
    row.save()
    return True

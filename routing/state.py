"""All rows of routing as one JSON value, and back.

A value holds the columns of each row by model and primary key, secrets sealed as they are stored. Putting one back
leaves alone the rows that are the same already, and gives the others their old primary keys, so that what a process has
learned of a deployment stays with it. Foreign keys are looked at when the transaction ends: rows are taken away and put
back without regard to who points to whom.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models

from routing import secrets, witnesses
from routing.errors import SecretUnreadable
from routing.models import Credential, Provider, ProviderCheck
from routing.snapshot import WATCHED, bump

Columns = dict[str, Any]
State = dict[str, dict[str, Columns]]
SECRET_COLUMNS = ("sealed_secret", "last_four", "sealed_at")
ROWS_AT_ONCE = 500


@dataclass(slots=True)
class Restored:
    """What happened to rows. ``kept_secrets`` are credentials whose old secret no key opens: they keep the present one."""

    rows: int = 0
    kept_secrets: list[str] = field(default_factory=list)
    lost_secrets: list[str] = field(default_factory=list)
    """Credentials that are back with a secret that no key opens, since there is no present one."""


def read_state() -> State:
    """The rows as they are now, as JSON would give them back."""
    state = {
        name: {str(row.pk): _columns_of(row) for row in model._default_manager.order_by("pk")}
        for name, model in _models().items()
    }
    return json.loads(json.dumps(state, default=_written))  # type: ignore[no-any-return]


def _written(value: Any) -> str:
    """Moments to the microsecond and decimals to the last digit, as their columns read them again."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _models() -> dict[str, type[models.Model]]:
    return {str(model._meta.model_name): model for model in WATCHED}


def _columns_of(row: models.Model) -> Columns:
    return {field.attname: field.value_from_object(row) for field in _fields(type(row)).values()}


def _fields(model: type[models.Model]) -> "dict[str, models.Field[Any, Any]]":
    """The columns but the primary key, and those that say when the row was last saved."""
    return {
        field.attname: field
        for field in model._meta.concrete_fields
        if not field.primary_key and not getattr(field, "auto_now", False)
    }


def is_empty(state: State) -> bool:
    """Whether there are no rows at all."""
    return not any(state.values())


def are_same(one: State, other: State) -> bool:
    """Whether two states mean the same: a secret that was only sealed anew has not changed."""
    return _without_seals(one) == _without_seals(other)


def _without_seals(state: State) -> State:
    credentials = {
        pk: {name: value for name, value in columns.items() if name != "sealed_secret"}
        for pk, columns in state.get(_name(Credential), {}).items()
    }
    return {**state, _name(Credential): credentials}


def _name(model: type[models.Model]) -> str:
    return str(model._meta.model_name)


def restore(wanted: State) -> Restored:
    """Put the rows back as they were. To be called in a transaction."""
    present = read_state()
    done = Restored()
    target = {name: _known(model, wanted, present) for name, model in _models().items()}
    credentials = target[_name(Credential)]
    for pk, columns in credentials.items():
        credentials[pk] = _openable(columns, present[_name(Credential)].get(pk), done)
    touched = {
        model: [
            int(pk)
            for pk in {**present[name], **target[name]}
            if present[name].get(pk) != target[name].get(pk)
        ]
        for name, model in _models().items()
    }
    with witnesses.told().replacing(touched):
        for name, model in _models().items():
            old, new = present[name], target[name]
            stale = [pk for pk, columns in old.items() if new.get(pk) != columns]
            fresh = {pk: columns for pk, columns in new.items() if old.get(pk) != columns}
            _take_away(model, stale)
            _put_back(model, fresh)
            done.rows += len({*stale, *fresh})
    providers = Provider.objects.values("pk")
    ProviderCheck.objects.exclude(provider__in=providers).delete()
    if done.rows:
        bump()
    return done


def _known(model: type[models.Model], wanted: State, present: State) -> dict[str, Columns]:
    """The rows, with what a later version of the program added to them as it is now."""
    name, known = _name(model), _fields(model).keys()
    return {
        pk: {
            **present[name].get(pk, {}),
            **{column: value for column, value in columns.items() if column in known},
        }
        for pk, columns in wanted.get(name, {}).items()
    }


def _openable(columns: Columns, present: Columns | None, done: Restored) -> Columns:
    """The credential with its old secret, or, where no key opens that, with its present one."""
    if present and all(columns[name] == present[name] for name in SECRET_COLUMNS[1:]):
        return {**columns, "sealed_secret": present["sealed_secret"]}
    try:
        secrets.open_sealed(columns["sealed_secret"])
    except SecretUnreadable:
        label = str(columns["label"])
        if present is None:
            done.lost_secrets.append(label)
            return columns
        done.kept_secrets.append(label)
        return {**columns, **{name: present[name] for name in SECRET_COLUMNS}}
    return columns


def _take_away(model: type[models.Model], pks: Sequence[str]) -> None:
    """Without a look at who points there, and without news: that is told once, at the end."""
    for start in range(0, len(pks), ROWS_AT_ONCE):
        rows = model._default_manager.filter(pk__in=pks[start : start + ROWS_AT_ONCE])
        rows._raw_delete(rows.db)


def _put_back(model: type[models.Model], rows: Mapping[str, Columns]) -> None:
    fields = _fields(model)
    values = {
        pk: {name: _value(fields[name], value) for name, value in columns.items()}
        for pk, columns in rows.items()
    }
    made = [model(pk=int(pk), **columns) for pk, columns in values.items()]
    model._default_manager.bulk_create(made, batch_size=ROWS_AT_ONCE)
    when_made = [name for name, entry in fields.items() if getattr(entry, "auto_now_add", False)]
    if when_made:  # which a new row has of now
        for pk, columns in values.items():
            old = {name: columns[name] for name in when_made if columns.get(name)}
            model._default_manager.filter(pk=pk).update(**old)


def _value(column: "models.Field[Any, Any]", value: Any) -> Any:
    return value if column.is_relation else column.to_python(value)

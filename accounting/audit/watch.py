"""Notes what happens to watched rows: compares what the database has before and after, and adds entries to the trail.

Which models are watched is registered from above (``llmgateway/auditing.py``), because some are routing's. What code does
past ``save()`` and ``delete()`` it must note itself: ``note_created`` after a ``bulk_create``, ``noting`` around an
``update()`` or raw statements. A test lists all places that do so.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import Permission
from django.db import models, transaction

from accounting.audit import trail, values
from accounting.audit.trail import Draft
from accounting.audit.values import Kind, Names, Plain, Raw

CREATE, CHANGE, DELETE, USE = "create", "change", "delete", "use"

_BEFORE = "_audit_before"
_UNTOLD: Any = object()

_kinds: dict[type[models.Model], Kind] = {}


def register(kind: Kind) -> None:
    """Watch a model from now on."""
    _kinds[kind.model] = kind


def kind_of(row: models.Model) -> Kind:
    """How the row is written down.

    Raises:
        KeyError: its model is not watched.
    """
    return _kinds[row._meta.concrete_model]  # type: ignore[index]


def kinds() -> Mapping[type[models.Model], Kind]:
    """The watched models."""
    return _kinds


# Saving.


def before_save(row: models.Model, update_fields: Iterable[str] | None) -> None:
    """Remember what the database has of the row. To be called in the transaction in which it is saved."""
    kind = kind_of(row)
    if _tells_nothing(kind, update_fields):
        row.__dict__[_BEFORE] = _UNTOLD
        return
    trail.take_turn()
    before = values.read(kind.model, [row.pk]).get(row.pk) if row.pk is not None else None
    row.__dict__[_BEFORE] = before


def after_save(row: models.Model) -> None:
    """Note what the save has changed; nothing where nothing is different."""
    kind = kind_of(row)
    before = row.__dict__.pop(_BEFORE, _UNTOLD)
    if before is not _UNTOLD:
        after = values.read(kind.model, [row.pk])[row.pk]
        trail.append(_drafts_of(kind, row, before, after, Names()))


def _tells_nothing(kind: Kind, update_fields: Iterable[str] | None) -> bool:
    """Whether none of the columns that are saved is ever told, such as when somebody was last signed in."""
    if update_fields is None:
        return False
    told = {name for column in kind.fields() for name in (column.name, column.attname)}
    return told.isdisjoint(update_fields)


def _drafts_of(
    kind: Kind, row: models.Model, before: Raw | None, after: Raw, names: Names
) -> Iterator[Draft]:
    if before is None:
        yield _draft(kind, row, CREATE, after=values.whole(kind, after, names))
        return
    old, new = values.difference(kind, before, after, names)
    if new:
        yield _draft(kind, row, CHANGE, before=old, after=new)


def _draft(
    kind: Kind,
    row: models.Model,
    action: str,
    *,
    before: Plain | None = None,
    after: Plain | None = None,
) -> Draft:
    return Draft(
        action,
        kind.label,
        str(row.pk),
        values.name_of(row),
        kind.team_of(row),
        before or {},
        after or {},
    )


# Using.


def note_use(row: models.Model, how: str, **told: Any) -> None:
    """Note that what the row holds was used or looked at; ``how`` is a sentence without secrets."""
    kind = _kinds.get(type(row)) or Kind(type(row), team_of=_team_named_in)
    trail.append([_draft(kind, row, USE, after={"how": values.plain(how), **values.plain(told)})])


def _team_named_in(row: Any) -> str:
    team = getattr(row, "team", "")
    return team if isinstance(team, str) else str(team.slug)


# Deleting.


@dataclass(slots=True)
class _Leaving:
    """The rows that one deletion takes away, and those that lose what they point to."""

    origin: object
    drafts: dict[tuple[type[models.Model], Any], Draft] = field(default_factory=dict)
    loosened: dict[tuple[type[models.Model], Any], list["_Loosened"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Loosened:
    kind: Kind
    pk: Any
    draft: Draft


class _Now(threading.local):
    """What this thread has begun and not ended."""

    leaving: _Leaving | None = None

    def __init__(self) -> None:
        self.links: dict[tuple[int, int], list[_Linked]] = {}


_now = _Now()


def before_delete(row: models.Model, origin: object) -> None:
    """Remember what the row says; all rows of a deletion are told of before the first of them goes."""
    trail.take_turn()
    if _now.leaving is None or _now.leaving.origin is not origin:
        _now.leaving = _Leaving(origin)
    kind, names = kind_of(row), Names()
    raw = values.read(kind.model, [row.pk]).get(row.pk)
    if raw is None:
        return
    told = {**values.whole(kind, raw, names), **_links_of(row)}
    key = (kind.model, row.pk)
    _now.leaving.drafts[key] = _draft(kind, row, DELETE, before=told)
    _now.leaving.loosened[key] = list(_pointing_at(row, names))


def after_delete(row: models.Model) -> None:
    """Note that it is gone, and what rows that stay have lost with it."""
    leaving = _now.leaving
    key = (kind_of(row).model, row.pk)
    if leaving is None or key not in leaving.loosened:
        return
    loosened = [found.draft for found in leaving.loosened.pop(key) if _stays(found, leaving)]
    trail.append([leaving.drafts[key], *loosened])
    if not leaving.loosened:
        _now.leaving = None


def _stays(found: _Loosened, leaving: _Leaving) -> bool:
    return (found.kind.model, found.pk) not in leaving.drafts


def _pointing_at(row: models.Model, names: Names) -> Iterator[_Loosened]:
    """Watched rows that point to the row and are set to point nowhere: the database is told so without a save."""
    for relation in row._meta.related_objects:
        kind = _kinds.get(relation.related_model)
        if kind is None or relation.many_to_many or relation.on_delete is not models.SET_NULL:
            continue
        name = relation.field.name
        if name in kind.passed_over:
            continue
        old = {name: names.of(type(row), row.pk)}
        for other in kind.model._base_manager.filter(**{name: row}):
            draft = _draft(kind, other, CHANGE, before=old, after={name: None})
            yield _Loosened(kind, other.pk, draft)


# Links between many and many.


@dataclass(frozen=True, slots=True)
class _Linked:
    row: models.Model
    names: list[str]


@dataclass(frozen=True, slots=True)
class Links:
    """A field that links rows of a watched model to many others, such as a user's groups."""

    model: type[models.Model]
    name: str

    def of(self, row: models.Model) -> list[str]:
        """What the row is linked to, in order."""
        linked = getattr(row, self.name).all()
        if linked.model is Permission:
            codes = linked.values_list("content_type__app_label", "codename")
            return sorted(f"{app}.{code}" for app, code in codes)
        return sorted(values.name_of(other) for other in linked)


def _links_of(row: models.Model) -> dict[str, list[str]]:
    """All its links, also those of others to it: they go with it."""
    here = [Links(type(row), entry.name) for entry in row._meta.many_to_many]
    back = [
        Links(type(row), str(relation.get_accessor_name()))
        for relation in row._meta.related_objects
        if relation.many_to_many and relation.get_accessor_name()
    ]
    told = {links.name.removesuffix("_set"): links.of(row) for links in (*here, *back)}
    return {name: names for name, names in told.items() if names}


def links_changing(
    links: Links, instance: models.Model, action: str, pks: Iterable[Any] | None
) -> None:
    """Note what a change of links does to the watched rows at one end, whichever end it is made at."""
    key = (id(instance), hash(links))
    if action.startswith("pre_"):
        trail.take_turn()
        rows = _ends(links, instance, pks)
        _now.links[key] = [_Linked(row, links.of(row)) for row in rows]
        return
    kind = _kinds[links.model]
    trail.append(
        _draft(kind, one.row, CHANGE, before={links.name: one.names}, after={links.name: now})
        for one in _now.links.pop(key, [])
        if (now := links.of(one.row)) != one.names
    )


def _ends(
    links: Links, instance: models.Model, pks: Iterable[Any] | None
) -> Sequence[models.Model]:
    if isinstance(instance, links.model):
        return [instance]
    rows = links.model._base_manager
    found = rows.filter(**{links.name: instance}) if pks is None else rows.filter(pk__in=list(pks))
    return list(found)


# Past save() and delete().


def note_created(rows: Iterable[models.Model]) -> None:
    """Note rows that a ``bulk_create`` has made, of one model or several; to be called in its transaction."""
    made: dict[type[models.Model], dict[Any, models.Model]] = {}
    for row in rows:
        made.setdefault(type(row), {})[row.pk] = row
    names = Names()
    for model, by_pk in made.items():
        kind = _kinds[model]
        stored = values.read(model, by_pk)
        trail.append(
            draft
            for pk, raw in stored.items()
            for draft in _drafts_of(kind, by_pk[pk], None, raw, names)
        )


@contextmanager
def noting(rows: Mapping[type[models.Model], Iterable[Any]]) -> Iterator[None]:
    """Note what happens within to the rows with these primary keys, by model, whatever is done to them.

    Within it they may be created, changed and deleted by statements of any kind; all is one transaction.
    """
    pks = {model: list(keys) for model, keys in rows.items() if model in _kinds}
    with transaction.atomic():
        trail.take_turn()
        before = {model: _seen(_kinds[model], keys) for model, keys in pks.items()}
        yield
        names = Names()
        for model, keys in pks.items():
            trail.append(_changes(_kinds[model], before[model], keys, names))


@dataclass(frozen=True, slots=True)
class _Seen:
    raw: Raw
    gone: Draft


def _seen(kind: Kind, pks: Sequence[Any]) -> dict[Any, _Seen]:
    names = Names()
    stored = values.read(kind.model, pks)
    found = {}
    for some in values.batched(pks):
        for row in kind.model._base_manager.filter(pk__in=some):
            told = values.whole(kind, stored[row.pk], names)
            found[row.pk] = _Seen(stored[row.pk], _draft(kind, row, DELETE, before=told))
    return found


def _changes(
    kind: Kind, before: Mapping[Any, _Seen], pks: Sequence[Any], names: Names
) -> Iterator[Draft]:
    after = values.read(kind.model, pks)
    yield from (seen.gone for pk, seen in before.items() if pk not in after)
    for some in values.batched(after):
        for row in kind.model._base_manager.filter(pk__in=some):
            old = before.get(row.pk)
            yield from _drafts_of(kind, row, old.raw if old else None, after[row.pk], names)

"""What the audit trail may say of a row: plain values that JSON and every database give back as they were; no secrets."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from django.db import models

from accounting.masking import Masker
from accounting.secret_shapes import is_credential_header

SECRET = "(secret)"  # noqa: S105  (what stands in the place of one)
ANOTHER_SECRET = "(another secret)"  # noqa: S105
TEXT_CHARS_MAX = 4000
NAME_CHARS_MAX = 250
JSON_CHARS_MAX = 20_000
DEPTH_MAX = 40
ROWS_AT_ONCE = 500

Raw = Mapping[str, Any]
"""A row's columns as the database has them, by attribute name."""
Plain = dict[str, Any]

_MASKER = Masker()


def _no_team(_row: Any) -> str:
    return ""


def _hides_nothing(_name: str, _raw: Raw) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Kind:
    """How rows of one model are written down.

    Of ``secrets`` only is told that there is one, of ``addresses`` only the host; ``passed_over`` is not told at all.
    ``hides`` says whether a field holds a secret because of what the row's other fields say.
    """

    model: type[models.Model]
    secrets: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    passed_over: frozenset[str] = frozenset()
    team_of: Callable[[Any], str] = _no_team
    hides: Callable[[str, Raw], bool] = _hides_nothing

    @property
    def label(self) -> str:
        """Such as accounting.virtualkey."""
        return label_of(self.model)

    def fields(self) -> "list[models.Field[Any, Any]]":
        """The columns that are told: neither the primary key, nor when the row was made or saved."""
        return [
            column
            for column in self.model._meta.concrete_fields
            if not column.primary_key
            and column.name not in self.passed_over
            and not getattr(column, "auto_now", False)
            and not getattr(column, "auto_now_add", False)
        ]


def label_of(model: type[models.Model]) -> str:
    """The model's name as entries have it, such as accounting.virtualkey."""
    return str(model._meta.label_lower)


@dataclass(slots=True)
class Names:
    """What rows that others point to are called, each looked up once."""

    known: dict[tuple[type[models.Model], Any], str] = field(default_factory=dict)

    def of(self, model: type[models.Model], pk: Any) -> str:
        """Such as openrouter (#3); only the number where there is no such row any more."""
        key = (model, pk)
        if key not in self.known:
            row = model._base_manager.filter(pk=pk).first()
            self.known[key] = f"{name_of(row)} (#{pk})" if row is not None else f"#{pk}"
        return self.known[key]


def name_of(row: models.Model) -> str:
    """What the row is called, without what looks like a secret, as far as there is room."""
    return cut(clean(str(row)), NAME_CHARS_MAX)


def read(model: type[models.Model], pks: Iterable[Any]) -> dict[Any, Raw]:
    """The rows' columns as they are in the database now, by primary key."""
    found: dict[Any, Raw] = {}
    for some in batched(pks):
        rows = model._base_manager.filter(pk__in=some).values("pk", *_columns(model))
        found.update((row["pk"], row) for row in rows)
    return found


def batched(pks: Iterable[Any]) -> Iterator[list[Any]]:
    """The keys, as many at once as every database takes in one query."""
    rest = iter(pks)
    while some := list(islice(rest, ROWS_AT_ONCE)):
        yield some


def _columns(model: type[models.Model]) -> list[str]:
    return [column.attname for column in model._meta.concrete_fields]


def whole(kind: Kind, raw: Raw, names: Names) -> Plain:
    """All that is told of a row; what is empty is left out."""
    told = {column.name: _told(kind, column, raw, names) for column in kind.fields()}
    return {name: value for name, value in told.items() if value not in (None, "", [], {})}


def difference(kind: Kind, before: Raw, after: Raw, names: Names) -> tuple[Plain, Plain]:
    """What is told of the fields that are not the same."""
    old, new = {}, {}
    for column in kind.fields():
        if _are_same(before[column.attname], after[column.attname]):
            continue
        old[column.name] = _told(kind, column, before, names)
        new[column.name] = _told(kind, column, after, names)
        if old[column.name] == new[column.name]:  # what differs is not shown
            new[column.name] = _another(new[column.name])
    return old, new


def _are_same(one: Any, other: Any) -> bool:
    """Equal, also as JSON, where true is not 1."""
    if isinstance(one, dict | list) and one == other:
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    return bool(one == other)


def _another(shown: Any) -> str:
    return ANOTHER_SECRET if shown == SECRET else f"{shown} (changed)"


def _told(kind: Kind, column: "models.Field[Any, Any]", raw: Raw, names: Names) -> Any:
    value = raw[column.attname]
    if value in (None, ""):
        return value
    if column.name in kind.secrets or kind.hides(column.name, raw):
        return SECRET
    if column.name in kind.addresses:
        return host_of(value)
    if isinstance(column, models.ForeignKey):
        return names.of(column.related_model, value)
    shown = plain(value)
    return _short(shown) if isinstance(shown, dict | list) else shown


def _short(value: Any) -> Any:
    """A large object only by the beginning of its text."""
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= JSON_CHARS_MAX else cut(text, TEXT_CHARS_MAX)


def host_of(address: str) -> str:
    """An address of which the rest may be a secret, as webhooks have it: only whose it is."""
    try:
        parts = urlsplit(address)
        place = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return SECRET
    return (
        clean(place) if parts.path in ("", "/") and not parts.query else f"{clean(place)}/{SECRET}"
    )


def plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON that is the same after every database has had it; without what looks like a secret."""
    if depth > DEPTH_MAX:
        return "…"
    match value:
        case None | bool() | int():
            return value
        case float():
            return _number(value)
        case str():
            return cut(clean(value), TEXT_CHARS_MAX)
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case bytes() | memoryview():
            return f"({len(value)} bytes)"
        case Mapping():
            return {_key(name): _member(str(name), item, depth) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item, depth + 1) for item in value]
    return cut(clean(str(value)), TEXT_CHARS_MAX)


def _number(value: float) -> Any:
    """PostgreSQL keeps decimals: it gives 1e20 and -0.0 back as whole numbers."""
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() else value


def _key(name: Any) -> str:
    return cut(clean(str(name)), NAME_CHARS_MAX)


def _member(name: str, value: Any, depth: int) -> Any:
    is_secret = isinstance(value, str) and value and is_credential_header(name)
    return SECRET if is_secret else plain(value, depth + 1)


def clean(text: str) -> str:
    """The text without what looks like a secret, and without what a database or UTF-8 has no room for."""
    known = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return _MASKER.words(known)


def cut(text: str, chars_max: int) -> str:
    """The beginning of a long text, with its length where there is room to tell it."""
    if len(text) <= chars_max:
        return text
    tail = f"… ({len(text)} characters)" if chars_max >= NAME_CHARS_MAX else "…"
    return text[: chars_max - len(tail)] + tail

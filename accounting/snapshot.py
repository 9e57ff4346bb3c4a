"""The frozen picture of keys, teams and prices that requests are checked against, and of what logs mask.

Works as ``routing/snapshot.py`` does: every change of a watched row counts up one number, each serving process
looks at it several times a second off the hot path, reads all rows anew when it has moved, and swaps whole.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F, TextField
from django.db.models.functions import Cast
from django.db.models.signals import post_delete, post_save

from accounting import models
from accounting.admission.rules import RuleBook, project_holder, read_rules
from accounting.admission.values import Rules
from accounting.key_lines import newest_names
from accounting.masking import Mask, make_mask
from accounting.price_book import price_at, read_tags
from accounting.pricing import PriceTag
from conversion.names import matches_any

WATCHED = (
    models.Team,
    models.Project,
    models.VirtualKey,
    models.Budget,
    models.Price,
    models.PriceTier,
    models.MaskPattern,
)


class KeyPicture(msgspec.Struct, frozen=True, gc=False):
    """A virtual key with its team. ``allowed`` holds exact names and patterns with ``*``; empty allows all.

    The name of a key that was rotated is that of the newest of its line: to routing and reports they are one. It holds
    nothing that could hold it: a hundred thousand of them are nothing that a collection of garbage has to look at.
    """

    pk: int
    name: str
    team: str
    project: str
    enabled: bool
    expires_at: datetime | None
    allowed: tuple[str, ...]
    member: str = ""
    holder: str = ""
    revoked_at: datetime | None = None
    is_rotated: bool = False

    def may_ask_for(self, alias: str) -> bool:
        """Whether this key may ask for the model name."""
        return not self.allowed or matches_any(self.allowed, alias)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys, prices and masks at one moment. Prices of a model are in order, newest first; masks as configured; projects by team."""

    number: int
    by_digest: Mapping[str, KeyPicture]
    prices: Mapping[tuple[str, str], tuple[PriceTag, ...]]
    masks: tuple[Mask, ...] = ()
    projects: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rules: Mapping[str, Rules] = field(default_factory=dict)

    def rules_over(self, key: KeyPicture, project: str) -> tuple[Rules, ...]:
        """What a request of the key is held to: the key's own rules, its project's and its team's."""
        if not self.rules:
            return ()
        found = []
        for holder in (key.holder, project_holder(key.team, project), key.team):
            rules = self.rules.get(holder)
            if rules is not None:
                found.append(rules)
        return tuple(found)

    def price_at(self, provider: str, upstream_model: str, moment: datetime) -> PriceTag | None:
        """The price in force at the moment, None when there is none."""
        return price_at(self.prices, provider, upstream_model, moment)


class _Held:
    """What this process has in force."""

    ring = KeyRing(number=-1, by_digest={}, prices={})


def current() -> KeyRing:
    """The picture in force; empty before the first one was read."""
    return _Held.ring


def put_in_force(ring: KeyRing) -> None:
    """Swap the picture."""
    _Held.ring = ring


def version() -> int:
    """The number of the newest rows in the database. One small query."""
    row = models.KeysVersion.objects.filter(pk=1).values_list("number", flat=True).first()
    return row or 0


def bump() -> None:
    """Tell every serving process that keys, teams or prices have changed."""
    with transaction.atomic():
        models.KeysVersion.objects.get_or_create(pk=1)
        models.KeysVersion.objects.filter(pk=1).update(number=F("number") + 1)


def listen() -> None:
    """Count up the version with every saved or deleted watched row."""
    for model in WATCHED:
        post_save.connect(_row_changed, sender=model, dispatch_uid=f"keys-save-{model.__name__}")
        post_delete.connect(
            _row_changed, sender=model, dispatch_uid=f"keys-delete-{model.__name__}"
        )


def _row_changed(**_kwargs: Any) -> None:
    bump()


def build() -> KeyRing:
    """A picture of the rows as they are now. Reads the database; never called on the hot path."""
    with transaction.atomic():
        number = version()  # first: what changes from now on makes another picture
        book = read_rules()
        return KeyRing(
            number=number,
            by_digest=_read_keys(book),
            prices=read_tags(),
            masks=tuple(
                make_mask(row.name, row.pattern, row.replacement)
                for row in models.MaskPattern.objects.filter(enabled=True)
            ),
            projects=_read_projects(),
            rules=book.rules,
        )


_KEY_COLUMNS = (
    "digest",
    Cast("allowed_aliases", TextField()),  # Django would decode each, most of them empty
    "pk",
    "name",
    "team__slug",
    "default_project__slug",
    "enabled",
    "team__enabled",
    "expires_at",
    "owner__username",
    "revoked_at",
)


def _read_keys(book: RuleBook) -> dict[str, KeyPicture]:
    rows = models.VirtualKey.objects.values_list(*_KEY_COLUMNS)
    successors = newest_names()
    before = _Held.ring.by_digest
    allowed_by_text: dict[str, tuple[str, ...]] = {}
    read: dict[str, KeyPicture] = {}
    for digest, text, *values in rows.iterator():
        allowed = allowed_by_text.get(text)
        if allowed is None:
            allowed = allowed_by_text[text] = tuple(json.loads(text))
        key = _picture_of(values, allowed, successors, book)
        # Most are what they were: to keep them spares letting go of so many at once, which holds up every request.
        held = before.get(digest)
        read[digest] = held if held == key else key
    return read


def _picture_of(
    values: Sequence[Any],
    allowed: tuple[str, ...],
    successors: Mapping[int, str],
    book: RuleBook,
) -> KeyPicture:
    """A key's picture by the values of its row that follow on digest and aliases."""
    pk, name, team, project, enabled, team_enabled, expires_at, member, revoked_at = values
    return KeyPicture(
        pk,
        successors.get(pk, name),
        team,
        project or "",
        enabled and team_enabled,
        expires_at,
        allowed,
        member or "",
        revoked_at=revoked_at,
        is_rotated=pk in successors,
        holder=book.key_holders.get(pk, ""),
    )


def _read_projects() -> dict[str, frozenset[str]]:
    projects: dict[str, set[str]] = {}
    for team, slug in models.Project.objects.values_list("team__slug", "slug"):
        projects.setdefault(team, set()).add(slug)
    return {team: frozenset(slugs) for team, slugs in projects.items()}

"""The frozen picture of keys, teams and prices that requests are checked against, and of what logs mask.

Works as ``routing/snapshot.py`` does: every change of a watched row counts up one number, each serving process
looks at it several times a second off the hot path, reads all rows anew when it has moved, and swaps whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.signals import post_delete, post_save

from accounting import models
from accounting.masking import Mask, make_mask
from accounting.pricing import PriceTag
from conversion.names import matches_any

WATCHED = (models.Team, models.Project, models.VirtualKey, models.Price, models.MaskPattern)


@dataclass(frozen=True, slots=True)
class KeyPicture:
    """A virtual key with its team. ``allowed`` holds exact names and patterns with ``*``; empty allows all."""

    pk: int
    name: str
    team: str
    project: str
    enabled: bool
    expires_at: datetime | None
    allowed: tuple[str, ...]

    def may_ask_for(self, alias: str) -> bool:
        """Whether this key may ask for the model name."""
        return not self.allowed or matches_any(self.allowed, alias)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys, prices and masks at one moment. Prices of a model are in order, newest first; masks as configured."""

    number: int
    by_digest: Mapping[str, KeyPicture]
    prices: Mapping[tuple[str, str], tuple[PriceTag, ...]]
    masks: tuple[Mask, ...] = ()

    def price_at(self, provider: str, upstream_model: str, moment: datetime) -> PriceTag | None:
        """The price in force at the moment, None when there is none."""
        tags = self.prices.get((provider, upstream_model), ())
        return next((tag for tag in tags if tag.valid_from_at <= moment), None)


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
        number = version()
        rows = models.VirtualKey.objects.values_list(
            "digest",
            "pk",
            "name",
            "team__slug",
            "default_project__slug",
            "enabled",
            "team__enabled",
            "expires_at",
            "allowed_aliases",
        )
        by_digest = {
            digest: KeyPicture(
                pk, name, team, project or "", enabled and team_enabled, expires_at, tuple(allowed)
            )
            for digest, pk, name, team, project, enabled, team_enabled, expires_at, allowed in rows.iterator()
        }
        prices: dict[tuple[str, str], list[PriceTag]] = {}
        for price in models.Price.objects.order_by("-valid_from_at"):
            prices.setdefault((price.provider, price.upstream_model), []).append(_tag(price))
        masks = tuple(
            make_mask(row.name, row.pattern, row.replacement)
            for row in models.MaskPattern.objects.filter(enabled=True)
        )
    return KeyRing(
        number=number,
        by_digest=by_digest,
        prices={model: tuple(tags) for model, tags in prices.items()},
        masks=masks,
    )


def _tag(price: models.Price) -> PriceTag:
    prompt = price.prompt_usd_per_mtok
    write_5m = price.cache_write_5m_usd_per_mtok
    write_5m = prompt if write_5m is None else write_5m
    write_1h = price.cache_write_1h_usd_per_mtok
    completion = price.completion_usd_per_mtok
    read = price.cache_read_usd_per_mtok
    reasoning = price.reasoning_usd_per_mtok
    return PriceTag(
        pk=price.pk,
        valid_from_at=price.valid_from_at,
        prompt_usd_per_mtok=prompt,
        completion_usd_per_mtok=completion,
        cache_read_usd_per_mtok=prompt if read is None else read,
        cache_write_5m_usd_per_mtok=write_5m,
        cache_write_1h_usd_per_mtok=write_5m if write_1h is None else write_1h,
        reasoning_usd_per_mtok=completion if reasoning is None else reasoning,
        request_usd=price.request_usd,
    )

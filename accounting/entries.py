"""An attempt on its way into the ledger, and how what others said of it is fitted into the ledger's columns."""

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple

import msgspec
from django.db import models

from accounting.masking import Masker
from accounting.models import UsageRecord


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One attempt on its way into the ledger; the names are those of ``UsageRecord``'s columns.

    What is as at first is not written to the journal: half of its fields, most of the time.
    """

    id: str
    request_id: str
    attempt: int
    started_at: datetime
    team: str
    project: str
    key_id: int
    key_name: str
    alias: str
    provider: str
    upstream_model: str
    client_dialect: str
    upstream_dialect: str
    streamed: bool
    request_bytes: int
    provider_kind: str = ""
    after_error: str = ""
    member: str = ""
    end_user: str = ""
    tags: str = ""
    agent: str = ""
    session: str = ""
    duration_ms: int | None = None
    ttft_ms: int | None = None
    answered_model: str = ""
    upstream_id: str = ""
    status: str = UsageRecord.Status.INTERRUPTED.value
    upstream_status: int | None = None
    error: str = ""
    error_message: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_images: int | None = None
    tokens_estimated: bool = False
    cost_usd: Decimal | None = None
    cache_saved_usd: Decimal | None = None
    cost_source: str = UsageRecord.CostSource.UNPRICED.value
    price_id: int | None = None
    answer_bytes: int = 0
    notes: list[list[str]] = []


def make_storable(entry: Entry) -> None:
    """Fit what a client or provider said into its columns: one entry must never hold up the others.

    Texts are cut to their length and lose zero bytes, which PostgreSQL has no place for; a number that no column
    holds was no count, and becomes unknown. A key that was sent for a model's name, say, is masked.
    """
    _fit_texts(entry, _ASKED)
    make_answer_storable(entry)


def make_answer_storable(entry: Entry) -> None:
    """As ``make_storable``, for what an answer says, where all else has been fitted before."""
    _fit_texts(entry, _ANSWERED)
    for number in _free_numbers(entry):
        if number is not None and not 0 <= number <= _SMALLEST_MAX:
            _fit_numbers(entry)
            break
    if entry.notes:
        entry.notes = [[word.replace("\0", "") for word in note] for note in entry.notes]


def _fit_texts(entry: Entry, texts: "_Texts") -> None:
    read = texts.read
    words = " ".join(read(entry))
    # Nearly all fit, all of them together, into the narrowest column.
    if len(words) > texts.shortest_max or "\0" in words:
        for name, text in zip(texts.names, read(entry), strict=True):
            if len(text) > TEXT_MAX[name] or "\0" in text:
                setattr(entry, name, text.replace("\0", "")[: TEXT_MAX[name]])
        words = " ".join(read(entry))
    if _SUSPICIOUS.search(words):
        for name, text in zip(texts.names, read(entry), strict=True):
            setattr(entry, name, _MASKER.words(text)[: TEXT_MAX[name]])


def _fit_numbers(entry: Entry) -> None:
    for name, number in zip(_FREE_NUMBERS, _free_numbers(entry), strict=True):
        if number is not None and not 0 <= number <= NUMBER_MAX[name]:
            setattr(entry, name, None)


def masked(text: str) -> str:
    """The text without what looks like a secret in it."""
    return _MASKER.words(text) if _SUSPICIOUS.search(text) else text


TEXT_MAX = {
    field.name: field.max_length
    for field in UsageRecord._meta.concrete_fields
    if isinstance(field, models.CharField) and field.max_length
}
NUMBER_MAX = {
    field.name: 2**15 - 1 if isinstance(field, models.PositiveSmallIntegerField) else 2**31 - 1
    for field in UsageRecord._meta.concrete_fields
    if isinstance(field, models.PositiveSmallIntegerField | models.PositiveIntegerField)
}


class _Texts(NamedTuple):
    """Columns of texts that others wrote, and how long the shortest of them may be."""

    names: tuple[str, ...]
    read: Callable[[Entry], tuple[str, ...]]
    shortest_max: int


def _texts(*names: str) -> _Texts:
    return _Texts(names, attrgetter(*names), min(TEXT_MAX[name] for name in names))


_ASKED = _texts("alias", "upstream_model", "agent", "session", "end_user", "tags")
_ANSWERED = _texts("answered_model", "upstream_id", "error_message")
_MASKER = Masker()
_SUSPICIOUS = re.compile(r"sk-|gwm?-|AKIA|AIza|gh[pousr]_|github_pat_|xox|eyJ|://|[Bb]earer")
"""A quick look that spares nearly every entry the masker's long one."""
_FREE_NUMBERS = (
    "upstream_status",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "prompt_images",
)
_free_numbers = attrgetter(*_FREE_NUMBERS)
_SMALLEST_MAX = min(NUMBER_MAX[name] for name in _FREE_NUMBERS)

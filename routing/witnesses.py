"""Tells somebody above, if anybody listens, what no saved row shows: rows put back past ``save()``, secrets used.

Routing knows nothing of the audit trail; ``llmgateway/auditing.py`` is who listens.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from django.db import models

Rows = Mapping[type[models.Model], Iterable[Any]]
"""Primary keys by model."""


class Witness(Protocol):
    """Who is told."""

    def changes_begin(self) -> None:
        """Routing is going to be changed in the transaction under way; no row of it is locked yet."""

    def replacing(self, rows: Rows) -> AbstractContextManager[None]:
        """Within it these rows are created, changed or deleted by statements past ``save()``."""

    def secret_used(self, row: models.Model, how: str) -> None:
        """A person had the row's secrets used; ``how`` is a sentence."""


class Nobody:
    """Listens to nothing."""

    def changes_begin(self) -> None:
        """Nothing."""

    def replacing(self, rows: Rows) -> AbstractContextManager[None]:
        """Nothing."""
        del rows
        return nullcontext()

    def secret_used(self, row: models.Model, how: str) -> None:
        """Nothing."""


class _Held:
    witness: Witness = Nobody()


def call(witness: Witness) -> None:
    """Tell this one from now on."""
    _Held.witness = witness


def told() -> Witness:
    """Who is told."""
    return _Held.witness

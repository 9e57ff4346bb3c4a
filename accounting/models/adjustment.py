"""Corrections of the ledger: further rows, never edits."""

from typing import Any, Never

from django.db import models

from accounting.errors import LedgerImmutable
from accounting.models.money import UsdField


class AdjustmentQuerySet(models.QuerySet["Adjustment"]):
    """Reads only, but for what is added."""

    def update(self, **_kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable("Adjustments cannot be changed.")

    def delete(self) -> Never:
        """Refused."""
        raise LedgerImmutable("Adjustments cannot be deleted.")


class Adjustment(models.Model):
    """What one usage record costs more or less than was booked, and why. Counts on the record's own day."""

    record_id = models.CharField("usage record", max_length=40, db_index=True)
    record_started_at = models.DateTimeField(help_text="When the record's attempt began (UTC).")
    team = models.CharField(max_length=64)
    project = models.CharField(max_length=64, blank=True)
    key_id = models.PositiveBigIntegerField("key number")
    amount_usd = UsdField(
        "amount (USD)", help_text="Added to what was booked so far; may be less than 0."
    )
    price_id = models.PositiveBigIntegerField("price number", null=True)
    reason = models.CharField(max_length=200)
    run = models.CharField(
        max_length=36, db_index=True, help_text="Of which re-costing it is part."
    )
    by = models.CharField(max_length=150, blank=True, help_text="Who had it booked.")
    at = models.DateTimeField(help_text="When it was booked (UTC).")

    objects = AdjustmentQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["record_started_at"], name="adjustment_by_record_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["record_id", "run"], name="adjustment_is_unique_per_record_and_run"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.record_id}: {self.amount_usd:f} USD"

    def delete(self, *_args: Any, **_kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable("Adjustments cannot be deleted.")

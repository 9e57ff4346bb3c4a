"""Where usage records of past months lie, once they were taken out of the ledger."""

from django.db import models

from accounting.models.money import UsdField


class UsageArchive(models.Model):
    """One file with usage records of one month (UTC): written by accounting/archive.py, and by nobody else."""

    class Format(models.TextChoices):
        CSV = "csv", "CSV, compressed by gzip"
        PARQUET = "parquet", "Parquet"

    month_on = models.DateField("month", help_text="First day of the month (UTC).")
    part = models.PositiveSmallIntegerField(
        help_text="1 for the month's first file; more where records came late."
    )
    format = models.CharField(max_length=8, choices=Format)
    path = models.CharField(max_length=500, help_text="Where the file was written to.")
    records = models.PositiveBigIntegerField(help_text="How many records it holds.")
    prompt_tokens = models.PositiveBigIntegerField(help_text="Their sum.")
    completion_tokens = models.PositiveBigIntegerField(help_text="Their sum.")
    cost_usd = UsdField("cost (USD)", help_text="Their sum, without adjustments.")
    digest = models.CharField(
        max_length=64, help_text="SHA-256 over all values of all records, whatever the format."
    )
    file_bytes = models.PositiveBigIntegerField("file size (bytes)")
    written_at = models.DateTimeField(help_text="When the file was written and read back (UTC).")
    deleted_at = models.DateTimeField(
        null=True,
        help_text="When the last of its records was deleted from the ledger (UTC). Empty: they are still there, or some of them.",
    )
    by = models.CharField(max_length=150, help_text="Who archived.")

    class Meta:
        ordering = ["-month_on", "part"]
        verbose_name = "usage archive"
        constraints = [
            models.UniqueConstraint(
                fields=["month_on", "part"], name="usage_archive_is_unique_per_month_and_part"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.month_on:%Y-%m}, part {self.part}"

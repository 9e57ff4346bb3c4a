"""Daily and hourly sums over the ledger: what report pages and the dashboard read instead of a million rows.

Kept by the ledger in the transaction that writes the rows (accounting/rollups.py), and by nobody else.
"""

from django.db import models

from accounting.models.money import UsdField


def _count(help_text: str = "") -> "models.BigIntegerField[int, int]":
    return models.BigIntegerField(default=0, help_text=help_text)


class DailyUsage(models.Model):
    """Sums over all usage records of one UTC day that are alike in every word below."""

    id = models.CharField(
        max_length=32, primary_key=True, help_text="The day, then a digest of it and the words."
    )
    on = models.DateField(help_text="The day (UTC) on which the attempts began.")
    team = models.CharField(max_length=64)
    project = models.CharField(max_length=64, blank=True)
    key_id = models.PositiveBigIntegerField("key number")
    key_name = models.CharField("key", max_length=64)
    member = models.CharField(max_length=150, blank=True)
    end_user = models.CharField(max_length=128, blank=True)
    session = models.CharField(max_length=128, blank=True)
    agent = models.CharField(max_length=128, blank=True)
    tags = models.CharField(max_length=700, blank=True)
    alias = models.CharField(max_length=200)
    provider = models.CharField(max_length=64)
    provider_kind = models.CharField(max_length=32, blank=True)
    upstream_model = models.CharField(max_length=200)
    attempts = _count("All attempts.")
    requests = _count("First attempts: as many as there were requests.")
    succeeded = _count()
    failed = _count()
    client_closed = _count()
    interrupted = _count()
    fallbacks = _count("Attempts that were not the first of their request.")
    unpriced = _count("Attempts that did not fail, without a cost, also by no adjustment.")
    prompt_tokens = _count()
    completion_tokens = _count()
    cache_read_tokens = _count()
    cache_write_tokens = _count()
    reasoning_tokens = _count()
    cost_usd = UsdField("cost (USD)", default=0)
    adjusted_usd = UsdField("adjustments (USD)", default=0)
    cache_saved_usd = UsdField("saved by caches (USD)", default=0)
    ttft_ms_sum = _count("Milliseconds.")
    ttft_count = _count()
    duration_ms_sum = _count("Milliseconds.")
    duration_count = _count()

    class Meta:
        ordering = ["-on"]
        verbose_name = "daily usage"
        verbose_name_plural = "daily usage"
        indexes = [
            models.Index(fields=["on"], name="daily_usage_by_day"),
            models.Index(fields=["team", "on"], name="daily_usage_by_team_and_day"),
        ]

    def __str__(self) -> str:
        return f"{self.on} {self.team}"


class DailyLatency(models.Model):
    """How many attempts of one UTC day fell into one bucket of TTFT or duration."""

    class Measure(models.TextChoices):
        TTFT = "ttft", "TTFT"
        DURATION = "duration", "duration"

    id = models.CharField(
        max_length=32,
        primary_key=True,
        help_text="The day, then a digest of it, the words and the bucket.",
    )
    on = models.DateField(help_text="The day (UTC) on which the attempts began.")
    team = models.CharField(max_length=64)
    provider = models.CharField(max_length=64)
    provider_kind = models.CharField(max_length=32, blank=True)
    upstream_model = models.CharField(max_length=200)
    measure = models.CharField(max_length=8, choices=Measure)
    bucket = models.PositiveSmallIntegerField(
        help_text="Number of the bucket; accounting/rollups.py has its bounds."
    )
    count = _count()

    class Meta:
        ordering = ["-on"]
        verbose_name = "daily latency"
        verbose_name_plural = "daily latencies"
        indexes = [
            # Holds all that percentiles are made of, in the order they are read in: SQLite neither sorts nor looks up rows.
            models.Index(
                fields=[
                    "on",
                    "measure",
                    "provider_kind",
                    "provider",
                    "upstream_model",
                    "bucket",
                    "team",
                    "count",
                ],
                name="daily_latency_by_place",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.on} {self.measure}"


class HourlyUsage(models.Model):
    """Sums over all usage records of one hour (UTC) that were of one provider and ended with one error, or with none."""

    id = models.CharField(
        max_length=32,
        primary_key=True,
        help_text="The day, then a digest of the hour and the words.",
    )
    on = models.DateField(help_text="The day (UTC) on which the attempts began.")
    hour = models.PositiveSmallIntegerField(
        help_text="The hour of that day in which they began: 0 to 23."
    )
    provider = models.CharField(max_length=64)
    error = models.CharField(max_length=64, blank=True)
    attempts = _count("All attempts.")
    requests = _count("First attempts: as many as there were requests.")
    failed = _count()
    prompt_tokens = _count()
    completion_tokens = _count()
    cost_usd = UsdField("cost (USD)", default=0)
    adjusted_usd = UsdField("adjustments (USD)", default=0)

    class Meta:
        ordering = ["-on", "-hour"]
        verbose_name = "hourly usage"
        verbose_name_plural = "hourly usage"
        indexes = [models.Index(fields=["on", "hour"], name="hourly_usage_by_hour")]

    def __str__(self) -> str:
        return f"{self.on} {self.hour}:00 {self.provider}"


class HourlyTtft(models.Model):
    """How many attempts of one hour (UTC), of all providers together, fell into one bucket of TTFT."""

    id = models.CharField(
        max_length=32,
        primary_key=True,
        help_text="The day, then a digest of the hour and the bucket.",
    )
    on = models.DateField(help_text="The day (UTC) on which the attempts began.")
    hour = models.PositiveSmallIntegerField(
        help_text="The hour of that day in which they began: 0 to 23."
    )
    bucket = models.PositiveSmallIntegerField(
        help_text="Number of the bucket; accounting/rollups.py has its bounds."
    )
    count = _count()

    class Meta:
        ordering = ["-on", "-hour"]
        verbose_name = "hourly TTFT"
        verbose_name_plural = "hourly TTFT"
        indexes = [
            # Holds all that is read of it.
            models.Index(fields=["on", "hour", "bucket", "count"], name="hourly_ttft_by_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.on} {self.hour}:00"

"""The ledger: one immutable row for each attempt that reached out to a provider."""

from typing import Any, Never

from django.db import models

from accounting.errors import LedgerImmutable
from accounting.models.money import UsdField


class UsageQuerySet(models.QuerySet["UsageRecord"]):
    """Reads only: ledger rows have no update and no delete path."""

    def update(self, **_kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable("Usage records cannot be changed.")

    def delete(self) -> Never:
        """Refused."""
        raise LedgerImmutable("Usage records cannot be deleted.")


class UsageRecord(models.Model):
    """What one attempt used and cost, in the plain words that were true that day."""

    class Status(models.TextChoices):
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        CLIENT_CLOSED = "client_closed", "client closed"
        INTERRUPTED = "interrupted", "interrupted"

    class CostSource(models.TextChoices):
        PROVIDER = "provider", "provider's own figure"
        PRICE_BOOK = "price_book", "price book"
        UNPRICED = "unpriced", "unpriced"

    id = models.CharField(
        max_length=40, primary_key=True, help_text="Request id and attempt number."
    )
    request_id = models.CharField(max_length=36, db_index=True, help_text="As sent to the client.")
    attempt = models.PositiveSmallIntegerField(help_text="1 for the request's first attempt.")
    started_at = models.DateTimeField(help_text="When the attempt was begun (UTC).")
    duration_ms = models.PositiveIntegerField(
        "duration (ms)", null=True, help_text="From the attempt's begin to its end. Milliseconds."
    )
    ttft_ms = models.PositiveIntegerField(
        "TTFT (ms)",
        null=True,
        help_text="Request accepted to first content byte sent. Milliseconds.",
    )
    team = models.CharField(max_length=64)
    project = models.CharField(max_length=64, blank=True)
    key_id = models.PositiveBigIntegerField("key number")
    key_name = models.CharField("key", max_length=64)
    member = models.CharField(
        max_length=150, blank=True, help_text="Whose key it was, if a person's."
    )
    end_user = models.CharField(
        "developer",
        max_length=128,
        blank=True,
        help_text="The person behind the request as the client names it (metadata.user_id, user), e-mail addresses as a digest.",
    )
    tags = models.CharField(
        max_length=700,
        blank=True,
        help_text="From x-llmgateway-tags: in order, each followed and the first preceded by a comma.",
    )
    agent = models.CharField(
        max_length=128, blank=True, help_text="The client's own id of its agent, if it sends one."
    )
    session = models.CharField(
        max_length=128, blank=True, help_text="The client's own id of its session, if it sends one."
    )
    alias = models.CharField(max_length=200, help_text="The model name the client asked for.")
    provider = models.CharField(max_length=64)
    provider_kind = models.CharField(
        max_length=32,
        blank=True,
        help_text="Which sort of provider it was: the path the request took.",
    )
    after_error = models.CharField(
        max_length=64,
        blank=True,
        help_text="Why the attempt before this one failed, as the name of our error. Empty for a first attempt.",
    )
    upstream_model = models.CharField(max_length=200, help_text="The model the gateway asked for.")
    answered_model = models.CharField(
        max_length=200, blank=True, help_text="The model that says it answered."
    )
    upstream_id = models.CharField(
        max_length=128, blank=True, help_text="The provider's id of the answer."
    )
    client_dialect = models.CharField(max_length=32)
    upstream_dialect = models.CharField(max_length=32)
    streamed = models.BooleanField()
    status = models.CharField(max_length=16, choices=Status)
    upstream_status = models.PositiveSmallIntegerField(
        null=True, help_text="HTTP status of the provider's answer."
    )
    error = models.CharField(
        max_length=64, blank=True, help_text="What happened, as the name of our error."
    )
    error_message = models.CharField(max_length=500, blank=True)
    finish_reason = models.CharField(max_length=16, blank=True)
    prompt_tokens = models.PositiveIntegerField(
        null=True, help_text="Including cache reads and writes."
    )
    completion_tokens = models.PositiveIntegerField(null=True, help_text="Including reasoning.")
    cache_read_tokens = models.PositiveIntegerField(null=True)
    cache_write_tokens = models.PositiveIntegerField(null=True)
    cache_write_1h_tokens = models.PositiveIntegerField(null=True)
    reasoning_tokens = models.PositiveIntegerField(null=True)
    prompt_images = models.PositiveIntegerField(null=True, help_text="Images in the prompt.")
    tokens_estimated = models.BooleanField(
        default=False, help_text="The provider did not tell; counted from the text."
    )
    cost_usd = UsdField("cost (USD)", null=True, help_text="Empty: unpriced.")
    cache_saved_usd = UsdField(
        "saved by caches (USD)",
        null=True,
        help_text="What the prompt would have cost more without caches, by the price book. Less than 0: writes cost more than reads saved.",
    )
    cost_source = models.CharField(max_length=16, choices=CostSource)
    price_id = models.PositiveBigIntegerField("price number", null=True)
    request_bytes = models.PositiveIntegerField(help_text="Size of the body sent to the provider.")
    answer_bytes = models.PositiveIntegerField(
        default=0, help_text="Size of the answer sent to the client."
    )
    notes = models.JSONField(
        default=list, blank=True, help_text="What conversion mapped or left out."
    )

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["started_at"], name="usage_by_time"),
            models.Index(fields=["team", "started_at"], name="usage_by_team_and_time"),
            models.Index(fields=["key_id", "started_at"], name="usage_by_key_and_time"),
            models.Index(
                fields=["session", "started_at"],
                name="usage_by_session_and_time",
                condition=~models.Q(session=""),
            ),
        ]

    def __str__(self) -> str:
        return self.id

    def save(self, *_args: Any, **_kwargs: Any) -> Never:
        """Refused: only the ledger writes, and it only adds."""
        raise LedgerImmutable("Usage records are written by the ledger only.")

    def delete(self, *_args: Any, **_kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable("Usage records cannot be deleted.")

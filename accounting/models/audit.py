"""Who changed what: rows that are only added, each sealed by the digest of the one before."""

from typing import Any, Never

from django.db import models

from accounting.errors import LedgerImmutable


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Reads only, but for what is added."""

    def update(self, **_kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable("Audit entries cannot be changed.")

    def delete(self) -> Never:
        """Refused."""
        raise LedgerImmutable("Audit entries cannot be deleted.")


class AuditEntry(models.Model):
    """One change, or one use of a secret: by whom, when, from where, what before and after (secrets masked)."""

    number = models.PositiveBigIntegerField(
        primary_key=True, help_text="1 for the first entry; no number is left out."
    )
    at = models.DateTimeField(help_text="When (UTC).")
    actor = models.CharField(max_length=150, help_text="User name, or the command that did it.")
    actor_id = models.PositiveBigIntegerField("user number", null=True)
    address = models.CharField(
        max_length=64,
        blank=True,
        help_text="Network address of the person's browser or client; of a command the account and the machine.",
    )
    via = models.CharField(
        max_length=64, help_text="By which way: admin, api, page, command or gateway."
    )
    action = models.CharField(
        max_length=32, help_text="Such as create, change, delete, use, sign in or refused."
    )
    kind = models.CharField(
        "what", max_length=64, help_text="What sort of object, such as accounting.virtualkey."
    )
    object_id = models.CharField("number", max_length=64, blank=True)
    name = models.CharField(max_length=250, blank=True, help_text="The object as one read it then.")
    team = models.CharField(
        max_length=64, blank=True, help_text="Whose object it was, if a team's."
    )
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    previous_digest = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["at"], name="audit_by_time"),
            models.Index(fields=["kind", "object_id"], name="audit_by_object"),
            models.Index(fields=["team", "number"], name="audit_by_team"),
            models.Index(fields=["actor", "number"], name="audit_by_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.actor} {self.action} {self.kind} {self.name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Only what is new is saved."""
        if not self._state.adding:
            raise LedgerImmutable("Audit entries cannot be changed.")
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable("Audit entries cannot be deleted.")


class AuditCheck(models.Model):
    """A single row: what the last verification of the audit trail found, and the newest entry of the last sound one."""

    checked_at = models.DateTimeField(help_text="When it was verified (UTC).")
    entries = models.PositiveBigIntegerField(default=0, help_text="How many there were.")
    problem = models.CharField(
        max_length=500, blank=True, help_text="What was wrong; empty when nothing was."
    )
    number = models.PositiveBigIntegerField(
        default=0, help_text="The newest entry when the trail was last sound; 0: none."
    )
    digest = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="audit_check_is_one_row", condition=models.Q(pk=1)),
        ]

    def __str__(self) -> str:
        return self.problem or f"sound up to entry {self.number}"

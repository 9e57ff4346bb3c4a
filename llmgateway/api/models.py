"""What the management API keeps: people's tokens, and answers to requests that may be sent twice."""

from django.conf import settings
from django.db import models


class ApiToken(models.Model):
    """A person's secret for programs: only its SHA-256 is kept. It may never do more than the person may."""

    class Scope(models.TextChoices):
        READ = "read", "read: looks, changes nothing"
        WRITE = "write", "write: also adds, changes and deletes"
        ADMIN = "admin", "admin: also tokens, secrets of providers, whole configurations"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="api_tokens",
        help_text="Whose token it is: it may do what this person may, within its scope.",
    )
    name = models.CharField(
        max_length=64, help_text="What tells this token from the person's others, such as ci."
    )
    scope = models.CharField(max_length=8, choices=Scope, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Refused from this moment on (UTC). Empty: never expires."
    )
    revoked_at = models.DateTimeField(
        null=True, editable=False, help_text="Refused for good since that moment (UTC)."
    )
    last_used_at = models.DateTimeField(
        null=True, editable=False, help_text="When it was last used, to the minute (UTC)."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["user__username", "name"]
        verbose_name = "API token"
        verbose_name_plural = "API tokens"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"],
                name="api_token_name_is_unique_per_user",
                violation_error_message="This person has a token with that name already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user.get_username()}/{self.name}"

    @property
    def shown(self) -> str:
        """What may be shown of the token: its first and last characters."""
        return f"{self.prefix}…{self.last_four}"


class KeptAnswer(models.Model):
    """The answer to a request that named an Idempotency-Key, for a day; without the secret, if there was one."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="kept_answers"
    )
    key = models.CharField(max_length=255, help_text="As the header said.")
    request_digest = models.CharField(
        max_length=64, help_text="SHA-256 over method, path and body of the request."
    )
    status = models.PositiveSmallIntegerField(default=0)
    body = models.JSONField(default=dict)
    location = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(help_text="When the request came (UTC).")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "key"], name="kept_answer_is_unique_per_user_and_key"
            ),
        ]
        indexes = [models.Index(fields=["at"], name="kept_answer_by_time")]

    def __str__(self) -> str:
        return self.key

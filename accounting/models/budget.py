"""How much may be spent, by whom, in which window, and who is told on the way there."""

from collections.abc import Collection
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.db.models import Q

from accounting.models.money import USD_MAX, UsdField, plain_usd
from accounting.models.team import Project, Team
from accounting.models.virtual_key import VirtualKey

THRESHOLD_MAX = 1000
WEBHOOK_SCHEMES = ("https://", "http://")


def default_thresholds() -> list[int]:
    """When people are told, in percent."""
    return [80, 100]


def validate_thresholds(value: object) -> None:
    """Accept a list of whole percentages."""
    if not isinstance(value, list) or not all(
        isinstance(item, int) and not isinstance(item, bool) and 0 < item <= THRESHOLD_MAX
        for item in value
    ):
        raise ValidationError("Enter a list of whole percentages, such as [50, 80, 100].")


def validate_emails(value: object) -> None:
    """Accept a list of e-mail addresses."""
    if not isinstance(value, list):
        raise ValidationError('Enter a list of addresses, such as ["lead@example.com"].')
    for address in value:
        try:
            validate_email(address)
        except ValidationError as error:
            # With Django's code "invalid", the column would say that this is no JSON.
            raise ValidationError(f"{address!r} is no e-mail address.") from error


def validate_time_zone(value: str) -> None:
    """Accept a name of the time zone database."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationError("Enter a time zone's name, such as Europe/Berlin or UTC.") from error


def validate_webhook(url: str) -> None:
    """Refuse an address that the gateway does not call (GATEWAY_OUTBOUND_ALLOW); an empty one is none."""
    refusal = url and settings.OUTBOUND.refusal_of_url(url)
    if refusal:
        raise ValidationError(
            f"This address is not called: it is {refusal}. See GATEWAY_OUTBOUND_ALLOW."
        )


class Budget(models.Model):
    """An amount that a team, a project or a key may spend in each window."""

    class Window(models.TextChoices):
        DAY = "day", "day"
        WEEK = "week", "week"
        MONTH = "month", "month"
        TOTAL = "total", "total"

    team = models.ForeignKey(
        Team, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    key = models.ForeignKey(
        VirtualKey,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="budgets",
        verbose_name="API key",
    )
    amount_usd = UsdField("amount (USD)", help_text="What may be spent in one window. USD.")
    window = models.CharField(
        max_length=8,
        choices=Window,
        default=Window.MONTH,
        help_text="Weeks begin on Monday; total never begins anew.",
    )
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[validate_time_zone],
        help_text="Where days, weeks and months begin at midnight, such as Europe/Berlin.",
    )
    hard = models.BooleanField(
        default=True,
        help_text="On: a request that could exceed the amount is refused. Off: people are told, nothing is refused.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: as if it were not there.")
    alert_thresholds = models.JSONField(
        default=default_thresholds,
        blank=True,
        validators=[validate_thresholds],
        help_text="Percent of the amount at which people are told, each once in a window, as a list.",
    )
    alert_emails = models.JSONField(
        "alert e-mails",
        default=list,
        blank=True,
        validators=[validate_emails],
        help_text="Who is told, as a list of addresses. Empty: the team's leads.",
    )
    alert_webhook_url = models.URLField(
        "alert webhook",
        max_length=500,
        blank=True,
        help_text="Told by a POST of JSON, beside the e-mails. Empty: none.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(team__isnull=False, project__isnull=True, key__isnull=True)
                    | Q(team__isnull=True, project__isnull=False, key__isnull=True)
                    | Q(team__isnull=True, project__isnull=True, key__isnull=False)
                ),
                name="budget_is_for_one_of_team_project_key",
                violation_error_message="A budget is for a team, or a project, or an API key: choose exactly one.",
            ),
            *(
                models.UniqueConstraint(
                    fields=[holder, "window"],
                    condition=Q(**{f"{holder}__isnull": False}),
                    name=f"budget_is_unique_per_{holder}_and_window",
                    violation_error_message=f"This {holder} has a budget for that window already.",
                )
                for holder in ("team", "project", "key")
            ),
        ]

    def __str__(self) -> str:
        every = "in total" if self.window == self.Window.TOTAL else f"a {self.window}"
        return f"{self.holder_name}: {plain_usd(self.amount_usd or Decimal(0))} USD {every}"

    @property
    def holder_name(self) -> str:
        """Whose it is, as one reads it."""
        return str(self.team.slug if self.team else self.project or self.key)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Refuse a webhook that would not be called; not in ``clean``, which forms without that field ask, too."""
        super().clean_fields(exclude=exclude)
        if "alert_webhook_url" not in (exclude or ()):
            try:
                validate_webhook(self.alert_webhook_url)
            except ValidationError as error:
                raise ValidationError({"alert_webhook_url": error}) from error

    def clean(self) -> None:
        """Refuse amounts that allow nothing, or that no column holds; put thresholds in order."""
        if self.amount_usd is not None and not Decimal(0) < self.amount_usd <= USD_MAX:
            raise ValidationError({"amount_usd": f"Enter more than 0 and at most {USD_MAX} USD."})
        if self.alert_webhook_url and not self.alert_webhook_url.startswith(WEBHOOK_SCHEMES):
            raise ValidationError(
                {"alert_webhook_url": "Enter an address that begins with https:// or http://."}
            )
        self.alert_thresholds = sorted(set(self.alert_thresholds or []))
        self.alert_emails = self.alert_emails or []


class BudgetAlert(models.Model):
    """That people were told of a threshold in a window: made before the telling, so that it happens once."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="alerts")
    window_began_at = models.DateTimeField(help_text="Begin of the window (UTC).")
    threshold = models.PositiveSmallIntegerField(help_text="Percent of the amount.")
    spent_usd = UsdField("spent (USD)", help_text="What was spent when the threshold was passed.")
    amount_usd = UsdField("amount (USD)", help_text="The budget's amount then.")
    at = models.DateTimeField(help_text="When the threshold was seen passed (UTC).")
    sent_at = models.DateTimeField(
        null=True, help_text="When all who are to be told were (UTC). Empty: not yet, or it failed."
    )
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How often it was tried.")
    told = models.JSONField(default=list, help_text="Whom the alert has reached.")
    error = models.CharField(max_length=500, blank=True, help_text="Why the last try failed.")

    class Meta:
        ordering = ["-at"]
        verbose_name = "budget alert"
        constraints = [
            models.UniqueConstraint(
                fields=["budget", "window_began_at", "threshold"],
                name="budget_alert_is_sent_once",
            ),
        ]
        indexes = [models.Index(fields=["window_began_at"], name="budget_alert_by_window")]

    def __str__(self) -> str:
        return f"{self.threshold} % of {self.budget}"

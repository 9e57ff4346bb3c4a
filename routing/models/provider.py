"""Someone the gateway calls, and the secrets it calls them with."""

from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, URLValidator
from django.db import models

from conversion.dialects import Dialect
from routing import providers, secrets

RETRY_STATUSES = [408, 429, 500, 502, 503, 504, 529]
SECONDS_MIN = Decimal("0.001")
WHO_IS_SENT_SECRETS = ("kind", "base_url", "verify_tls", "ca_bundle_pem")
"""The fields of a provider that decide whom its credentials are sent to: who may not change these may not lead them away."""


def kind_choices() -> list[tuple[str, str]]:
    """The provider kinds as choices, in the order in which they are listed."""
    return [(kind.name, kind.label) for kind in providers.KINDS.values()]


def default_retry_statuses() -> list[int]:
    """The statuses that are worth another try at the same provider."""
    return list(RETRY_STATUSES)


def validate_base_url(value: str) -> None:
    """Accept http and https addresses, also of hosts without a dot; nothing with a user or a fragment."""
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in {"http", "https"} or not rest.split("/")[0]:
        raise ValidationError("Enter an address such as https://openrouter.ai/api/v1.")
    if "@" in rest.split("/")[0] or "#" in rest or "?" in rest:
        raise ValidationError(
            "The address may hold no user, query or fragment: secrets belong into a credential."
        )
    if "." in rest.split("/")[0].split(":")[0]:
        URLValidator(schemes=["http", "https"])(value)
    refusal = settings.OUTBOUND.refusal_of_url(value)
    if refusal:
        raise ValidationError(
            f"This address is not called: it is {refusal}. See GATEWAY_OUTBOUND_ALLOW."
        )


def validate_statuses(value: object) -> None:
    """Accept a list of HTTP error statuses."""
    if not isinstance(value, list) or not all(
        isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599
        for status in value
    ):
        raise ValidationError("Enter a list of HTTP error statuses, such as [429, 503].")


def problem_with_secret(secret: str, *, is_new: bool) -> str:
    """Why this cannot be a credential's secret; nothing where it can. Only a new credential must be given one."""
    if not secret and is_new:
        return "A new credential needs its secret."
    if any(ord(char) <= 32 or ord(char) > 126 for char in secret):
        return "A secret is one word of visible ASCII characters; it goes into a header."
    return ""


def _seconds(name: str, help_text: str, default: str) -> "models.DecimalField[Decimal, Decimal]":
    return models.DecimalField(
        f"{name} (s)",
        max_digits=9,
        decimal_places=3,
        default=Decimal(default),
        validators=[MinValueValidator(SECONDS_MIN)],
        help_text=help_text,
    )


class CredentialMode(models.TextChoices):
    """Whose credential a provider is called with."""

    MANAGED = "managed", "the gateway's"
    PASS_THROUGH = "pass_through", "the client's own, passed through"


class Provider(models.Model):
    """Someone the gateway calls: OpenRouter, a server of one's own, or the demo."""

    slug = models.SlugField(
        max_length=64,
        unique=True,
        help_text="Short name used in routes, usage records and configuration files, such as openrouter.",
    )
    kind = models.CharField(
        max_length=32,
        choices=kind_choices,
        help_text="Which sort of provider this is: it decides how requests are written and answers are read.",
    )
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[validate_base_url],
        help_text="Address up to and including the version, such as https://openrouter.ai/api/v1. Empty: the kind's own.",
    )
    dialect = models.CharField(
        max_length=32,
        blank=True,
        choices=[
            (Dialect.OPENAI_CHAT.value, "OpenAI chat completions"),
            (Dialect.ANTHROPIC_MESSAGES.value, "Anthropic Messages"),
        ],
        help_text="What is spoken to this provider, where its kind speaks both. Empty: the kind's own choice.",
    )
    enabled = models.BooleanField(
        default=True, help_text="Off: no request is sent here, and routes skip its targets."
    )
    connect_timeout_s = _seconds("connect timeout", "Seconds until a connection must stand.", "5")
    first_byte_timeout_s = _seconds(
        "first byte timeout",
        "Seconds from sending a request until the first byte of the answer.",
        "120",
    )
    idle_timeout_s = _seconds(
        "idle timeout", "Seconds of silence allowed between two pieces of an answer.", "60"
    )
    total_timeout_s = _seconds(
        "total timeout", "Seconds that one attempt may take altogether.", "600"
    )
    verify_tls = models.BooleanField(
        "verify TLS",
        default=True,
        help_text="Off: the server's certificate is not checked. Only for tests in a closed network.",
    )
    ca_bundle_pem = models.TextField(
        "CA bundle",
        blank=True,
        help_text="Certificates (PEM) that the server's own is checked against. Empty: those of the system.",
    )
    retries_max = models.PositiveSmallIntegerField(
        default=2,
        validators=[MaxValueValidator(10)],
        help_text="How often a failed attempt is repeated here before the next target is tried. 0: never.",
    )
    backoff_s = _seconds(
        "backoff", "Seconds before the first repeat; doubled for each further one.", "0.25"
    )
    backoff_max_s = _seconds(
        "longest backoff", "The longest wait before a repeat, in seconds.", "8"
    )
    retry_statuses = models.JSONField(
        default=default_retry_statuses,
        blank=True,
        validators=[validate_statuses],
        help_text="HTTP statuses after which an attempt is repeated, as a list. Empty list: after none.",
    )
    retry_network_errors = models.BooleanField(
        default=True,
        help_text="Repeat after a refused or broken connection, as long as nothing has reached the client.",
    )
    credential_mode = models.CharField(
        max_length=12,
        choices=CredentialMode,
        default=CredentialMode.MANAGED,
        help_text="Pass-through: the client's own Authorization or x-api-key goes to the provider untouched, and the "
        "gateway's key comes as x-llmgateway-key.",
    )
    concurrent_max = models.PositiveIntegerField(
        "concurrent requests",
        default=0,
        help_text="The most requests that one process has under way here; further ones wait. 0: no limit.",
    )
    queue_max = models.PositiveIntegerField(
        "waiting requests",
        default=100,
        help_text="The most requests that may wait for their turn; further ones go to the next target at once.",
    )
    queue_wait_s = _seconds(
        "longest wait for a turn",
        "Seconds after which a waiting request goes to the next target.",
        "10",
    )
    cooldown_after = models.PositiveSmallIntegerField(
        "cooldown after failures",
        default=5,
        help_text="After so many failures in a row a deployment is skipped for a while. 0: never.",
    )
    cooldown_s = _seconds(
        "cooldown",
        "Seconds that a deployment is skipped the first time; doubled for each further one.",
        "5",
    )
    cooldown_max_s = _seconds(
        "longest cooldown", "The longest time that a deployment is skipped, in seconds.", "300"
    )
    check_every_s = models.PositiveIntegerField(
        "check every (s)",
        default=300,
        help_text="Seconds between two looks at whether the provider answers, takes its credential and has credit. 0: never.",
    )
    check_model = models.CharField(
        max_length=200,
        blank=True,
        help_text="A model that must be in the provider's list. Empty: the list is not asked for.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                name="provider_timeouts_are_positive",
                condition=models.Q(
                    connect_timeout_s__gt=0,
                    first_byte_timeout_s__gt=0,
                    idle_timeout_s__gt=0,
                    total_timeout_s__gt=0,
                ),
                violation_error_message="Each timeout must be longer than 0 seconds.",
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """Ask for an address where the kind has none of its own; read an emptied list as one."""
        self.retry_statuses = self.retry_statuses or []
        kind = providers.KINDS.get(self.kind)
        if kind and not self.base_url and not kind.base_url and kind.calls_out:
            raise ValidationError({"base_url": f"{kind.label} needs an address."})
        if kind and self.dialect and self.dialect not in kind.conversation_dialects:
            raise ValidationError({"dialect": f"{kind.label} does not speak this dialect."})


class Credential(models.Model):
    """A provider's secret, held by the gateway: sealed at rest, never shown again."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="credentials")
    label = models.CharField(
        max_length=64, help_text="What tells this secret from the provider's others, such as main."
    )
    sealed_secret = models.TextField(editable=False)
    last_four = models.CharField(max_length=4, editable=False, blank=True)
    weight = models.PositiveSmallIntegerField(
        default=1,
        help_text="Share of requests, beside the provider's other credentials. 0: only when no other is left.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: not used for any request.")
    created_at = models.DateTimeField(auto_now_add=True)
    sealed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["provider__slug", "label"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "label"],
                name="credential_label_is_unique_per_provider",
                violation_error_message="This provider has a credential with that label already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.label}"

    def seal(self, secret: str) -> None:
        """Take a new secret; the row is not saved yet."""
        sealed = secrets.seal(secret)
        self.sealed_secret = sealed.token
        self.last_four = sealed.last_four
        self.sealed_at = sealed.sealed_at

"""The price book: what tokens cost, over which period, and who says so."""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models


def _usd_per_mtok(help_text: str, *, null: bool = True) -> "models.DecimalField[Decimal, Decimal]":
    return models.DecimalField(
        max_digits=14,
        decimal_places=8,
        null=null,
        blank=null,
        validators=[MinValueValidator(Decimal(0))],
        help_text=help_text,
    )


class Price(models.Model):
    """USD per million tokens of one provider's model, from a moment on until a later row replaces it."""

    provider = models.SlugField(max_length=64, help_text="The provider's short name.")
    upstream_model = models.CharField(max_length=200, help_text="The model's name at the provider.")
    prompt_usd_per_mtok = _usd_per_mtok("USD per million prompt tokens.", null=False)
    completion_usd_per_mtok = _usd_per_mtok("USD per million completion tokens.", null=False)
    cache_read_usd_per_mtok = _usd_per_mtok(
        "USD per million tokens read from a cache. Empty: as prompt."
    )
    cache_write_5m_usd_per_mtok = _usd_per_mtok(
        "USD per million tokens written to a cache for 5 minutes. Empty: as prompt."
    )
    cache_write_1h_usd_per_mtok = _usd_per_mtok(
        "USD per million tokens written to a cache for 1 hour. Empty: as for 5 minutes."
    )
    reasoning_usd_per_mtok = _usd_per_mtok(
        "USD per million reasoning tokens. Empty: as completion."
    )
    request_usd = models.DecimalField(
        max_digits=14,
        decimal_places=8,
        default=Decimal(0),
        help_text="USD per request, beside its tokens.",
    )
    image_usd = models.DecimalField(
        max_digits=14,
        decimal_places=8,
        default=Decimal(0),
        validators=[MinValueValidator(Decimal(0))],
        help_text="USD per image in the prompt, beside its tokens.",
    )
    valid_from_at = models.DateTimeField(
        "valid from", help_text="In force from this moment on (UTC)."
    )
    source = models.CharField(max_length=64, help_text="Who says so, such as openrouter or manual.")

    class Meta:
        ordering = ["provider", "upstream_model", "-valid_from_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "upstream_model", "valid_from_at"],
                name="price_is_unique_per_moment",
                violation_error_message="There is a price for this model from that moment already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.upstream_model} from {self.valid_from_at:%Y-%m-%d}"


class PriceTier(models.Model):
    """What all tokens of a request cost instead, once its prompt is longer than so many tokens."""

    price = models.ForeignKey(Price, on_delete=models.CASCADE, related_name="tiers")
    prompt_tokens_above = models.PositiveIntegerField(
        help_text="In force for requests whose prompt has more tokens than this, cache reads and writes included."
    )
    prompt_usd_per_mtok = _usd_per_mtok("USD per million prompt tokens.", null=False)
    completion_usd_per_mtok = _usd_per_mtok("USD per million completion tokens.", null=False)
    cache_read_usd_per_mtok = _usd_per_mtok(
        "USD per million tokens read from a cache. Empty: as prompt."
    )
    cache_write_5m_usd_per_mtok = _usd_per_mtok(
        "USD per million tokens written to a cache for 5 minutes. Empty: as prompt."
    )
    cache_write_1h_usd_per_mtok = _usd_per_mtok(
        "USD per million tokens written to a cache for 1 hour. Empty: as for 5 minutes."
    )
    reasoning_usd_per_mtok = _usd_per_mtok(
        "USD per million reasoning tokens. Empty: as completion."
    )

    class Meta:
        ordering = ["price", "prompt_tokens_above"]
        verbose_name = "price tier"
        constraints = [
            models.UniqueConstraint(
                fields=["price", "prompt_tokens_above"],
                name="price_tier_is_unique_per_length",
                violation_error_message="This price has a tier from that length already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price}, above {self.prompt_tokens_above} tokens"

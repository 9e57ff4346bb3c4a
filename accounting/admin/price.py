"""The price book."""

from django.contrib import admin
from unfold.decorators import display

from accounting.admin.page import AccountingAdmin
from accounting.models import Price
from accounting.templatetags.amounts import usd


@admin.register(Price)
class PriceAdmin(AccountingAdmin):
    """What tokens cost where the provider does not say so itself."""

    empty_help = "A price is used where a provider does not name the cost itself (OpenRouter does). Without one, usage is unpriced."
    list_display = (
        "upstream_model",
        "provider",
        "prompt",
        "completion",
        "cache_read",
        "valid_from_at",
        "source",
    )
    list_filter = ("provider", "source")
    search_fields = ("upstream_model", "provider")
    fieldsets = (
        (None, {"fields": ("provider", "upstream_model", ("valid_from_at", "source"))}),
        (
            "USD per million tokens",
            {
                "fields": (
                    ("prompt_usd_per_mtok", "completion_usd_per_mtok"),
                    ("cache_read_usd_per_mtok", "reasoning_usd_per_mtok"),
                    ("cache_write_5m_usd_per_mtok", "cache_write_1h_usd_per_mtok"),
                )
            },
        ),
        ("Beside the tokens", {"fields": ("request_usd",)}),
    )

    @display(description="Prompt (USD per million)", ordering="prompt_usd_per_mtok")
    def prompt(self, row: Price) -> str:
        """Without the zeros that the column holds."""
        return usd(row.prompt_usd_per_mtok)

    @display(description="Completion (USD per million)", ordering="completion_usd_per_mtok")
    def completion(self, row: Price) -> str:
        """Without the zeros that the column holds."""
        return usd(row.completion_usd_per_mtok)

    @display(description="Cache read (USD per million)", ordering="cache_read_usd_per_mtok")
    def cache_read(self, row: Price) -> str:
        """What empty means instead of the amount."""
        return (
            "as prompt" if row.cache_read_usd_per_mtok is None else usd(row.cache_read_usd_per_mtok)
        )

"""The price book."""

from django.contrib import admin

from accounting.admin.page import AccountingAdmin
from accounting.models import Price


@admin.register(Price)
class PriceAdmin(AccountingAdmin):
    """What tokens cost where the provider does not say so itself."""

    empty_help = "A price is used where a provider does not name the cost itself (OpenRouter does). Without one, usage is unpriced."
    list_display = (
        "upstream_model",
        "provider",
        "prompt_usd_per_mtok",
        "completion_usd_per_mtok",
        "cache_read_usd_per_mtok",
        "valid_from_at",
        "source",
    )
    list_filter = ("provider", "source")
    search_fields = ("upstream_model", "provider")
    date_hierarchy = "valid_from_at"
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

"""The price book: prices with their tiers and history, and what is used without a price."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from unfold.admin import TabularInline
from unfold.decorators import action, display

from accounting import price_csv
from accounting.admin.page import AccountingAdmin
from accounting.admin.refusals import PlacedForm
from accounting.models import Price, PriceTier
from accounting.templatetags.amounts import usd
from accounting.unpriced import DAYS, ModelUse, models_used

IN_FORCE, TO_COME, REPLACED = "in force", "to come", "replaced"
RATES = (
    ("prompt_usd_per_mtok", "completion_usd_per_mtok"),
    ("cache_read_usd_per_mtok", "reasoning_usd_per_mtok"),
    ("cache_write_5m_usd_per_mtok", "cache_write_1h_usd_per_mtok"),
)


LABELS = {
    "prompt_usd_per_mtok": "Prompt",
    "completion_usd_per_mtok": "Completion",
    "cache_read_usd_per_mtok": "Cache read",
    "cache_write_5m_usd_per_mtok": "Cache write, 5 minutes",
    "cache_write_1h_usd_per_mtok": "Cache write, 1 hour",
    "reasoning_usd_per_mtok": "Reasoning",
    "request_usd": "Per request",
    "image_usd": "Per image",
}
"""Short, because the headings above them name the unit."""


class AmountField(forms.DecimalField):
    """An amount without the zeros that its column holds."""

    def prepare_value(self, value: Any) -> Any:
        """The amount as plain digits."""
        return f"{value.normalize():f}" if isinstance(value, Decimal) else value


class AmountsMixin:
    """Amounts as one writes them."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The input of a field; an amount is short, and named after what it pays for."""
        if isinstance(db_field, models.DecimalField):
            kwargs["form_class"] = AmountField
        field = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None and db_field.name in LABELS:
            field.label = LABELS[db_field.name]
        return field


class TierInline(AmountsMixin, TabularInline):
    """What long prompts cost."""

    model = PriceTier
    form = PlacedForm
    extra = 0
    ordering = ("prompt_tokens_above",)
    verbose_name_plural = "Tiers: USD per million of all tokens of a request, once its prompt is longer than so many tokens"


class StateFilter(admin.SimpleListFilter):
    """Prices by where in their life they are."""

    title = "state"
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        """The states."""
        return [(state, state) for state in (IN_FORCE, TO_COME, REPLACED)]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Price]) -> QuerySet[Price]:
        """The prices in the state."""
        now = datetime.now(UTC)
        if self.value() == TO_COME:
            return rows.filter(valid_from_at__gt=now)
        newest = rows_of_model().filter(valid_from_at__lte=now).values("pk")[:1]
        begun = rows.filter(valid_from_at__lte=now)
        if self.value() == IN_FORCE:
            return begun.filter(pk=Subquery(newest))
        return begun.exclude(pk=Subquery(newest)) if self.value() == REPLACED else rows


def rows_of_model() -> QuerySet[Price]:
    """All prices of the same model, newest first; for a subquery."""
    return Price.objects.filter(
        provider=OuterRef("provider"), upstream_model=OuterRef("upstream_model")
    ).order_by("-valid_from_at")


@admin.register(Price)
class PriceAdmin(AmountsMixin, AccountingAdmin):
    """What tokens cost where the provider does not say so itself."""

    empty_help = (
        "A price is used where a provider does not name the cost itself (OpenRouter does), where a budget is held, and "
        "to tell what caches saved. Without one, usage is unpriced. Import prices, or add one."
    )
    list_display = (
        "upstream_model",
        "provider",
        "state",
        "prompt",
        "completion",
        "cache_read",
        "valid_from_at",
        "source",
    )
    list_filter = (StateFilter, "provider", "source")
    search_fields = ("upstream_model", "provider")
    inlines = (TierInline,)
    actions_list: tuple[str, ...] = ("show_unpriced", "export_csv")
    readonly_fields = ("history",)
    fieldsets = (
        (None, {"fields": ("provider", "upstream_model", ("valid_from_at", "source"))}),
        ("USD per million tokens", {"fields": RATES}),
        ("USD beside the tokens", {"fields": (("request_usd", "image_usd"),)}),
        ("Prices of this model", {"fields": ("history",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        """Rows with the moment at which another takes over."""
        later = rows_of_model().filter(valid_from_at__gt=OuterRef("valid_from_at"))
        following = later.order_by("valid_from_at").values("valid_from_at")[:1]
        rows: QuerySet[Price] = super().get_queryset(request)
        return rows.annotate(until_at=Subquery(following))

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        """A new price has no history to show."""
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else fieldsets[:-1]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What the address asks for, with its moment as one."""
        given: dict[str, Any] = {
            "source": "manual",
            "valid_from_at": datetime.now(UTC).replace(microsecond=0),
            **super().get_changeform_initial_data(request),
        }
        moment = given["valid_from_at"]
        if isinstance(moment, str):
            given["valid_from_at"] = _moment(moment)
        return given

    @display(description="Prompt (USD/M)", ordering="prompt_usd_per_mtok")
    def prompt(self, row: Price) -> str:
        """Without the zeros that the column holds."""
        return usd(row.prompt_usd_per_mtok)

    @display(description="Completion (USD/M)", ordering="completion_usd_per_mtok")
    def completion(self, row: Price) -> str:
        """Without the zeros that the column holds."""
        return usd(row.completion_usd_per_mtok)

    @display(description="Cache read (USD/M)", ordering="cache_read_usd_per_mtok")
    def cache_read(self, row: Price) -> str:
        """What empty means instead of the amount."""
        return (
            "as prompt" if row.cache_read_usd_per_mtok is None else usd(row.cache_read_usd_per_mtok)
        )

    @display(
        description="State",
        label={IN_FORCE: "success", TO_COME: "info", REPLACED: "default"},
    )
    def state(self, row: Price) -> str:
        """Where in its life it is."""
        return state_of(row, getattr(row, "until_at", None), datetime.now(UTC))

    @display(description="From when to when (USD per million tokens)")
    def history(self, row: Price) -> SafeString:
        """All prices of the model, newest first."""
        return history_of(row, datetime.now(UTC))

    @action(
        description="What has no price", permissions=["view"], icon="money_off", url_path="unpriced"
    )
    def show_unpriced(self, request: HttpRequest) -> HttpResponse:
        """Models that are used without a price, with a form for each."""
        now = datetime.now(UTC)
        uses = models_used(now)
        context = {
            **self.admin_site.each_context(request),
            "title": "What has no price",
            "opts": self.opts,
            "days": DAYS,
            "without": [(use, add_address(use)) for use in uses if not use.has_price],
            "unpriced": [use for use in uses if use.has_price and use.unpriced],
            "may_add": self.has_add_permission(request),
            "today": now.date(),
        }
        return TemplateResponse(request, "admin/accounting/price/unpriced.html", context)

    @action(description="Export as CSV", permissions=["view"], icon="download", url_path="export")
    def export_csv(self, request: HttpRequest) -> HttpResponse:
        """The whole book with its history, as the import takes it."""
        del request
        return HttpResponse(
            "".join(price_csv.write()),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="prices.csv"'},
        )


def _moment(text: str) -> datetime:
    """A moment out of an address, in UTC; now where it is none."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    moment = moment or datetime.now(UTC).replace(microsecond=0)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def state_of(row: Price, until_at: datetime | None, now: datetime) -> str:
    """Where in its life a price is that another follows at ``until_at``."""
    if row.valid_from_at > now:
        return TO_COME
    return IN_FORCE if until_at is None or until_at > now else REPLACED


def history_of(row: Price, now: datetime) -> SafeString:
    """All prices of the row's model as a table, newest first."""
    rows = Price.objects.filter(
        provider=row.provider, upstream_model=row.upstream_model
    ).prefetch_related("tiers")
    until_at: datetime | None = None
    entries = []
    for price in rows.order_by("-valid_from_at"):
        entries.append((price, until_at, state_of(price, until_at, now)))
        until_at = price.valid_from_at
    context = {"entries": entries, "shown": row}
    return mark_safe(render_to_string("admin/accounting/price/_history.html", context))  # noqa: S308  (a template of ours)


def add_address(use: ModelUse) -> str:
    """The form for a price of the model, in force from the first day on which it was used."""
    asked = {
        "provider": use.provider,
        "upstream_model": use.model,
        "valid_from_at": f"{use.first_on}T00:00:00Z",
    }
    return f"{reverse('admin:accounting_price_add')}?{urlencode(asked)}"

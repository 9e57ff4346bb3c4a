"""Budgets with what is spent of them, and the alerts that were sent."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounting import budget_alerts
from accounting.admin.big_tables import BoundedPaginator, MomentFilter
from accounting.admin.fields import PercentField, WordsField
from accounting.admin.page import AccountingAdmin, switch_off, switch_on
from accounting.admin.refusals import PlacedForm
from accounting.budget_states import BudgetState, state_of, states
from accounting.models import Budget, BudgetAlert
from accounting.models.budget import WEBHOOK_SCHEMES, validate_webhook
from accounting.models.money import plain_usd
from accounting.templatetags.amounts import usd

NO_MAIL_SERVER = (
    "No mail server is set up (environment variable EMAIL_URL): alerts reach webhooks only. "
    "docs/operators/settings.md has the variables."
)
STATES = {"within": "success", "near": "warning", "spent": "danger", "off": "info"}


def zone_choices() -> Iterable[tuple[str, str]]:
    """UTC first, then all others that have a place in their name."""
    names = sorted(name for name in available_timezones() if "/" in name and name[:4] != "Etc/")
    return [(name, name) for name in ("UTC", *names)]


class BudgetForm(PlacedForm):
    """Lists are written with commas; the webhook's address is written and never read back."""

    time_zone = forms.ChoiceField(
        choices=zone_choices,
        initial="UTC",
        widget=UnfoldAdminSelectWidget,
        help_text="Where days, weeks and months begin at midnight.",
    )
    alert_thresholds = PercentField(
        required=False,
        initial=[80, 100],
        widget=UnfoldAdminTextInputWidget,
        help_text="Percent of the amount at which people are told, each once in a window, such as 50, 80, 100. Empty: nobody is.",
    )
    alert_emails = WordsField(
        required=False,
        label="Alert e-mails",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="Who is told: addresses with commas between them. Empty: the team's leads.",
    )
    webhook = forms.URLField(
        required=False,
        label="Alert webhook",
        max_length=500,
        assume_scheme="https",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Told by a POST of JSON, beside the e-mails. Only its host is shown again. Empty: keep the present one.",
    )
    remove_webhook = forms.BooleanField(
        required=False, label="Remove the webhook", widget=UnfoldBooleanSwitchWidget
    )

    class Meta:
        model = Budget
        exclude = ("alert_webhook_url",)

    def clean_webhook(self) -> str:
        """Take addresses that a POST can be sent to."""
        url = str(self.cleaned_data.get("webhook") or "")
        if url and not url.startswith(WEBHOOK_SCHEMES):
            raise forms.ValidationError("Enter an address that begins with https:// or http://.")
        validate_webhook(url)
        return url

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.amount_usd is not None:
            self.initial["amount_usd"] = plain_usd(self.instance.amount_usd)
        zone = self.instance.time_zone
        if "time_zone" in self.fields and zone not in dict(zone_choices()):
            self.fields["time_zone"].choices = [(zone, zone), *zone_choices()]  # type: ignore[attr-defined]

    def save(self, commit: bool = True) -> Budget:  # noqa: FBT001, FBT002  (Django's signature)
        """Put in the address that was entered, or take it out."""
        if self.cleaned_data.get("remove_webhook"):
            self.instance.alert_webhook_url = ""
        elif self.cleaned_data.get("webhook"):
            self.instance.alert_webhook_url = self.cleaned_data["webhook"]
        row: Budget = super().save(commit)
        return row


def shown_state(row: Budget) -> BudgetState:
    """How a budget stands, worked out once for each time that a page is shown."""
    state: BudgetState | None = getattr(row, "_state_shown", None)
    if state is None:
        state = state_of(row, now=datetime.now(UTC))
        row._state_shown = state  # type: ignore[attr-defined]
    return state


class Standing:
    """The columns that say how a budget stands."""

    @display(description="Amount (USD)", ordering="amount_usd")
    def amount(self, row: Budget) -> str:
        """What may be spent in one window."""
        return usd(row.amount_usd)

    @display(description="Spent (USD)")
    def spent(self, row: Budget) -> str:
        """What is spent in the window that is now."""
        return usd(shown_state(row).spent_usd)

    @display(description="Of the amount")
    def share(self, row: Budget) -> str:
        """A bar, and the percentage beside it."""
        state = shown_state(row)
        width = min(100, max(0, round(state.percent)))
        return format_html(
            '<span class="llmgw-meter" aria-hidden="true"><span class="llmgw-{}" style="width: {}%"></span></span><span class="llmgw-nowrap">{} %</span>',
            state.word,
            width,
            f"{state.percent:.1f}",
        )

    @display(description="State", label=STATES)
    def stands(self, row: Budget) -> str:
        """How it stands in a word."""
        return shown_state(row).word

    @display(description="Begins anew (UTC)")
    def anew(self, row: Budget) -> str:
        """When the window that is now ends."""
        ends_at = shown_state(row).window.ends_at
        return f"{ends_at:%Y-%m-%d %H:%M}" if ends_at else "never"

    @display(description="Limit", ordering="hard")
    def sort(self, row: Budget) -> str:
        """Whether requests are refused."""
        return "hard" if row.hard else "soft"


class BudgetInline(Standing, TabularInline):
    """A team's own budgets, to look at; they are changed on their own page."""

    model = Budget
    fields = ("window", "amount", "spent", "share", "anew", "sort", "enabled")
    readonly_fields = fields
    extra = 0
    can_delete = False
    hide_title = True
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Not here."""
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Not here."""
        del request, obj
        return False


class MailWarned(AccountingAdmin):
    """Pages that say so when nobody can be written to."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with the warning above it."""
        return super().changelist_view(request, {**mail_warning(), **(extra_context or {})})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form, with the warning above it."""
        context = {**mail_warning(), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)


def mail_warning() -> dict[str, Any]:
    """What templates/admin/_live.html shows where there is no mail server."""
    return {} if settings.EMAIL_IS_SET_UP else {"live_warnings": [NO_MAIL_SERVER]}


@admin.register(Budget)
class BudgetAdmin(Standing, MailWarned):
    """How much may be spent, and how much is."""

    empty_help = (
        "A budget is an amount that a team, a project or an API key may spend in a day, a week, a month or in total. A hard "
        "one refuses what could exceed it; a soft one only tells people."
    )
    form = BudgetForm
    list_display = (
        "holder", "window_shown", "amount", "spent", "share", "stands", "sort", "anew",
    )  # fmt: skip
    list_filter = ("window", "hard", "enabled")
    list_select_related = ("team", "project__team", "key__team")
    search_fields = ("team__slug", "project__slug", "project__team__slug", "key__name")
    autocomplete_fields = ("team", "project", "key")
    actions = (switch_on, switch_off)
    readonly_fields = ("amount", "spent", "share", "stands", "anew", "webhook_shown")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The rows of the list with their states: a query for each window among them, not for each row."""
        found = super().get_changelist_instance(request)
        found.result_list = list(found.result_list)
        for state in states(found.result_list, now=datetime.now(UTC)):
            state.budget._state_shown = state  # type: ignore[attr-defined]
        return found

    def get_fieldsets(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        """A new budget has not been spent."""
        del request
        holder = (
            "For one of them",
            {"fields": ("team", "project", "key"), "description": "Choose exactly one."},
        )
        amount = (
            "Amount",
            {"fields": (("amount_usd", "window"), "time_zone", ("hard", "enabled"))},
        )
        webhook: tuple[str, ...] = ("webhook",)
        if obj is not None and obj.alert_webhook_url:
            webhook = ("webhook_shown", "webhook", "remove_webhook")
        alerts = ("Alerts", {"fields": ("alert_thresholds", "alert_emails", *webhook)})
        if obj is None:
            return (holder, amount, alerts)
        now = ("In the window that is now", {"fields": (("spent", "share"), ("stands", "anew"))})
        return (now, holder, amount, alerts)

    @display(description="Whose")
    def holder(self, row: Budget) -> str:
        """The team, project or key."""
        kind = "team" if row.team else "project" if row.project else "key"
        return f"{kind} {row.team.slug if row.team else row.holder_name}"

    @display(description="Window", ordering="window")
    def window_shown(self, row: Budget) -> str:
        """How long it is, and where its days begin."""
        word = row.get_window_display()
        return word if row.window == Budget.Window.TOTAL else f"{word} ({row.time_zone})"

    @display(description="Present webhook")
    def webhook_shown(self, row: Budget) -> str:
        """What may be shown of it."""
        return budget_alerts.masked(row.alert_webhook_url)


@admin.action(description="Send again", permissions=["send_again"])
def send_again(page: "BudgetAlertAdmin", request: HttpRequest, rows: QuerySet[BudgetAlert]) -> None:
    """Let alerts be sent that were given up, or wait."""
    count = sum(budget_alerts.send_again(row) for row in rows)
    del page
    messages.success(
        request, f"{count} alert{'' if count == 1 else 's'} will be sent within seconds."
    )


@admin.register(BudgetAlert)
class BudgetAlertAdmin(MailWarned):
    """Who was told of what; only serving processes add."""

    empty_help = "When a budget passes one of its thresholds, whoever was told of it stands here, and why somebody could not be."
    list_display = ("at", "budget", "passed", "spent", "state", "whom", "why")
    list_filter = ("threshold", ("at", MomentFilter))
    list_filter_submit = True
    search_fields = (
        "budget__team__slug",
        "budget__project__slug",
        "budget__project__team__slug",
        "budget__key__name",
    )
    search_help_text = "Part of the short name of a team or project, or of a key's name."
    paginator = BoundedPaginator
    show_full_result_count = False
    list_select_related = ("budget__team", "budget__project__team", "budget__key__team")
    ordering = ("-at",)
    actions = (send_again,)
    fields = (
        ("budget", "passed", "spent"),
        ("window_began_at", "at"),
        ("state", "attempts", "sent_at"),
        "whom",
        "why",
    )

    @display(description="Threshold", ordering="threshold")
    def passed(self, row: BudgetAlert) -> str:
        """Percent of the amount."""
        return f"{row.threshold} %"

    @display(description="Spent then (USD)", ordering="spent_usd")
    def spent(self, row: BudgetAlert) -> str:
        """What was spent, of what."""
        return f"{usd(row.spent_usd)} of {usd(row.amount_usd)}"

    @display(
        description="State", label={"sent": "success", "waiting": "warning", "failed": "danger"}
    )
    def state(self, row: BudgetAlert) -> str:
        """Whether all were told."""
        if row.sent_at:
            return "sent"
        return "waiting" if budget_alerts.due_at(row) else "failed"

    @display(description="Told")
    def whom(self, row: BudgetAlert) -> str:
        """Whom it has reached."""
        return ", ".join(row.told) or "nobody"

    @display(description="Why not all")
    def why(self, row: BudgetAlert) -> str:
        """What went wrong at the last attempt."""
        return format_html('<span class="llmgw-reason">{}</span>', row.error) if row.error else "–"

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        """Who may change budgets."""
        user: Any = request.user
        return bool(user.has_perm("accounting.change_budget"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only serving processes add."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: BudgetAlert | None = None) -> bool:
        """Alerts do not change."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: BudgetAlert | None = None) -> bool:
        """They go with their budget."""
        del request, obj
        return False

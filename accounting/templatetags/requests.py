"""How a request's figures and words look: moments, milliseconds, exact amounts, and how an attempt ended."""

from datetime import UTC, datetime
from decimal import Decimal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.models import UsageRecord

register = template.Library()
SECOND_MS = 1000
MINUTE_S = 60
LOOKS = {"succeeded": "good", "failed": "bad", "client_closed": "warn", "interrupted": "warn"}


@register.filter
def exact(amount_usd: Decimal | None) -> str:
    """US dollars with every digit that is not an idle zero."""
    if amount_usd is None:
        return "–"
    text = f"{abs(amount_usd):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'−' if amount_usd < 0 else ''}${text}"


@register.filter
def took(ms: int | None) -> str:
    """A duration: milliseconds below a second, then seconds, then minutes; a dash where it is not known."""
    if ms is None:
        return "–"
    if ms < SECOND_MS:
        return f"{ms} ms"
    seconds = ms / SECOND_MS
    if seconds < MINUTE_S:
        return f"{seconds:.2f} s" if seconds < MINUTE_S / 6 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE_S)
    return f"{minutes} min {rest} s"


@register.filter
def moment(at: datetime) -> str:
    """A moment in UTC to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@register.filter
def moment_ms(at: datetime) -> str:
    """A moment in UTC to the millisecond."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


@register.filter
def badge(record: UsageRecord) -> SafeString:
    """How an attempt ended, as a word in a colour."""
    look = LOOKS.get(record.status, "")
    return format_html('<span class="badge {}">{}</span>', look, record.get_status_display())

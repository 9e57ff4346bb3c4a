"""How amounts look, everywhere the same: one filter for money, one for tokens, one for shares."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils.html import format_html

from accounting.tables import Figure, change

register = template.Library()
CENT_USD = Decimal("0.01")
SAME_SHARE = 0.0005
FAR_SHARE = 10
CLOSE_SHARE = 0.9
SAME_POINTS = 0.05
MANY = 10_000_000


@register.filter
def usd(amount_usd: Decimal | None) -> str:
    """US dollars: cents for a dollar and more, four significant digits below; "unpriced" without an amount."""
    if amount_usd is None:
        return "unpriced"
    if amount_usd == 0:
        return "$0"
    sign = "−" if amount_usd < 0 else ""
    amount_usd = abs(amount_usd)
    if amount_usd >= 1:
        return f"{sign}${amount_usd.quantize(CENT_USD):,}"
    digits = max(2, 3 - amount_usd.adjusted())
    return f"{sign}${amount_usd:.{digits}f}".rstrip("0")


@register.filter
def tokens(count: int | None) -> str:
    """A count with its thousands apart; a dash where it is not known."""
    return "–" if count is None else f"{count:,}"


@register.filter
def percent(share: float | None) -> str:
    """A share of one in percent; a dash where there is none."""
    return "–" if share is None else f"{share * 100:.1f} %"


@register.filter
def compared(share: float | None) -> str:
    """A change against before, in words; a dash where there was nothing before."""
    if share is None:
        return "–"
    if abs(share) < SAME_SHARE:
        return "the same"
    if share >= FAR_SHARE:
        return f"{share + 1:,.0f} times"
    return f"{abs(share) * 100:,.1f} % {'more' if share > 0 else 'less'}"


def used(share: float | None) -> str:
    """A share of one in percent, with a bar that is full at the whole."""
    if share is None:
        return percent(share)
    return format_html(
        '<progress max="100" value="{}" class="{}"></progress> {}',
        min(100, max(0, round(share * 100))),
        "over" if share >= 1 else "close" if share >= CLOSE_SHARE else "",
        percent(share),
    )


@register.filter
def since_before(figure: Figure) -> str:
    """How a figure has changed since the period before, in words; shares in points; nothing where there was none."""
    share = change(figure.value, figure.before)
    if share is None or figure.kind != "percent":
        return "" if share is None else compared(share)
    points = (figure.value - figure.before) * 100
    if abs(points) < SAME_POINTS:
        return "the same"
    return f"{abs(points):.1f} points {'more' if points > 0 else 'less'}"


@register.filter
def figure_value(figure: Figure) -> Any:
    """A figure's value; large counts in millions and billions, with all digits for who points at them."""
    if figure.kind == "count" and isinstance(figure.value, int) and figure.value >= MANY:
        size, name = (10**9, "billion") if figure.value >= 10**9 else (10**6, "million")
        return format_html(
            '<span title="{}">{} {}</span>',
            f"{figure.value:,}",
            f"{figure.value / size:,.2f}",
            name,
        )
    if figure.kind == "ms" and figure.value is not None:
        return f"{figure.value:,} ms"
    return cell(figure.value, figure.kind)


@register.filter
def cell(value: Any, kind: str) -> Any:
    """A value of a table as its column's kind shows it."""
    match kind:
        case "usd":
            return usd(value)
        case "usd_known":
            return "–" if value is None else usd(value)
        case "count" | "ms":
            return tokens(value)
        case "percent":
            return percent(value)
        case "used":
            return used(value)
        case "change":
            return compared(value)
        case "moment" if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        case "verdict":
            return format_html(
                '<span class="verdict {}">{}</span>', str(value).replace(" ", "-"), value
            )
    return "–" if value is None else value

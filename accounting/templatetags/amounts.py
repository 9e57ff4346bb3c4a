"""How amounts look, everywhere the same: one filter for money, one for tokens, one for shares."""

from decimal import Decimal

from django import template

register = template.Library()
CENT_USD = Decimal("0.01")


@register.filter
def usd(amount_usd: Decimal | None) -> str:
    """US dollars: cents for a dollar and more, four significant digits below; "unpriced" without an amount."""
    if amount_usd is None:
        return "unpriced"
    if amount_usd == 0:
        return "$0"
    if abs(amount_usd) >= 1:
        return f"${amount_usd.quantize(CENT_USD):,}"
    digits = max(2, 3 - amount_usd.adjusted())
    return f"${amount_usd:.{digits}f}".rstrip("0")


@register.filter
def tokens(count: int | None) -> str:
    """A count with its thousands apart; a dash where it is not known."""
    return "–" if count is None else f"{count:,}"


@register.filter
def percent(share: float | None) -> str:
    """A share of one in percent; a dash where there is none."""
    return "–" if share is None else f"{share * 100:.1f} %"

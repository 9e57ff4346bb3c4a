"""How differences look: with their sign, and with all digits where cents would hide them."""

from decimal import Decimal

from django import template

from accounting.templatetags.amounts import tokens, usd

register = template.Library()


@register.filter
def usd_difference(amount_usd: Decimal | None) -> str:
    """A difference of money with its sign; a dash where there is none to tell, none where both agree."""
    if amount_usd is None:
        return "–"
    if amount_usd == 0:
        return "none"
    return ("+" if amount_usd > 0 else "−") + usd(abs(amount_usd))


@register.filter
def count_difference(count: int | None) -> str:
    """A difference of counts with its sign; a dash where there is none to tell, none where both agree."""
    if count is None:
        return "–"
    if count == 0:
        return "none"
    return ("+" if count > 0 else "−") + tokens(abs(count))

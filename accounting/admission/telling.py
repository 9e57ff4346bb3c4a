"""The errors of admission, in words that say whose limit it is, when to come back, and who can change it."""

from datetime import UTC, datetime

from accounting.admission.values import BudgetPicture, Rules, Standing
from accounting.errors import BudgetExceeded, BudgetReserved, LimitsUnreadable, RateLimited
from accounting.models.money import from_pico
from accounting.windows import Window

BUSY_RETRY_S = 1.0
RESERVED_RETRY_S = 5.0


def too_many_at_once(rule: Rules) -> RateLimited:
    """As many requests as allowed are under way."""
    return RateLimited(
        f"{rule.name} has {rule.concurrent_requests} requests under way, which is its limit. Wait for one to end, or "
        "have the limit raised.",
        retry_after_s=BUSY_RETRY_S,
    )


def too_many_requests(rule: Rules, standing: Standing, wait_s: float) -> RateLimited:
    """The minute's requests are used up."""
    return RateLimited(
        f"{rule.name} has used its {standing.limit} requests of a minute. Try again in {_seconds(wait_s)}.",
        retry_after_s=wait_s,
        standings=(standing,),
    )


def too_many_tokens(rule: Rules, standing: Standing, wait_s: float) -> RateLimited:
    """The minute's tokens are used up, or the request is longer than what is left of them."""
    return RateLimited(
        f"{rule.name} has {standing.remaining} of its {standing.limit} tokens of a minute left, and this request needs "
        f"more. Try again in {_seconds(wait_s)}.",
        retry_after_s=wait_s,
        standings=(standing,),
    )


def exceeded(
    budget: BudgetPicture, window: Window, left_pico: int, now: datetime
) -> BudgetExceeded:
    """The budget is spent, or has not as much left as the request may cost."""
    amount = f"{_usd(budget.amount_pico)} USD"
    if left_pico > 0:
        why = f"has {_usd(left_pico)} of {amount} left, less than this request may cost"
    else:
        why = f"of {amount} is spent"
    wait_s = None
    when = "It does not begin anew"
    if window.ends_at is not None:
        wait_s = (window.ends_at - now).total_seconds()
        when = f"It begins anew on {window.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return BudgetExceeded(
        f"spend limit reached: {budget.name} {why}. {when}; a team lead or administrator can raise it (Accounts → "
        "Budgets).",
        retry_after_s=wait_s,
    )


def reserved(budget: BudgetPicture) -> BudgetReserved:
    """What is left is held for others."""
    return BudgetReserved(
        f"What is left of {budget.name} is held for requests under way. Try again in {_seconds(RESERVED_RETRY_S)}.",
        retry_after_s=RESERVED_RETRY_S,
    )


def unreadable(why: str) -> LimitsUnreadable:
    """Nobody can say how limits stand."""
    return LimitsUnreadable(
        f"It is not known now how budgets and limits stand ({why}); try again in a moment.",
        retry_after_s=2,
    )


def _seconds(wait_s: float) -> str:
    count = max(1, round(wait_s))
    return f"{count} second{'' if count == 1 else 's'}"


def _usd(pico: int) -> str:
    return f"{from_pico(max(0, pico)).normalize():f}"

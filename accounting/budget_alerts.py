"""Who is to be told that a budget is nearly spent, when, and in which words; it sends nothing itself.

Theory of operation. Every serving process looks at the budgets. Where a threshold is passed, it adds the alert's row:
the database lets one in for each budget, window and threshold, so whoever comes second finds it there. A row is sent
by whoever counts its attempts up from the number that was read, and nobody else. Whom it has reached is noted after
each of them, so that a further attempt tells only the others. A process that dies between the sending and the note
leaves the one that it was telling to be told again: that is the only way in which anybody hears of a threshold twice.

Attempts that fail are made again after growing waits, by whichever process sees the time come; after the last one the
row keeps the reason, and the admin has a button.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from django.db import transaction

from accounting.budget_states import BudgetState, budgets, holder_tree, states
from accounting.models import Budget, BudgetAlert, Membership
from accounting.models.money import plain_usd
from accounting.windows import Window, window_of
from conversion.terminals import inert

WAITS_S = (0, 15, 60, 300, 1800, 3600)
"""How long after the one before each attempt is made; the first at once. An attempt that died counts as one."""
ATTEMPTS_MAX = len(WAITS_S)
ERROR_CHARS_MAX = 500
EVERY = {
    Budget.Window.DAY: "daily budget",
    Budget.Window.WEEK: "weekly budget",
    Budget.Window.MONTH: "monthly budget",
    Budget.Window.TOTAL: "total budget",
}


def note_passed(*, now: datetime) -> list[BudgetAlert]:
    """Add a row for each threshold that is passed and has none yet; those that this process added.

    As many queries for a thousand budgets as for one, beside those for what is added: two, and those of ``states``.
    """
    rows = list(budgets().filter(enabled=True))
    missing = _missing(rows, now)
    added = []
    for state in states((row for row in rows if missing[row.pk]), now=now):
        for threshold in sorted(missing[state.budget.pk]):
            if state.has_passed(threshold) and (alert := _add(state, threshold, now)):
                added.append(alert)
    return added


def _missing(rows: Sequence[Budget], now: datetime) -> dict[int, set[int]]:
    """The thresholds of each budget that have no alert in the window that is now. One query."""
    begins = {row.pk: window_of(row.window, row.time_zone, now).began_at for row in rows}
    missing = {row.pk: set(row.alert_thresholds) for row in rows}
    noted = BudgetAlert.objects.filter(window_began_at__in=set(begins.values())).order_by()
    for pk, began_at, threshold in noted.values_list("budget_id", "window_began_at", "threshold"):
        if begins.get(pk) == began_at:
            missing[pk].discard(threshold)
    return missing


def _add(state: BudgetState, threshold: int, now: datetime) -> BudgetAlert | None:
    alert, is_new = BudgetAlert.objects.get_or_create(
        budget=state.budget,
        window_began_at=state.window.began_at,
        threshold=threshold,
        defaults={"spent_usd": state.spent_usd, "amount_usd": state.amount_usd, "at": now},
    )
    return alert if is_new else None


def due_at(alert: BudgetAlert) -> datetime | None:
    """When the next attempt is to be made; None when there is none to come."""
    if alert.sent_at is not None or alert.attempts >= ATTEMPTS_MAX:
        return None
    return alert.at + timedelta(seconds=sum(WAITS_S[: alert.attempts + 1]))


def claim_due(*, now: datetime) -> Iterator[BudgetAlert]:
    """The alerts that are this process's to send now; each is claimed when it is asked for."""
    rows = BudgetAlert.objects.filter(sent_at=None, attempts__lt=ATTEMPTS_MAX).order_by("at", "pk")
    related = ("budget__team", "budget__project__team", "budget__key__team")
    for alert in rows.select_related(*related):
        due = due_at(alert)
        if due is not None and due <= now and _is_claimed(alert):
            yield alert


def _is_claimed(alert: BudgetAlert) -> bool:
    before = alert.attempts
    alert.attempts += 1
    untouched = BudgetAlert.objects.filter(pk=alert.pk, attempts=before, sent_at=None)
    return untouched.update(attempts=alert.attempts) == 1


def send_again(alert: BudgetAlert) -> bool:
    """Let an alert that was given up, or waits, be tried from the first attempt on; False where it was sent already."""
    return BudgetAlert.objects.filter(pk=alert.pk, sent_at=None).update(attempts=0) == 1


def addresses(budget: Budget) -> list[str]:
    """Whom to write to: those that the budget names, or else the leads of its team."""
    if budget.alert_emails:
        return list(dict.fromkeys(budget.alert_emails))
    leads = Membership.objects.filter(
        team__slug=holder_tree(budget)["team"],
        role=Membership.Role.LEAD,
        user__is_active=True,
    )
    found = leads.exclude(user__email="").values_list("user__email", flat=True)
    return list(dict.fromkeys(found))


def reached(alert: BudgetAlert, whom: str) -> None:
    """Note whom the alert has reached."""
    with transaction.atomic():
        fresh = BudgetAlert.objects.select_for_update().get(pk=alert.pk)
        fresh.told = [*fresh.told, whom]
        fresh.save(update_fields=["told"])
    alert.told = fresh.told


def ended(alert: BudgetAlert, errors: list[str], *, now: datetime) -> None:
    """Note how an attempt ended."""
    alert.error = " ".join(errors)[:ERROR_CHARS_MAX]
    alert.sent_at = None if errors else now
    alert.save(update_fields=["error", "sent_at"])


def masked(url: str) -> str:
    """What may be shown of a webhook's address: anything behind the host may be a secret."""
    parts = urlsplit(url)
    if not parts.hostname:
        return "…" if url else ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}/…"


def headline(alert: BudgetAlert) -> str:
    """The alert in one sentence and one line: it is a letter's subject, and a name may hold anything."""
    row = alert.budget
    holder = holder_tree(row)
    if row.key:
        name = f"API key {holder['team']}/{holder['key']}"
    else:
        name = (
            f"project {holder['team']}/{holder['project']}"
            if row.project
            else f"team {row.holder_name}"
        )
    sentence = (
        f"{alert.threshold} % of the {EVERY[Budget.Window(row.window)]} of {name} are spent: "
        f"{_usd(alert.spent_usd)} of {_usd(alert.amount_usd)} USD"
    )
    return inert(" ".join(sentence.split()))


def _usd(amount_usd: object) -> str:
    return f"{amount_usd:.2f}"


def message(alert: BudgetAlert, window: Window, *, url: str) -> str:
    """The text of an e-mail; ``url`` is the gateway's own address, empty where nobody has told it."""
    row = alert.budget
    if window.ends_at is None:
        begins = "It does not begin anew."
    else:
        begins = f"It begins anew on {window.ends_at:%Y-%m-%d %H:%M} UTC."
    then = (
        "Once it is spent, requests that could exceed it are refused."
        if row.hard
        else "Requests go on: the budget is a soft one."
    )
    lines = [headline(alert) + ".", f"{begins} {then}"]
    if url:
        lines.append(f"Where it went: {url}/usage/?team={holder_tree(row)['team']}")
    return "\n\n".join(lines) + "\n"


def payload(alert: BudgetAlert, window: Window) -> dict[str, object]:
    """What a webhook is sent; ``id`` tells one alert from all others, ``text`` is what chat programs show."""
    row = alert.budget
    return {
        "event": "budget_threshold",
        "id": f"budget-alert-{alert.pk}",
        "text": headline(alert) + ".",
        **holder_tree(row),
        "window": row.window,
        "time_zone": row.time_zone,
        "began_at": window.began_at.isoformat(),
        "ends_at": window.ends_at.isoformat() if window.ends_at else None,
        "threshold_percent": alert.threshold,
        "spent_usd": plain_usd(alert.spent_usd or Decimal(0)),
        "amount_usd": plain_usd(alert.amount_usd or Decimal(0)),
        "hard": row.hard,
        "at": alert.at.isoformat(),
    }

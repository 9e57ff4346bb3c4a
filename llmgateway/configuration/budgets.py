"""Reads the budgets of teams and projects from a file, and writes them as a tree for YAML."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from accounting.models import Budget, Project, Team
from accounting.models.money import plain_usd
from llmgateway.configuration.entries import check_keys, chosen, items_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.references import read_secret
from llmgateway.configuration.rows import differences, set_and_save
from llmgateway.lined_yaml import Lined
from routing.configuration.tree import number
from routing.configuration.variables import variable_names

FIELDS = {
    "usd": "amount_usd",
    "time_zone": "time_zone",
    "hard": "hard",
    "enabled": "enabled",
    "thresholds": "alert_thresholds",
    "emails": "alert_emails",
}
BUDGET = {"window", "webhook", *FIELDS}
Holder = Team | Project


def read_budgets(run: Import, entry: Lined, holder: Holder, what: str) -> None:
    """The budgets in a list, told apart by their windows; those that are not listed stay."""
    seen: set[str] = set()
    for item in items_of(run, entry, "budgets"):
        check_keys(run, item, BUDGET, "a budget")
        window = item.get("window", Budget.Window.MONTH.value)
        if window not in Budget.Window.values:
            words = ", ".join(Budget.Window.values)
            run.fault(item.line_of("window"), f"window must be one of {words}")
        elif window in seen:
            run.fault(item.line_of("window"), f"{what} has two budgets for the window {window}")
        else:
            seen.add(window)
            _read_budget(run, item, holder, window, f"budget of {what} ({window})")


def _read_budget(run: Import, item: Lined, holder: Holder, window: str, what: str) -> None:
    keys = {"team" if isinstance(holder, Team) else "project": holder, "window": window}
    row = Budget.objects.filter(**keys).first()
    if row is None and "usd" not in item:
        run.fault(item.line, "a budget needs usd, the amount that may be spent in one window")
        return
    values, lines = chosen(item, FIELDS)
    _put_in_order(values)
    changes = [f"+ {what}"] if row is None else list(differences(row, values, what))
    row = row or Budget(**keys)
    if "webhook" in item:
        url = _webhook(run, item)
        if url is None:
            return
        if url != row.alert_webhook_url:
            row.alert_webhook_url = url
            lines["alert_webhook_url"] = item.line_of("webhook")
            if row.pk:  # the address is told nowhere: it may be a secret
                changes.append(f"~ {what}: webhook")
    if changes and set_and_save(run, row, values, item.line, lines=lines):
        run.changes.extend(changes)


def _put_in_order(values: dict[str, Any]) -> None:
    """Thresholds as the row will hold them."""
    given = values.get("alert_thresholds")
    if isinstance(given, list) and all(type(entry) is int for entry in given):
        values["alert_thresholds"] = sorted(set(given))


def _webhook(run: Import, item: Lined) -> str | None:
    text = item["webhook"]
    if text is None or text == "":
        return ""
    if not isinstance(text, str):
        run.fault(item.line_of("webhook"), "webhook must be text, such as ${BUDGET_WEBHOOK}")
        return None
    return read_secret(run, text, item.line_of("webhook"))


def budgets_trees(rows: Iterable[Budget], variables: Mapping[int, str]) -> list[dict[str, Any]]:
    """Budgets of one holder, in the order in which they were made."""
    return [_tree(row, variables) for row in sorted(rows, key=lambda row: row.pk)]


def _tree(row: Budget, variables: Mapping[int, str]) -> dict[str, Any]:
    tree = {
        "window": row.window,
        "usd": _exact(row.amount_usd or Decimal(0)),
        "hard": row.hard,
        "time_zone": row.time_zone,
        "thresholds": row.alert_thresholds,
        "emails": row.alert_emails,
        "enabled": row.enabled,
    }
    return {**tree, "webhook": f"${{{variables[row.pk]}}}"} if row.pk in variables else tree


def _exact(amount_usd: Decimal) -> Any:
    """The amount as a number, or as text where a number of YAML would lose a digit."""
    found = number(amount_usd)
    return found if Decimal(str(found)) == amount_usd else plain_usd(amount_usd)


def webhook_variables() -> dict[int, str]:
    """For each budget with a webhook the variable that stands for its address, no two the same."""
    rows = Budget.objects.exclude(alert_webhook_url="").filter(key=None)
    pairs = {}
    for row in rows.select_related("team", "project__team"):
        project = row.project
        words = (project.team.slug, project.slug) if project else (row.holder_name,)
        pairs[row.pk] = ("_".join(("budget", *words)), f"{row.window}_webhook")
    names = variable_names(pairs.values())
    return {pk: names[pair] for pk, pair in pairs.items()}

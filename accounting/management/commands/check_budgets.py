"""Says how budgets stand."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from accounting.budget_states import BudgetState, budgets, states
from accounting.templatetags.amounts import usd
from conversion.terminals import inert


class Command(BaseCommand):
    """Reads only; serving processes send alerts by themselves."""

    help = "Print how each budget that is switched on stands in its present window."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--json and --over."""
        parser.add_argument(
            "--json", action="store_true", help="One JSON list, amounts as strings with all digits."
        )
        parser.add_argument(
            "--over",
            type=int,
            default=0,
            metavar="PERCENT",
            help="Only budgets of which so much is spent: nothing is printed while all is well, as cron likes it.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Sum up, and tell."""
        rows = budgets().filter(enabled=True)
        found = [
            state
            for state in states(rows, now=datetime.now(UTC))
            if state.has_passed(options["over"])
        ]
        if options["json"]:
            self.stdout.write(json.dumps([state.as_tree() for state in found], indent=2))
            return
        for state in found:
            self.stdout.write(inert(line_of(state)))
        if not found and not options["over"]:
            self.stdout.write("No budget is switched on.")


def line_of(state: BudgetState) -> str:
    """How one stands, in a line."""
    row, ends_at = state.budget, state.window.ends_at
    until = f", anew on {ends_at:%Y-%m-%d %H:%M} UTC" if ends_at else ""
    sort = "hard" if row.hard else "soft"
    return (
        f"{row.holder_name}, {row.window}, {sort}: {usd(state.spent_usd)} of {usd(state.amount_usd)} spent "
        f"({state.percent:.1f} %){until}"
    )

"""How budgets stand: what is spent of each in the window that is now, by the ledger."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from accounting.models import Budget, VirtualKey
from accounting.models.money import plain_usd
from accounting.spending import Holder, first_of_each, spent_of_each, spent_usd
from accounting.windows import Window, window_of

HUNDRED = Decimal(100)
HOLDERS_MAX = 100
"""Of more teams and keys than these, all rows are read: a database looks for no more of them one by one."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget, its window and what is spent in it."""

    budget: Budget
    window: Window
    spent_usd: Decimal

    @property
    def amount_usd(self) -> Decimal:
        """What may be spent in one window."""
        return self.budget.amount_usd or Decimal(0)

    @property
    def left_usd(self) -> Decimal:
        """What is not spent; below 0 where more was spent than may be."""
        return self.amount_usd - self.spent_usd

    @property
    def percent(self) -> Decimal:
        """What share of the amount is spent."""
        return self.spent_usd * HUNDRED / self.amount_usd if self.amount_usd else HUNDRED

    def has_passed(self, threshold: int) -> bool:
        """Whether so many percent of the amount are spent."""
        return self.spent_usd * HUNDRED >= self.amount_usd * threshold

    @property
    def word(self) -> str:
        """How it stands in a word: off, within, near (a threshold is passed) or spent."""
        if not self.budget.enabled:
            return "off"
        if self.has_passed(100):
            return "spent"
        return "near" if any(map(self.has_passed, self.budget.alert_thresholds)) else "within"

    def as_tree(self) -> dict[str, Any]:
        """The state for JSON; amounts are strings, so that no digit is lost."""
        row = self.budget
        return {
            **holder_tree(row),
            "window": row.window,
            "time_zone": row.time_zone,
            "began_at": self.window.began_at.isoformat(),
            "ends_at": self.window.ends_at.isoformat() if self.window.ends_at else None,
            "amount_usd": plain_usd(self.amount_usd),
            "spent_usd": plain_usd(self.spent_usd),
            "left_usd": plain_usd(self.left_usd),
            "percent": str(round(self.percent, 1)),
            "hard": row.hard,
            "state": self.word,
        }


def holder_tree(row: Budget) -> dict[str, str | None]:
    """Whose budget it is: the team, and the project or the key of it."""
    key, project = row.key, row.project
    team = row.team or (project.team if project else key.team if key else None)
    return {
        "team": team.slug if team else None,
        "project": project.slug if project else None,
        "key": key.name if key else None,
    }


def budgets() -> "QuerySet[Budget]":
    """All budgets, with what their names are made of."""
    return Budget.objects.select_related("team", "project__team", "key__team")


def state_of(budget: Budget, *, now: datetime) -> BudgetState:
    """How one stands. A sum over the ledger."""
    window = window_of(budget.window, budget.time_zone, now)
    return BudgetState(budget, window, spent_usd(budget, window))


def states(rows: Iterable[Budget], *, now: datetime) -> Iterator[BudgetState]:
    """How they stand, in order: a few queries for each window among them, not for each budget."""
    found = [(row, window_of(row.window, row.time_zone, now)) for row in rows]
    teams = {row.key.team_id for row, _window in found if row.key is not None}
    pairs = VirtualKey.objects.filter(team__in=teams).values_list("pk", "rotated_from_id")
    firsts = first_of_each(pairs) if teams else {}
    sharing: dict[Window, list[Budget]] = {}
    for row, window in found:
        sharing.setdefault(window, []).append(row)
    sums = {
        window: _Sums(spent_of_each(window, _holders(sharers, firsts)), firsts)
        for window, sharers in sharing.items()
    }
    for row, window in found:
        yield BudgetState(row, window, sums[window].of(row))


def _holders(rows: Iterable[Budget], firsts: Mapping[int, int]) -> Q:
    """Chooses what the budgets are about and perhaps more; everything where that is about as much."""
    teams, lines = set(), set()
    for row in rows:
        if row.key_id:
            lines.add(firsts.get(row.key_id))
        elif team := row.team or (row.project and row.project.team):
            teams.add(team.slug)
    keys = [pk for pk, first in firsts.items() if first in lines]
    if len(teams) + len(keys) > HOLDERS_MAX:
        return Q()
    return Q(team__in=sorted(teams)) | Q(key_id__in=keys)


class _Sums:
    """What was spent in one window, by all that a budget can be for."""

    def __init__(self, amounts: Mapping[Holder, Decimal], firsts: Mapping[int, int]) -> None:
        self._firsts = firsts
        self._amounts: dict[object, Decimal] = {}
        for (team, project, key), amount in amounts.items():
            for holder in (team, (team, project), firsts.get(key)):
                self._amounts[holder] = self._amounts.get(holder, Decimal(0)) + amount

    def of(self, row: Budget) -> Decimal:
        """What counts against the budget: for a key, that of all keys it was rotated from or to."""
        holder: object
        if row.team is not None:
            holder = row.team.slug
        elif row.project is not None:
            holder = (row.project.team.slug, row.project.slug)
        else:
            holder = self._firsts.get(row.key_id or 0)
        return self._amounts.get(holder, Decimal(0))

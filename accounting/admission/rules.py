"""Reads from the rows what teams, projects and keys are held to. Never called on the hot path."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from django.db.models import Q

from accounting.admission.values import BudgetPicture, Rules
from accounting.models import Budget, Project, Team, VirtualKey
from accounting.models.limits import Limited
from accounting.models.money import to_pico
from accounting.spending import first_of_each

EVERY = {"day": "daily", "week": "weekly", "month": "monthly", "total": "total"}
HAS_LIMITS = (
    Q(requests_per_minute__isnull=False)
    | Q(tokens_per_minute__isnull=False)
    | Q(concurrent_requests__isnull=False)
)


class RuleBook(NamedTuple):
    """All rules by holder, and the holder's name of each key that has rules of its own."""

    rules: Mapping[str, Rules]
    key_holders: Mapping[int, str]


def project_holder(team: str, project: str) -> str:
    """The name under which a project's use is counted."""
    return f"{team}/project/{project}"


def read_rules() -> RuleBook:
    """The rules as the rows are now: five small queries.

    Keys that were rotated one from the other share a holder, so that a new secret is no new allowance; of their
    limits the newest key's are in force.
    """
    lines = first_of_each(
        VirtualKey.objects.filter(Q(rotated_from__isnull=False) | Q(rotated_to__isnull=False))
        .values_list("pk", "rotated_from_id")
        .distinct()
    )
    rows: dict[str, tuple[str, Limited | None]] = {}
    budgets: dict[str, list[BudgetPicture]] = {}
    for holder, name, row in _limited(lines):
        rows[holder] = (name, row)
    for holder, name, budget in _budgets(lines):
        rows.setdefault(holder, (name, None))
        budgets.setdefault(holder, []).append(budget)
    rules = {
        holder: _rules(holder, name, row, tuple(budgets.get(holder, ())))
        for holder, (name, row) in rows.items()
    }
    return RuleBook(rules, _key_holders(rules, lines))


def _limited(lines: Mapping[int, int]) -> Iterator[tuple[str, str, Limited]]:
    for team in Team.objects.filter(HAS_LIMITS):
        yield team.slug, f"team {team.slug}", team
    for project in Project.objects.filter(HAS_LIMITS).select_related("team"):
        yield (
            project_holder(project.team.slug, project.slug),
            f"project {project.team.slug}/{project.slug}",
            project,
        )
    for key in VirtualKey.objects.filter(HAS_LIMITS).select_related("team").order_by("pk"):
        yield _key_holder(key, lines), f"API key {key.name!r}", key


def _budgets(lines: Mapping[int, int]) -> Iterator[tuple[str, str, BudgetPicture]]:
    rows = Budget.objects.filter(enabled=True, hard=True)
    for row in rows.select_related("team", "project__team", "key__team"):
        if row.team is not None:
            holder, name = row.team.slug, f"team {row.team.slug}"
        elif row.project is not None:
            team, project = row.project.team.slug, row.project.slug
            holder, name = project_holder(team, project), f"project {team}/{project}"
        elif row.key is not None:
            holder, name = _key_holder(row.key, lines), f"API key {row.key.name!r}"
        else:
            continue
        amount = to_pico(row.amount_usd) if row.amount_usd is not None else 0
        told = f"the {EVERY[row.window]} budget of {name}"
        yield (
            holder,
            name,
            BudgetPicture(row.pk, holder, told, amount, row.window, row.time_zone),
        )


def _key_holder(key: VirtualKey, lines: Mapping[int, int]) -> str:
    return f"{key.team.slug}/key/{lines.get(key.pk, key.pk)}"


def _rules(
    holder: str, name: str, row: Limited | None, budgets: tuple[BudgetPicture, ...]
) -> Rules:
    if row is None:
        return Rules(holder, name, budgets=budgets)
    return Rules(
        holder,
        name,
        row.requests_per_minute,
        row.tokens_per_minute,
        row.concurrent_requests,
        budgets,
    )


def _key_holders(rules: Mapping[str, Rules], lines: Mapping[int, int]) -> dict[int, str]:
    holders = {}
    for holder in rules:
        _team, mark, number = holder.partition("/key/")
        if mark:
            holders[int(number)] = holder
    of_line = {pk: holders[first] for pk, first in lines.items() if first in holders}
    return {**holders, **of_line}

"""The plan of a request as the playground shows it: to staff all of it, to others nothing of other teams and accounts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llmgateway.explained import ExplainedTarget, Explanation
from llmgateway.explanation_words import estimate_words

_CONDITION = re.compile(r"^(Route \d+ is passed over: ).+$", re.DOTALL)
_OF_TARGETS = "Target "
_HELD_TO = " is held to "


@dataclass(frozen=True, slots=True)
class ShownTarget:
    """A target in the order to try, and why it stands there."""

    target: ExplainedTarget
    place: str
    estimate: str


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """Why the plan is as it is."""

    told: Explanation
    steps: Sequence[str]
    targets: Sequence[ShownTarget]
    passed_over: Sequence[str]


def shown_plan(told: Explanation, *, sees_all: bool, sees_team: bool) -> ShownPlan:
    """What one may see of it.

    A route's conditions may name teams, other aliases are not everybody's to know, and what a team is held to is for
    those who see all of the team.
    """
    steps, passed_over = told.steps, told.passed_over
    if not sees_team:
        steps = tuple(step for step in steps if _HELD_TO not in step)
    if not sees_all:
        steps = tuple(_CONDITION.sub(r"\1a condition of it does not hold.", step) for step in steps)
        passed_over = tuple(step for step in passed_over if step.startswith(_OF_TARGETS))
    targets = [
        ShownTarget(target, _place(target), estimate_words(target.estimate))
        for target in told.targets
    ]
    return ShownPlan(told, steps, targets, passed_over)


def _place(target: ExplainedTarget) -> str:
    if target.refusal:
        return "cannot take it"
    if not target.is_reached:
        return "not reached"
    return "tried first" if target.number == 1 else "if those before fail"

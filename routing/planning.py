"""Which targets may answer a call, in the order to try them: pure, from a snapshot and the name asked for."""

import difflib
import random
import re
from dataclasses import dataclass, replace

from routing.errors import ModelUnknown, NoTarget
from routing.snapshot import AliasPicture, RoutePicture, Snapshot, Target, traits_of

SUGGESTIONS_MAX = 3
NAME_CHARS_MAX = 200
"""No alias is longer; a longer name is neither compared with them nor repeated in a message."""
PLACE = re.compile(r"\{(\w+)\}")


@dataclass(slots=True)
class Plan:
    """The targets chosen for one call, in the order to try. ``alias`` is the row's name or pattern."""

    alias: str
    snapshot_number: int
    targets: tuple[Target, ...]


def make_plan(snapshot: Snapshot, name: str, *, dice: random.Random) -> Plan:
    """The plan for a call that asks for ``name``.

    Raises:
        ModelUnknown: no alias matches.
        NoTarget: the alias that matches has nothing behind it that is enabled.
    """
    alias, matched = find_alias(snapshot, name)
    route = next(iter(alias.routes), None)
    if route is None or not route.targets:
        raise NoTarget(
            f"The model {name!r} has no target that can be called now: its route, deployment or provider is "
            f"switched off, missing, or without a credential. An administrator can mend this at Routing → Model aliases → {alias.name}."
        )
    targets = _ordered(route, dice)
    if matched:
        targets = tuple(_filled(target, matched) for target in targets)
    return Plan(alias=alias.name, snapshot_number=snapshot.number, targets=targets)


def find_alias(snapshot: Snapshot, name: str) -> tuple[AliasPicture, dict[str, str]]:
    """The alias for a name, an exact one before patterns, and what the pattern matched by group.

    Raises:
        ModelUnknown: with the nearest names there are.
    """
    exact = snapshot.exact.get(name)
    if exact is not None:
        return exact, {}
    for alias in snapshot.patterns:
        match = alias.pattern.fullmatch(name)
        if match:
            groups = {str(number): text or "" for number, text in enumerate(match.groups(), 1)}
            groups.update({key: text or "" for key, text in match.groupdict().items()})
            return alias, groups
    if len(name) > NAME_CHARS_MAX:
        raise ModelUnknown(
            f"The model {name[:NAME_CHARS_MAX]!r}… is not known here. GET /v1/models lists what is."
        )
    raise ModelUnknown(f"The model {name!r} is not known here.{_nearest(snapshot, name)}")


def _nearest(snapshot: Snapshot, name: str) -> str:
    visible = [alias.name for alias in snapshot.exact.values() if alias.visible]
    near = difflib.get_close_matches(name, visible, n=SUGGESTIONS_MAX, cutoff=0.4)
    if not near:
        return " GET /v1/models lists what is."
    return f" Did you mean {', '.join(near)}? GET /v1/models lists all."


def _ordered(route: RoutePicture, dice: random.Random) -> tuple[Target, ...]:
    if not route.weighted or len(route.targets) < 2:
        return route.targets
    weights = [target.weight for target in route.targets]
    if not any(weights):
        return route.targets
    first = dice.choices(route.targets, weights)[0]
    return (first, *(target for target in route.targets if target is not first))


def _filled(target: Target, groups: dict[str, str]) -> Target:
    """The target with ``{1}`` and ``{name}`` in its model replaced by what the alias matched."""
    if "{" not in target.upstream_model:
        return target
    # In one go, so that what the client wrote is never itself read as a place to fill.
    model = PLACE.sub(lambda place: groups.get(place[1], place[0]), target.upstream_model)
    # What a kind says of a model depends on its name, which is only known now.
    traits = traits_of(target.provider, model, target.overrides)
    return replace(target, upstream_model=model, traits=traits)

"""Orders the targets of a route: by weight, latency, cost, session, and by who has failed lately. Pure."""

import random
from collections.abc import Callable
from decimal import Decimal
from zlib import crc32

from routing.cooldown import Cooldowns
from routing.live import Latencies
from routing.pictures import Target

Targets = tuple[Target, ...]


def by_weight(targets: Targets, dice: random.Random, seed: str) -> Targets:
    """The first drawn by weight, the others behind it in their order.

    With a ``seed`` the draw is the same each time, in every process: a session keeps to its target without anybody
    having to remember it.
    """
    weights = [target.weight for target in targets]
    total = sum(weights)
    if not total:
        return targets
    point = (crc32(seed.encode()) / 2**32 if seed else dice.random()) * total
    for first, weight in zip(targets, weights, strict=True):
        point -= weight
        if point < 0:
            return _first(first, targets)
    return _first(targets[weights.index(max(weights))], targets)  # rounding


def by_latency(targets: Targets, latencies: Latencies) -> Targets:
    """The quickest first; what was never measured comes before all, so that it is."""
    means = {target.pk: latencies.mean_ms(target.pk) for target in targets}
    return tuple(sorted(targets, key=lambda target: means[target.pk] or 0.0))


def by_cost(targets: Targets, price_of: Callable[[Target], Decimal | None]) -> Targets:
    """The cheapest first, what has no price last."""
    prices = {id(target): price_of(target) for target in targets}
    priced = [target for target in targets if prices[id(target)] is not None]
    unpriced = [target for target in targets if prices[id(target)] is None]
    return (*sorted(priced, key=lambda target: prices[id(target)] or Decimal(0)), *unpriced)


def stuck_to(targets: Targets, deployment: int | None) -> Targets:
    """The deployment that answered the session last comes first, if it is among them."""
    for target in targets:
        if target.pk == deployment:
            return _first(target, targets)
    return targets


def cooled_last(targets: Targets, cooldowns: Cooldowns, now_s: float) -> Targets:
    """Without those that are skipped now; all of them, the one that is tried again soonest first, when all are."""
    awake = tuple(target for target in targets if not cooldowns.is_skipped(target.pk, now_s))
    if awake:
        return awake
    return tuple(sorted(targets, key=lambda target: cooldowns.remaining_s(target.pk, now_s)))


def _first(chosen: Target, targets: Targets) -> Targets:
    return (chosen, *(target for target in targets if target is not chosen))

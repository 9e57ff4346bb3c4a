"""The values of admission: which rules hold for a request, what it needs, and how a limit stands."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from accounting.windows import Window, window_of

What = Literal["requests", "tokens"]


@dataclass(frozen=True, slots=True)
class BudgetPicture:
    """A hard budget. ``holder`` is that of its rules; the window is told by its words, not yet placed in time."""

    pk: int
    holder: str
    name: str
    amount_pico: int
    window: str
    time_zone: str

    def window_at(self, now: datetime) -> Window:
        """The window in force at the moment."""
        return window_of(self.window, self.time_zone, now)


@dataclass(frozen=True, slots=True)
class Rules:
    """What one team, project or key is held to. ``holder`` is unique and begins with the team, such as ``alder/key/7``."""

    holder: str
    name: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    budgets: tuple[BudgetPicture, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to hold to."""
        return bool(
            self.requests_per_minute
            or self.tokens_per_minute
            or self.concurrent_requests
            or self.budgets
        )


class Need(msgspec.Struct):
    """What a request asks for. ``tokens`` are expected ones; ``worst_pico`` is a quick upper bound of its cost.

    ``narrow`` gives a closer bound, at the price of counting tokens; it is asked only where the quick one is too much, and
    is taken away once the request is in: it knows the whole prompt.
    """

    id: str
    tokens: int = 0
    worst_pico: int = 0
    narrow: Callable[[], int] | None = None


class Standing(NamedTuple):
    """How a limit by the minute stands after a request was let in or refused. ``reset_s``: until all of it is free."""

    what: What
    limit: int
    remaining: int
    reset_s: float


class Used(msgspec.Struct):
    """What a request has used so far, by all its attempts; costs by when their attempts began."""

    tokens: int = 0
    costs: list[tuple[datetime, int]] = []


class Admitted(Protocol):
    """A request that was let in. ``settle`` must be called once it is over; more calls have no effect."""

    standings: tuple[Standing, ...]

    def settle(self, used: Used) -> None:
        """Give back what was held, and count what was used instead."""
        ...


class Gate(Protocol):
    """Where limits and holds are kept."""

    async def admit(self, rules: tuple[Rules, ...], need: Need) -> Admitted:
        """Let a request in under all the rules at once, or under none.

        Raises:
            RateLimited: a limit by the minute, or of requests under way, is reached.
            BudgetExceeded: a hard budget has no room for it.
            LimitsUnreadable: it is not known how the limits stand.
        """
        ...

    def tick(self) -> None:
        """Do what is due. To be called several times a second."""
        ...

    def tidy(self) -> None:
        """Forget what is idle, and ask anew what is spent. To be called every minute."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...

    @property
    def failure(self) -> str:
        """Why limits are not where they should be kept; empty where they are."""
        ...


def tightest(standings: list[Standing]) -> tuple[Standing, ...]:
    """Of each kind the standing with the least left: the one that a client should go by."""
    if len(standings) < 2:
        return tuple(standings)
    found: dict[str, Standing] = {}
    for standing in standings:
        held = found.get(standing.what)
        if held is None or standing.remaining < held.remaining:
            found[standing.what] = standing
    return tuple(found.values())

"""What a process has learned of its targets while it ran: latencies, cooldowns, and which session went where."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from routing.cooldown import Cooldowns

WEIGHT_OF_NEW = 0.2
SESSIONS_MAX = 20_000


class Latencies:
    """A decaying mean of the time to the first byte of content for each deployment, in milliseconds."""

    def __init__(self) -> None:
        self._means_ms: dict[int, float] = {}

    def note(self, deployment: int, ms: float) -> None:
        """One more answer; the newest counts for a fifth."""
        old_ms = self._means_ms.get(deployment)
        self._means_ms[deployment] = (
            ms if old_ms is None else old_ms + WEIGHT_OF_NEW * (ms - old_ms)
        )

    def mean_ms(self, deployment: int) -> float | None:
        """None where nothing was measured yet."""
        return self._means_ms.get(deployment)


class Sessions:
    """Which deployment a session of a route went to last; the sessions heard of last are kept."""

    def __init__(self, tell: Callable[[dict[str, Any]], None] = lambda _news: None) -> None:
        self._tell = tell
        self._went: OrderedDict[tuple[int, str], int] = OrderedDict()

    def last(self, route: int, session: str) -> int | None:
        """The deployment, or None for a session that is new."""
        return self._went.get((route, session))

    def note(self, route: int, session: str, deployment: int) -> None:
        """The session was answered there."""
        if self._went.get((route, session)) != deployment:
            self._tell({"route": route, "session": session, "went": deployment})
        self._keep(route, session, deployment)

    def hear(self, news: dict[str, Any]) -> None:
        """Another process has answered a session. Raises KeyError or TypeError for what is no such news."""
        self._keep(int(news["route"]), str(news["session"]), int(news["went"]))

    def _keep(self, route: int, session: str, deployment: int) -> None:
        self._went[route, session] = deployment
        self._went.move_to_end((route, session))
        if len(self._went) > SESSIONS_MAX:
            self._went.popitem(last=False)


class Live:
    """One for each process. ``tell`` is called with what other processes should know; None where there are none."""

    def __init__(self) -> None:
        self.tell: Callable[[dict[str, Any]], None] | None = None
        self.cooldowns = Cooldowns(self._tell)
        self.latencies = Latencies()
        self.sessions = Sessions(self._tell)

    def hear(self, news: dict[str, Any]) -> None:
        """Take over what another process has learned. Raises KeyError, TypeError or ValueError for what is no news."""
        if "session" in news:
            self.sessions.hear(news)
        else:
            self.cooldowns.hear(news, time.monotonic())

    def _tell(self, news: dict[str, Any]) -> None:
        if self.tell is not None:
            self.tell(news)

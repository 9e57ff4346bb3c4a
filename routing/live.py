"""What a process has learned of its targets while it ran: latencies, cooldowns, and which session went where."""

from collections import OrderedDict

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

    def __init__(self) -> None:
        self._went: OrderedDict[tuple[int, str], int] = OrderedDict()

    def last(self, route: int, session: str) -> int | None:
        """The deployment, or None for a session that is new."""
        return self._went.get((route, session))

    def note(self, route: int, session: str, deployment: int) -> None:
        """The session was answered there."""
        self._went[route, session] = deployment
        self._went.move_to_end((route, session))
        if len(self._went) > SESSIONS_MAX:
            self._went.popitem(last=False)


class Live:
    """One for each process."""

    def __init__(self) -> None:
        self.cooldowns = Cooldowns()
        self.latencies = Latencies()
        self.sessions = Sessions()

"""How much happened within the last 60 seconds, never counted too low."""

from collections import deque
from math import floor

WINDOW_S = 60


class MinuteWindow:
    """Amounts by the second in which they were counted; each leaves a minute after the end of its second.

    So no 60 seconds, wherever they begin, hold more than a limit that is checked against ``sum``. Moments are
    monotonic seconds that never go back.
    """

    __slots__ = ("_seconds", "sum")

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()
        self.sum = 0

    def add(self, amount: int, second: int) -> None:
        """Count an amount in a whole second, under which it may be corrected."""
        seconds = self._seconds
        if seconds and (last := seconds[-1])[0] == second:
            last[1] += amount
        else:
            seconds.append([second, amount])
        self.sum += amount

    def correct(self, second: int, amount: int, now_s: float) -> None:
        """Change what was counted under a second; what has left by now stays out."""
        if second <= floor(now_s) - WINDOW_S - 1:
            return
        for held in reversed(
            self._seconds
        ):  # most requests are over in the second in which they came
            if held[0] == second:
                held[1] += amount
                self.sum += amount
                return

    def forget(self, now_s: float) -> int:
        """Let go of what is older than a minute; what is left."""
        seconds = self._seconds
        while seconds and seconds[0][0] + WINDOW_S + 1 <= now_s:
            self.sum -= seconds.popleft()[1]
        return self.sum

    def stand(self, now_s: float) -> tuple[int, float]:
        """What is left after ``forget``, and seconds until all of it is free again, if nothing else comes."""
        seconds = self._seconds
        if not seconds:
            return 0, 0.0
        left_s = seconds[-1][0] + WINDOW_S + 1 - now_s
        if seconds[0][0] + WINDOW_S + 1 <= now_s:
            self.forget(now_s)
        return self.sum, left_s if left_s > 0 else 0.0

    def wait_s(self, amount: int, limit: int, now_s: float) -> float:
        """Seconds until ``amount`` more fits under the limit, if nothing else comes; to be asked after ``forget``."""
        excess = self.sum + amount - limit
        leaving = floor(now_s) - WINDOW_S - 1
        for second, held in self._seconds:
            if excess <= 0:
                break
            excess -= held
            leaving = second
        return max(0.0, leaving + WINDOW_S + 1 - now_s)

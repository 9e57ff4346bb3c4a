"""Which deployments to skip, and until when; and which credentials.

A deployment that fails several times in a row is skipped for a while, each time twice as long, up to a limit. When the
while is over one request is let through to see; the others go on skipping it until that one has come back. A rate limit
with a Retry-After is obeyed at once. A credential that was refused, has no credit left or was rate limited rests alone.

Held in memory by each process. With Redis each tells the others when a while begins and when it is over
(``llmgateway/news.py``); without, or while Redis is away, the others learn it by themselves a few requests later.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from conversion.errors import (
    GatewayError,
    UpstreamBroken,
    UpstreamInvalid,
    UpstreamOutOfCredit,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamStreamCut,
    UpstreamTimedOut,
    UpstreamUnauthorized,
)
from routing.upstream.errors import NetworkError

COUNTED = (
    NetworkError,
    UpstreamBroken,
    UpstreamInvalid,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamStreamCut,
    UpstreamTimedOut,
)
"""Failures that say something about the deployment, and nothing about the request."""
REST_S = {UpstreamUnauthorized: 300.0, UpstreamOutOfCredit: 300.0, UpstreamRateLimited: 30.0}
"""How long a credential rests after each, where the provider does not say."""
PROBE_S = 60.0
"""A probe that nobody has heard of for so long is given up, and the next request is let through."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A provider's own: after how many failures in a row (0: never), for how many seconds first and at most."""

    after: int = 5
    first_s: float = 5.0
    longest_s: float = 300.0


@dataclass(slots=True)
class Cooling:
    """What is remembered of one deployment. ``until_s`` is 0 while it is not skipped."""

    failures: int = 0
    times: int = 0
    until_s: float = 0.0
    probe_until_s: float = 0.0
    reason: str = ""


class Cooldowns:
    """The memory of one process. Times are monotonic seconds; keys are the deployments' and credentials' numbers."""

    def __init__(self, tell: Callable[[dict[str, Any]], None] = lambda _news: None) -> None:
        self._tell = tell
        self._deployments: dict[int, Cooling] = {}
        self._credentials: dict[int, tuple[float, str]] = {}

    def is_skipped(self, deployment: int, now_s: float) -> bool:
        """Whether requests go past the deployment now. Asks without letting a probe through."""
        cooling = self._deployments.get(deployment)
        if cooling is None or cooling.until_s == 0.0:
            return False
        return now_s < cooling.until_s or now_s < cooling.probe_until_s

    def begin(self, deployment: int, now_s: float) -> None:
        """A request goes to the deployment: if its while is over, as the one that sees how it does."""
        cooling = self._deployments.get(deployment)
        if cooling is not None and cooling.until_s and now_s >= cooling.until_s:
            cooling.probe_until_s = now_s + PROBE_S

    def succeeded(self, deployment: int) -> None:
        """It answers: all is forgotten."""
        cooling = self._deployments.pop(deployment, None)
        if cooling is not None and cooling.until_s:
            self._tell({"deployment": deployment, "left_s": 0})

    def failed(self, deployment: int, error: GatewayError, policy: Policy, now_s: float) -> None:
        """It failed. Failures that say nothing about it have no effect but that the next request may probe it."""
        if policy.after == 0:
            return
        if not isinstance(error, COUNTED):
            if deployment in self._deployments:
                self._deployments[deployment].probe_until_s = 0.0
            return
        cooling = self._deployments.setdefault(deployment, Cooling())
        cooling.failures += 1
        is_told = isinstance(error, UpstreamRateLimited) and error.retry_after_s is not None
        is_skipped = now_s < cooling.until_s
        if is_skipped and not is_told:
            return  # it was asked before the while began, together with those that began it
        is_probe = cooling.until_s > 0.0 and not is_skipped
        if not (is_told or is_probe or cooling.failures >= policy.after):
            return
        wait_s = min(policy.longest_s, policy.first_s * 2.0**cooling.times)
        if is_told and error.retry_after_s is not None:
            wait_s = min(policy.longest_s, error.retry_after_s)
        if not is_skipped:
            cooling.times = min(cooling.times + 1, 30)
        cooling.until_s = now_s + wait_s
        cooling.probe_until_s = 0.0
        cooling.reason = type(error).__name__
        self._tell(
            {
                "deployment": deployment,
                "left_s": wait_s,
                "failures": cooling.failures,
                "times": cooling.times,
                "reason": cooling.reason,
            }
        )

    def forget(self, deployments: Iterable[int], credentials: Iterable[int]) -> None:
        """Somebody has edited what failed: the next request sees how it is now. Each process hears of edits by itself."""
        for pk in deployments:
            self._deployments.pop(pk, None)
        for pk in credentials:
            self._credentials.pop(pk, None)

    def hear(self, news: dict[str, Any], now_s: float) -> None:
        """Take over what another process has learned. Raises KeyError or TypeError for what is no such news."""
        left_s = float(news["left_s"])
        if "credential" in news:
            self._credentials[int(news["credential"])] = (now_s + left_s, str(news["reason"]))
        elif left_s:
            self._deployments[int(news["deployment"])] = Cooling(
                failures=int(news["failures"]),
                times=int(news["times"]),
                until_s=now_s + left_s,
                reason=str(news["reason"]),
            )
        else:
            self._deployments.pop(int(news["deployment"]), None)

    def remaining_s(self, deployment: int, now_s: float) -> float:
        """Seconds until the deployment is tried again; 0 when it is not skipped."""
        cooling = self._deployments.get(deployment)
        return max(0.0, cooling.until_s - now_s) if cooling else 0.0

    def state(self, now_s: float) -> dict[int, tuple[float, int, str]]:
        """For pages, from any thread: deployment -> (seconds left, failures in a row, the last failure's name)."""
        return {
            pk: (max(0.0, cooling.until_s - now_s), cooling.failures, cooling.reason)
            for pk, cooling in tuple(self._deployments.items())
            if cooling.until_s
        }

    def rest_credential(self, credential: int, error: GatewayError, now_s: float) -> bool:
        """Let a credential rest after a failure that is about it; whether it was."""
        for kind, default_s in REST_S.items():
            if isinstance(error, kind):
                wait_s = default_s if error.retry_after_s is None else error.retry_after_s
                reason = type(error).__name__
                self._credentials[credential] = (now_s + wait_s, reason)
                self._tell({"credential": credential, "left_s": wait_s, "reason": reason})
                return True
        return False

    def rest_left_s(self, credential: int, now_s: float) -> float:
        """Seconds for which a credential is not to be used; 0 when it may be."""
        until = self._credentials.get(credential)
        if until is None:
            return 0.0
        if now_s >= until[0]:
            del self._credentials[credential]
            return 0.0
        return until[0] - now_s

    def resting(self, now_s: float) -> dict[int, tuple[float, str]]:
        """For pages, from any thread: credential -> (seconds left, why)."""
        return {
            pk: (until_s - now_s, reason)
            for pk, (until_s, reason) in tuple(self._credentials.items())
            if until_s > now_s
        }

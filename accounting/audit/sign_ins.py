"""Notes who signs in, who signs out, and who is refused.

Anybody can be refused as often as they like, so entries of refusals are bounded: of more than so many within a minute
only the number is told, by the next that is noted. What was entered as a name is told only where somebody has that
name: people enter passwords there by mistake.
"""

import threading
import time
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model

from accounting.audit import actors, trail, values
from accounting.audit.trail import Draft

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SIGN_IN, SIGN_OUT, REFUSED = "sign in", "sign out", "refused"
REFUSALS_PER_MINUTE_MAX = 30
UNKNOWN = "a name that nobody has"


def note_sign_in(user: "User") -> None:
    """The person is who acts, also where the page did not know them yet."""
    trail.append([_draft(SIGN_IN, user)], actor=_as(user))


def note_sign_out(user: "User") -> None:
    """As for a sign-in."""
    trail.append([_draft(SIGN_OUT, user)], actor=_as(user))


def note_failure(username: str) -> None:
    """Somebody was not let in under the name."""
    untold = _refusals.take(time.monotonic())
    if untold is None:
        return
    users = get_user_model()._default_manager
    user = users.filter(**{get_user_model().USERNAME_FIELD: username}).first() if username else None
    told = {"refusals_not_told_of_before": untold} if untold else {}
    here = actors.current()
    nobody = actors.Actor(actors.NOBODY, here.via, address=here.address)
    trail.append([_draft(REFUSED, user, told)], actor=nobody)


def _as(user: "User") -> actors.Actor:
    here = actors.current()
    return actors.Actor(user.get_username(), here.via, user.pk, here.address)


def _draft(action: str, user: "User | None", told: dict[str, int] | None = None) -> Draft:
    kind = values.label_of(get_user_model())
    if user is None:
        return Draft(action, kind, name=UNKNOWN, after=told or {})
    return Draft(action, kind, str(user.pk), values.name_of(user), after=told or {})


class Refusals:
    """Counts refusals by the minute, in this process."""

    def __init__(self, per_minute_max: int) -> None:
        self._per_minute_max = per_minute_max
        self._lock = threading.Lock()
        self._minute = -1
        self._told = 0
        self._untold = 0

    def take(self, now_s: float) -> int | None:
        """None where this refusal is only counted; otherwise how many were only counted since the last one that is told."""
        with self._lock:
            minute = int(now_s // 60)
            if minute != self._minute:
                self._minute, self._told = minute, 0
            if self._told >= self._per_minute_max:
                self._untold += 1
                return None
            self._told += 1
            untold, self._untold = self._untold, 0
            return untold


_refusals = Refusals(REFUSALS_PER_MINUTE_MAX)

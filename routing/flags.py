"""Feature flags: declared here with a sentence each; rows hold their state, and an undeclared name raises.

Several rows may speak of one flag. The narrowest that fits the caller decides: the key's own row before the team's, that
before the one for everybody; without any, the first value from the environment. A percentage lets a share of the requests
see a flag that is on, told apart by the request's id, so that all attempts of one request see the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True, slots=True)
class Declared:
    """A flag as code knows it. ``variable`` is the environment variable that holds its first value."""

    name: str
    sentence: str
    is_on_at_first: bool

    @property
    def variable(self) -> str:
        """Such as STRICT_CONVERSION_ENABLED."""
        return f"{self.name.upper()}_ENABLED"


BYPASS_LITELLM = "bypass_litellm"
LITELLM_FALLBACK = "litellm_fallback"
LIVE_VIEW = "live_view"
LOG_BODIES = "log_bodies"
LOG_HEADERS = "log_headers"
STRICT_CONVERSION = "strict_conversion"
DECLARED: Mapping[str, Declared] = {
    flag.name: flag
    for flag in (
        Declared(
            BYPASS_LITELLM,
            "Targets that reach a provider directly come before those behind LiteLLM; off, LiteLLM comes first.",
            is_on_at_first=True,
        ),
        Declared(
            LITELLM_FALLBACK,
            "A request that fails directly is tried behind LiteLLM, or the other way round; off, it stays on its first path.",
            is_on_at_first=True,
        ),
        Declared(
            LIVE_VIEW,
            "Requests are shown on the live view while they run, to those who may see them.",
            is_on_at_first=True,
        ),
        Declared(
            LOG_HEADERS,
            "The headers of requests and answers are kept in the request log, masked.",
            is_on_at_first=False,
        ),
        Declared(
            LOG_BODIES,
            "The bodies of requests and answers are kept in the request log too, masked and cut to a limit.",
            is_on_at_first=False,
        ),
        Declared(
            STRICT_CONVERSION,
            "A request that a target cannot take whole is refused there, instead of being sent without what it cannot take.",
            is_on_at_first=False,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class FlagRow:
    """One row's word on a flag. ``team`` and ``key`` (a key's name) are empty where the row is for everybody."""

    enabled: bool
    team: str = ""
    key: str = ""
    percentage: int = 100

    def fits(self, team: str, key: str) -> bool:
        """Whether the row is about this caller."""
        return self.team in ("", team) and self.key in ("", key)

    @property
    def narrowness(self) -> tuple[bool, bool]:
        """Sorts rows of a key behind those of a team, and these behind the ones for everybody."""
        return bool(self.key), bool(self.team)


class FlagSet:
    """All flags at one moment: the rows' words, and the first values for what no row speaks of."""

    __slots__ = ("_first", "_rows", "ever_on")

    def __init__(self, rows: Mapping[str, tuple[FlagRow, ...]], first: Mapping[str, bool]) -> None:
        self._first = {
            name: first.get(name, flag.is_on_at_first) for name, flag in DECLARED.items()
        }
        self._rows = {
            name: tuple(sorted(found, key=lambda row: row.narrowness, reverse=True))
            for name, found in rows.items()
            if name in DECLARED
        }
        self.ever_on = frozenset(
            name
            for name, first_value in self._first.items()
            if first_value or any(row.enabled for row in self._rows.get(name, ()))
        )
        """Those that are on for anybody at all: of the others no request needs to be looked at."""

    def is_on(self, name: str, *, team: str, key: str, request_id: str) -> bool:
        """Whether the flag is on for this caller's request.

        Raises:
            KeyError: no such flag is declared.
        """
        first = self._first[name]
        for row in self._rows.get(name, ()):
            if row.fits(team, key):
                return row.enabled and (
                    row.percentage >= 100 or share_of(name, request_id) < row.percentage
                )
        return first


def share_of(name: str, request_id: str) -> int:
    """A number from 0 to 99 that stays with the request, and differs from flag to flag."""
    return crc32(f"{name}:{request_id}".encode()) % 100

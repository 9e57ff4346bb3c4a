"""How much the bodies of all requests that a process has under way may hold together; knows nothing of HTTP.

A bound on each body alone bounds nothing: forty clients that send as much as each may are a process that is killed.
Used from the event loop only.
"""

from llmgateway.errors import BodiesTooMany

ASK_AGAIN_S = 1.0


class Room:
    """What there is for all of them, and how much of it is taken. ``setting`` is what an operator changes it by."""

    __slots__ = ("bytes_max", "setting", "taken")

    def __init__(self, bytes_max: int, setting: str) -> None:
        self.bytes_max = bytes_max
        self.setting = setting
        self.taken = 0

    def check(self, count_bytes: int) -> None:
        """Nothing, where so many bytes more would fit.

        Raises:
            BodiesTooMany: they would not.
        """
        if self.taken + count_bytes > self.bytes_max:
            raise BodiesTooMany(
                f"The requests under way hold as much as they may together, {self.bytes_max} bytes ({self.setting}). "
                "Send it again in a moment.",
                retry_after_s=ASK_AGAIN_S,
            )


class Share:
    """What one request holds of it; it takes as bytes come, and gives all back at its end."""

    __slots__ = ("_room", "_taken")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def take(self, count_bytes: int) -> None:
        """So many bytes more.

        Raises:
            BodiesTooMany: there is no room for them.
        """
        room = self._room
        if room.taken + count_bytes > room.bytes_max:
            room.check(count_bytes)
        room.taken += count_bytes
        self._taken += count_bytes

    def give(self, count_bytes: int) -> None:
        """So many of those that were taken."""
        self._room.taken -= count_bytes
        self._taken -= count_bytes

    def end(self) -> None:
        """Give back all; safe to repeat."""
        self._room.taken -= self._taken
        self._taken = 0

"""Lets so many requests at once go to a provider; the next ones wait for their turn, for a while, in order.

One for each process and provider. A limit that is edited counts from the next request on.
"""

import asyncio
from collections import deque

from routing.errors import ProviderBusy
from routing.pictures import ProviderPicture


class Turns:
    """The turns of one provider."""

    def __init__(self) -> None:
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def take(self, provider: ProviderPicture) -> None:
        """Wait for a turn; ``give_back`` must follow.

        Raises:
            ProviderBusy: too many wait already, or the wait was too long.
        """
        if self.running < provider.concurrent_max and not self._waiting:
            self.running += 1
            return
        if len(self._waiting) >= provider.queue_max:
            raise ProviderBusy(
                f"provider {provider.slug} has {self.running} requests under way and {len(self._waiting)} waiting "
                "(its settings concurrent requests and waiting requests)"
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(provider.queue_wait_s):
                await turn
        except TimeoutError as error:
            self._leave(turn)
            raise ProviderBusy(
                f"provider {provider.slug} had no turn for this request within {provider.queue_wait_s:g} s "
                "(its setting longest wait for a turn)"
            ) from error
        except asyncio.CancelledError:
            self._leave(turn)
            raise

    def give_back(self) -> None:
        """The request is over; the one that waits longest is next."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def _leave(self, turn: "asyncio.Future[None]") -> None:
        """Wait no longer; a turn that came at the same moment goes to the next."""
        if turn.done() and not turn.cancelled():
            self.give_back()
        elif turn in self._waiting:
            self._waiting.remove(turn)


class TurnBook:
    """The turns of all providers that have a limit."""

    def __init__(self) -> None:
        self._turns: dict[int, Turns] = {}

    async def take(self, provider: ProviderPicture) -> Turns | None:
        """A turn to be given back; None where the provider has no limit.

        Raises:
            ProviderBusy: there is none to be had.
        """
        if provider.concurrent_max == 0:
            return None
        turns = self._turns.setdefault(provider.pk, Turns())
        await turns.take(provider)
        return turns

    def state(self) -> dict[int, tuple[int, int]]:
        """For pages: provider -> (running, waiting)."""
        return {pk: (turns.running, turns.waiting) for pk, turns in self._turns.items()}

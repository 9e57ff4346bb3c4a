"""Lets so many requests at once go to a provider; the next ones wait for their turn, for a while, in order.

One for each process and provider. A limit that is edited counts from the next request on. Where several processes
serve, a turn in this one is followed by a place among all of them (``Places``): those of one process keep their order,
those of several do not, because whoever waits asks again a moment later.
"""

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from routing.errors import ProviderBusy
from routing.pictures import ProviderPicture

ASK_AGAIN_S = 0.03
"""How long whoever waits for a place leaves it at least, before asking again; at most twice that."""


class Places(Protocol):
    """Counts a provider's requests over all processes."""

    async def take(self, provider: int, most: int) -> str | None:
        """A place to be given back, or "" for one that nobody counts; None when all are taken.

        Raises:
            ProviderBusy: they cannot be counted, and the policy is to send nothing then.
        """
        ...

    def give_back(self, provider: int, place: str) -> None:
        """It is free again. Without a wait."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One request's, to be given back once."""

    turns: "Turns"
    provider: int
    place: str = ""

    def give_back(self) -> None:
        """The request is over."""
        if self.place and self.turns.places is not None:
            self.turns.places.give_back(self.provider, self.place)
        self.turns.give_back()


class Turns:
    """The turns of one provider."""

    def __init__(self, places: Places | None = None) -> None:
        self.places = places
        self._taken = 0
        self._most = 0
        self._asking = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def running(self) -> int:
        """How many requests of this process are under way."""
        return self._taken - self._asking

    @property
    def waiting(self) -> int:
        """How many wait, for a turn here or for a place among all processes."""
        return len(self._waiting) + self._asking

    async def take(self, provider: ProviderPicture) -> Turn:
        """Wait for a turn, which must be given back.

        Raises:
            ProviderBusy: too many wait already, or the wait was too long.
        """
        if self.places is None and self._taken < provider.concurrent_max and not self._waiting:
            self._taken += 1
            return Turn(self, provider.pk)
        try:
            async with asyncio.timeout(provider.queue_wait_s):
                await self._take_here(provider)
                return Turn(self, provider.pk, await self._take_place(provider))
        except TimeoutError as error:
            raise ProviderBusy(
                f"provider {provider.slug} had no turn for this request within {provider.queue_wait_s:g} s "
                "(its setting longest wait for a turn)"
            ) from error

    async def _take_here(self, provider: ProviderPicture) -> None:
        self._most = provider.concurrent_max
        self._let_in()  # those who wait, where the limit is another now
        if self._taken < provider.concurrent_max and not self._waiting:
            self._taken += 1
            return
        self._check_queue(provider)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._leave(turn)
            raise

    async def _take_place(self, provider: ProviderPicture) -> str:
        """A place for a request that has a turn here; without one, the turn is given back."""
        places = self.places
        if places is None:
            return ""
        is_asking = False
        try:
            while (place := await places.take(provider.pk, provider.concurrent_max)) is None:
                if not is_asking:
                    self._check_queue(provider)
                    is_asking = True
                    self._asking += 1
                await asyncio.sleep(ASK_AGAIN_S * (1 + random.random()))  # noqa: S311  (spreads load; no secret)
        except BaseException:
            self.give_back()
            raise
        else:
            return place
        finally:
            self._asking -= is_asking

    def _check_queue(self, provider: ProviderPicture) -> None:
        if self.waiting >= provider.queue_max:
            raise ProviderBusy(
                f"provider {provider.slug} has {self.running} requests under way and {self.waiting} waiting "
                "(its settings concurrent requests and waiting requests)"
            )

    def give_back(self) -> None:
        """The request is over; the one that waits longest is next."""
        self._taken -= 1
        self._let_in()

    def _let_in(self) -> None:
        """The turns that are free go to those that wait longest."""
        while self._waiting and self._taken < self._most:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def _leave(self, turn: "asyncio.Future[None]") -> None:
        """Wait no longer; a turn that came at the same moment goes to the next."""
        if turn.done() and not turn.cancelled():
            self.give_back()
        elif turn in self._waiting:
            self._waiting.remove(turn)


class TurnBook:
    """The turns of all providers that have a limit, counted over all processes where there are ``places``."""

    def __init__(self, places: Places | None = None) -> None:
        self._places = places
        self._turns: dict[int, Turns] = {}

    async def take(self, provider: ProviderPicture) -> Turn | None:
        """A turn to be given back; None where the provider has no limit.

        Raises:
            ProviderBusy: there is none to be had.
        """
        if provider.concurrent_max == 0:
            return None
        turns = self._turns.get(provider.pk)
        if turns is None:
            turns = self._turns[provider.pk] = Turns(self._places)
        return await turns.take(provider)

    def state(self) -> dict[int, tuple[int, int]]:
        """For pages: provider -> (running, waiting)."""
        return {pk: (turns.running, turns.waiting) for pk, turns in self._turns.items()}

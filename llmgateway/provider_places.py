"""Counts in Redis how many requests all processes have under way at a provider: one step there for each to begin.

Theory of operation. A place is a member of the provider's sorted set, scored by the end of its lease, which its process
renews while the request runs: what a killed process held comes back when the lease ends. While Redis cannot be reached
the policy rules (GATEWAY_REDIS_OUTAGE): ``local``, where each process goes on by its own count alone, or ``refuse``, where
nothing is sent to a provider that has a limit. Places that could not be given back are given back when it is there again.

Accepted as inexact: requests that began while Redis was away, or before it lost its data, are not counted.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Awaitable
from functools import partial

from accounting.admission.script_calls import ScriptCalls, open_redis
from accounting.admission.shared import (
    AWAY_S,
    FAILURES,
    LEASE_S,
    REDIS_WAIT_S,
    RENEW_EVERY_S,
)
from llmgateway.tasks import spawn
from routing.errors import ProviderBusy

log = logging.getLogger(__name__)

TAKE = """
-- KEYS: the places; ARGV: id, lease (s), how many there are
local t = redis.call('TIME')
local moment = tonumber(t[1]) + tonumber(t[2]) / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', moment)
-- A call may be repeated whose answer was lost: what it took is its own.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], moment + tonumber(ARGV[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2])) + 5)
return 1
"""
GIVE_BACK = """
-- KEYS: the places; ARGV: id
return redis.call('ZREM', KEYS[1], ARGV[1])
"""


class SharedPlaces:
    """One for each event loop; all on one Redis and prefix count together."""

    def __init__(
        self, url: str, *, prefix: str, policy: str = "local", lease_s: float = LEASE_S
    ) -> None:
        self._redis = open_redis(url, REDIS_WAIT_S)
        self._calls = ScriptCalls(self._redis, REDIS_WAIT_S)
        self._take = self._redis.register_script(TAKE)
        self._free = self._redis.register_script(GIVE_BACK)
        self._prefix = prefix
        self._policy = policy
        self._lease_s = lease_s
        self._process = secrets.token_hex(4)
        self._made = 0
        self._held: set[tuple[int, str]] = set()
        self._left: set[tuple[int, str]] = set()
        self._away_until_s = 0.0
        self._renewed_s = time.monotonic()

    async def take(self, provider: int, most: int) -> str | None:
        """A place among so many; "" where Redis is away and nobody counts; None when all are taken.

        Raises:
            ProviderBusy: Redis is away, and the policy is to refuse.
        """
        if time.monotonic() < self._away_until_s:
            return self._without()
        self._made += 1
        place = f"{self._process}-{self._made}"
        asking = self._calls.call(
            self._take, keys=[self._key(provider)], args=[place, self._lease_s, most]
        )
        try:
            is_taken = await asyncio.shield(asking)
        except asyncio.CancelledError:
            # Redis may have given it by now: who left must not keep it.
            asking.add_done_callback(partial(self._give_up, provider, place))
            raise
        except FAILURES as error:
            self._note_away(error)
            return self._without()
        if not is_taken:
            return None
        self._held.add((provider, place))
        return place

    def give_back(self, provider: int, place: str) -> None:
        """It is free: told to Redis beside the request, so that nobody can cancel it."""
        self._held.discard((provider, place))
        telling = self._calls.call(self._free, keys=[self._key(provider)], args=[place])
        telling.add_done_callback(partial(self._told, provider, place))

    def _told(self, provider: int, place: str, telling: "asyncio.Future[int]") -> None:
        error = None if telling.cancelled() else telling.exception()
        if telling.cancelled() or error is not None:
            self._left.add((provider, place))
        if isinstance(error, Exception):
            self._note_away(error)

    def tick(self) -> None:
        """Renew leases and give back what could not be, when it is time. To be called several times a second."""
        now_s = time.monotonic()
        if self._left and now_s >= self._away_until_s:
            left, self._left = self._left, set()
            for provider, place in left:
                self.give_back(provider, place)
        if now_s - self._renewed_s >= RENEW_EVERY_S * self._lease_s / LEASE_S:
            self._renewed_s = now_s
            if self._held and now_s >= self._away_until_s:
                spawn(self._quietly(self._renew()), name="places renewed")

    async def close(self) -> None:
        """Give back what is held, and let go of the connections."""
        held = self._held | self._left
        self._held, self._left = set(), set()
        for provider, place in held:
            self.give_back(provider, place)
        await self._calls.finish(REDIS_WAIT_S)
        await self._calls.close()
        await self._redis.aclose()

    def _give_up(self, provider: int, place: str, asking: "asyncio.Future[int]") -> None:
        if not asking.cancelled() and asking.exception() is None and asking.result():
            self.give_back(provider, place)

    async def _renew(self) -> None:
        until = (await self._redis.time())[0] + self._lease_s
        pipe = self._redis.pipeline(transaction=False)
        for provider, place in self._held:
            pipe.zadd(self._key(provider), {place: until}, xx=True)
            pipe.expire(self._key(provider), math.ceil(self._lease_s) + 5)
        await pipe.execute()

    async def _quietly(self, work: Awaitable[None]) -> None:
        try:
            await work
        except FAILURES as error:
            self._note_away(error)

    def _without(self) -> str:
        if self._policy == "refuse":
            raise ProviderBusy(
                "Redis cannot be reached, in which the provider's concurrent requests are counted "
                "(GATEWAY_REDIS_OUTAGE is refuse)"
            )
        return ""

    def _note_away(self, error: Exception) -> None:
        log.warning(
            "a provider's concurrent requests cannot be counted together",
            extra={"error": type(error).__name__, "policy": self._policy},
        )
        self._away_until_s = time.monotonic() + AWAY_S

    def _key(self, provider: int) -> str:
        return f"{self._prefix}:provider:{provider}:running"

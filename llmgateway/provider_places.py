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

from redis.asyncio import BlockingConnectionPool, Redis

from accounting.admission.shared import (
    AWAY_S,
    CONNECTIONS_MAX,
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
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], moment + tonumber(ARGV[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2])) + 5)
return 1
"""


class SharedPlaces:
    """One for each event loop; all on one Redis and prefix count together."""

    def __init__(
        self, url: str, *, prefix: str, policy: str = "local", lease_s: float = LEASE_S
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=REDIS_WAIT_S,
            socket_timeout=REDIS_WAIT_S,
            socket_connect_timeout=REDIS_WAIT_S,
            decode_responses=True,
        )
        self._redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(TAKE)
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
        asking = asyncio.ensure_future(
            self._take(keys=[self._key(provider)], args=[place, self._lease_s, most])
        )
        try:
            is_taken = await asyncio.shield(asking)
        except asyncio.CancelledError:
            # Redis may have given it by now: who left must not keep it.
            spawn(self._give_up(asking, provider, place), name="place given up")
            raise
        except FAILURES as error:
            self._note_away(error)
            return self._without()
        if not is_taken:
            return None
        self._held.add((provider, place))
        return place

    def give_back(self, provider: int, place: str) -> None:
        """It is free: told to Redis in a task of its own, which nobody can cancel."""
        self._held.discard((provider, place))
        spawn(self._remove(provider, place), name="place given back")

    def tick(self) -> None:
        """Renew leases and give back what could not be, when it is time. To be called several times a second."""
        now_s = time.monotonic()
        if self._left and now_s >= self._away_until_s:
            left, self._left = self._left, set()
            for provider, place in left:
                spawn(self._remove(provider, place), name="place given back")
        if now_s - self._renewed_s >= RENEW_EVERY_S * self._lease_s / LEASE_S:
            self._renewed_s = now_s
            if self._held and now_s >= self._away_until_s:
                spawn(self._quietly(self._renew()), name="places renewed")

    async def close(self) -> None:
        """Give back what is held, and let go of the connections."""
        held = self._held | self._left
        self._held, self._left = set(), set()
        for provider, place in held:
            await self._remove(provider, place)
        await self._redis.aclose()

    async def _give_up(self, asking: "asyncio.Future[int]", provider: int, place: str) -> None:
        await asyncio.wait([asking])
        if not asking.cancelled() and asking.exception() is None and asking.result():
            await self._remove(provider, place)

    async def _remove(self, provider: int, place: str) -> None:
        try:
            await self._redis.zrem(self._key(provider), place)
        except FAILURES as error:
            self._left.add((provider, place))
            self._note_away(error)

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

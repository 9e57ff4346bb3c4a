"""Limits and holds in Redis: shared by all workers and machines, each admission and each settlement one step there.

Theory of operation. As in ``local.py``, with the state in Redis. A request's place among those under way and its
holds have a lease, which its process renews while it runs: what a killed process held comes back when the lease ends.
A budget's account is opened by whichever process needs it first: it marks the account (``since``), waits until every
worker has written what it settled before, asks the ledger, and adds what was settled meanwhile; the others wait.

While Redis cannot be reached the policy rules (GATEWAY_REDIS_OUTAGE). ``local``: each process goes on by its own
memory, beginning with what the ledger says is spent, so that N workers together may let in up to N times a minute's
requests, and may exceed a budget by what the others spend until the ledger is asked again (every two seconds).
``refuse``: nothing is let in that has limits. Costs that could not be told to Redis are told when it is back.

Accepted as inexact: amounts are rounded up to whole nanodollars; when Redis has lost its data while requests are
under way, what is settled in the third of a second in which the account is opened may count twice until it is opened
anew (a minute later), never not at all. What is held for them is held again by the process that asks for the account
first, and by the others when they renew their leases (every 20 seconds).
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from accounting.admission import scripts
from accounting.admission.local import LocalGate, ReadSpent
from accounting.admission.script_calls import ScriptCalls, open_redis
from accounting.admission.telling import (
    exceeded,
    reserved,
    too_many_at_once,
    too_many_requests,
    too_many_tokens,
    unreadable,
)
from accounting.admission.values import (
    Admitted,
    BudgetPicture,
    Need,
    Rules,
    Standing,
    Used,
    tightest,
)
from accounting.windows import Window
from conversion.errors import GatewayError

log = logging.getLogger(__name__)

LEASE_S = 60.0
RENEW_EVERY_S = 20.0
REDIS_WAIT_S = 1.0
"""How long Redis may take to answer before it counts as away."""
AWAY_S = 1.0
"""How long Redis is left alone after it was found away."""
SETTLING_S = 0.3
"""How long every worker needs to write what it has settled: six of the ledger's batches."""
OPENING_S = 5
REOPEN_S = 45.0
"""After how long an account is opened anew where nothing is held, by whoever comes first: all of them look every minute."""
BUSY_REOPEN_S = 600.0
"""After how long an account is opened anew although something is held: what is settled meanwhile may count twice."""
KEPT_S = 45 * 24 * 3600
"""How long an account without requests is kept; it is opened anew after that."""
PICO_PER_NANO = 1000
FAILURES = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a budget's window is kept in Redis."""

    budget: BudgetPicture
    window: Window
    keys: tuple[str, str, str]
    since_s: float = field(default_factory=time.monotonic)

    @property
    def account(self) -> str:
        """The key of its account."""
        return self.keys[0]


@dataclass(slots=True, eq=False)
class SharedAdmitted:
    """A request that was let in by Redis."""

    gate: "SharedGate"
    need: Need
    rule_keys: list[tuple[str, str, str]]
    places: list[Place]
    second: int
    standings: tuple[Standing, ...]
    worst: int
    is_settled: bool = False

    def settle(self, used: Used) -> None:
        """Give back what was held, and count what was used instead: beside the request, so that nobody can cancel it."""
        if not self.is_settled:
            self.is_settled = True
            self.gate.settle_soon(self, used)


@dataclass(slots=True)
class LocallyAdmitted:
    """A request that was let in while Redis was away: what it costs is told to Redis later."""

    gate: "SharedGate"
    inner: Admitted
    budgets: list[BudgetPicture]
    standings: tuple[Standing, ...] = field(init=False)
    is_settled: bool = False

    def __post_init__(self) -> None:
        self.standings = self.inner.standings

    def settle(self, used: Used) -> None:
        """Book it here, and remember it for Redis."""
        if not self.is_settled:
            self.is_settled = True
            self.inner.settle(used)
            for budget in self.budgets:
                self.gate.owe(budget, used)


class SharedGate:
    """One for each event loop; all gates on one Redis and prefix count together."""

    def __init__(
        self,
        url: str,
        read_spent: ReadSpent,
        *,
        prefix: str = "llmgw",
        policy: str = "local",
        wait_s: float = 10.0,
        lease_s: float = LEASE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._redis = open_redis(url, REDIS_WAIT_S)
        self._calls = ScriptCalls(self._redis, REDIS_WAIT_S)
        self._admit = self._redis.register_script(scripts.ADMIT)
        self._settle = self._redis.register_script(scripts.SETTLE)
        self._hold_on = self._redis.register_script(scripts.RENEW)
        self._open = self._redis.register_script(scripts.OPEN)
        self._read_spent = read_spent
        self._prefix = prefix
        self._policy = policy
        self._wait_s = wait_s
        self._lease_s = lease_s
        self._now = now
        self._local = LocalGate(read_spent, wait_s=wait_s, now=now)
        self._running: set[SharedAdmitted] = set()
        self._known: dict[str, Place] = {}
        self._owed: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._away_until_s = 0.0
        self._renewed_s = time.monotonic()
        self.failure = ""

    async def admit(self, rules: tuple[Rules, ...], need: Need) -> Admitted:
        """Let a request in under all the rules at once, or under none; errors as ``Gate``."""
        if time.monotonic() < self._away_until_s:
            return await self._admit_without(rules, need)
        try:
            return await self._admit_by_redis(rules, need)
        except FAILURES as error:
            self._note_away(error)
            return await self._admit_without(rules, need)

    async def _admit_without(self, rules: tuple[Rules, ...], need: Need) -> Admitted:
        if self._policy == "refuse":
            raise unreadable("Redis cannot be reached")
        inner = await self._local.admit(rules, need)
        budgets = [budget for rule in rules for budget in rule.budgets]
        return LocallyAdmitted(self, inner, budgets)

    async def _admit_by_redis(self, rules: tuple[Rules, ...], need: Need) -> Admitted:
        rule_keys = [self._rule_keys(rule) for rule in rules]
        budgets = [budget for rule in rules for budget in rule.budgets]
        worst, is_narrow = nano(need.worst_pico), need.narrow is None
        until_s = time.monotonic() + self._wait_s
        while True:
            places = [self._place(budget, budget.window_at(self._now())) for budget in budgets]
            asking = self._ask(rules, need, rule_keys, places, worst)
            try:
                told = await asyncio.shield(asking)
            except asyncio.CancelledError:
                # Redis may have let it in by now: the client that left must not keep its place.
                asking.add_done_callback(partial(self._give_up, need, rule_keys, places))
                raise
            word = told[0]
            if word == "ok":
                standings = tightest([Standing(w, n, left, float(s)) for w, n, left, s in told[2:]])
                admitted = SharedAdmitted(
                    self, need, rule_keys, places, int(told[1]), standings, worst
                )
                self._running.add(admitted)
                for place in places:  # whoever opened it may be gone when it is due anew
                    self._known.setdefault(place.account, place)
                self._note_there()
                return admitted
            if word == "unopened":
                await (
                    self._renew()
                )  # if Redis has lost the account, it has lost what is held in it, too
                await self._open_account(places[told[1]], until_s)
            elif may_be_less(told) and not is_narrow and need.narrow is not None:
                worst, is_narrow = min(worst, nano(need.narrow())), True
            elif word == "reserved" and time.monotonic() < until_s:
                await asyncio.sleep(0.02 + 0.06 * random.random())  # noqa: S311  (spreads load; no secret)
            else:
                raise self._refusal(told, rules, places)

    def _give_up(
        self,
        need: Need,
        rule_keys: list[tuple[str, str, str]],
        places: list[Place],
        asking: asyncio.Future[list[Any]],
    ) -> None:
        """Give back what was let in for nobody."""
        if asking.cancelled() or asking.exception() is not None:
            return
        told = asking.result()
        if told[0] == "ok":
            SharedAdmitted(self, need, rule_keys, places, int(told[1]), (), 0).settle(Used())

    def _ask(
        self,
        rules: tuple[Rules, ...],
        need: Need,
        rule_keys: list[tuple[str, str, str]],
        places: list[Place],
        worst: int,
    ) -> "asyncio.Future[list[Any]]":
        keys = [key for keys in (*rule_keys, *(place.keys for place in places)) for key in keys]
        limits = [
            limit or 0
            for rule in rules
            for limit in (
                rule.requests_per_minute,
                rule.tokens_per_minute,
                rule.concurrent_requests,
            )
        ]
        amounts = [
            value
            for place in places
            for value in (place.budget.amount_pico // PICO_PER_NANO, KEPT_S)
        ]
        head: list[str | float] = [
            need.id,
            self._lease_s,
            need.tokens,
            worst,
            len(rules),
            len(places),
        ]
        return self._calls.call(self._admit, keys=keys, args=[*head, *limits, *amounts])

    def _refusal(
        self, told: list[Any], rules: tuple[Rules, ...], places: list[Place]
    ) -> GatewayError:
        word, number = told[0], told[1]
        if word == "busy":
            return too_many_at_once(rules[number])
        if word == "requests":
            limit = rules[number].requests_per_minute or 0
            return too_many_requests(
                rules[number], Standing("requests", limit, 0, float(told[3])), float(told[2])
            )
        if word == "tokens":
            limit = rules[number].tokens_per_minute or 0
            standing = Standing("tokens", limit, told[2], float(told[4]))
            return too_many_tokens(rules[number], standing, float(told[3]))
        place = places[number]
        if word == "reserved":
            return reserved(place.budget)
        left = int(told[2]) * PICO_PER_NANO
        return exceeded(place.budget, place.window, left, self._now())

    async def _open_account(self, place: Place, until_s: float, *, anew: bool = False) -> None:
        """Have the account opened, by this process or another.

        Raises:
            LimitsUnreadable: nobody could.
        """
        lock = f"{place.account}:opening"
        if not await self._redis.set(lock, "1", nx=True, ex=OPENING_S):
            if time.monotonic() >= until_s:
                raise unreadable("a budget's account could not be opened")
            await asyncio.sleep(0 if anew else 0.05)
            return
        try:
            if not anew and await self._redis.hexists(place.account, "spent"):
                return  # somebody has opened it since it was found unopened
            await self._redis.hset(place.account, "since", "0")
            await asyncio.sleep(SETTLING_S)
            spent = await asyncio.wait_for(
                self._read_spent(place.budget, place.window), OPENING_S - 1
            )
        except FAILURES:
            raise
        except Exception as error:
            log.exception("what is spent cannot be read", extra={"budget": place.budget.pk})
            raise unreadable(type(error).__name__) from error
        else:
            await self._open(keys=[place.account], args=[nano(spent), KEPT_S])
            self._known[place.account] = self._place(place.budget, place.window)
        finally:
            await self._redis.delete(lock)

    def settle_soon(self, admitted: SharedAdmitted, used: Used) -> None:
        """Tell Redis of a request that is over."""
        self._running.discard(admitted)
        booked = {
            place.account: (place, self._cost_in(place.window, used)) for place in admitted.places
        }
        for place in admitted.places:
            # An attempt that began after midnight counts in the new window, in which nothing is held for it.
            later = self._place(place.budget, place.budget.window_at(self._now()))
            if later.account not in booked:
                booked[later.account] = (later, self._cost_in(later.window, used))
        self._tell_of_end(admitted, list(booked.values()), used.tokens - admitted.need.tokens)

    def _tell_of_end(
        self, admitted: SharedAdmitted, booked: list[tuple[Place, int]], more_tokens: int
    ) -> None:
        """Have Redis give back what is held, and add what it has cost, in nanodollars, and the tokens."""
        keys = [key for keys in admitted.rule_keys for key in keys[1:]]
        keys += [key for place, _cost in booked for key in place.keys]
        head: list[str | int] = [
            admitted.need.id,
            len(admitted.rule_keys),
            len(booked),
            admitted.second,
            more_tokens,
        ]
        costs = {place.account: cost for place, cost in booked}
        telling = self._calls.call(
            self._settle,
            keys=keys,
            args=[*head, 0, *costs.values()],
            args_again=[*head, 1, *costs.values()],
        )
        telling.add_done_callback(partial(self._told_of_settling, costs))

    def _told_of_settling(self, costs: dict[str, int], telling: asyncio.Future[Any]) -> None:
        error = None if telling.cancelled() else telling.exception()
        if error is None and not telling.cancelled():
            return
        if isinstance(error, Exception):
            self._note_away(error)
        for account, cost in costs.items():
            self._owed[account] = self._owed.get(account, 0) + cost

    def owe(self, budget: BudgetPicture, used: Used) -> None:
        """Remember what Redis must be told of a request that was let in without it."""
        place = self._place(budget, budget.window_at(self._now()))
        cost = self._cost_in(place.window, used)
        if cost:
            self._owed[place.account] = self._owed.get(place.account, 0) + cost

    async def _pay(self) -> None:
        """Tell Redis what it missed."""
        owed, self._owed = self._owed, {}
        for account, cost in owed.items():
            try:
                if await self._redis.hexists(account, "spent"):
                    await self._redis.hincrby(account, "spent", cost)
            except FAILURES as error:
                self._owed[account] = self._owed.get(account, 0) + cost
                self._note_away(error)

    def tidy(self) -> None:
        """Ask anew what is spent where nothing is held. To be called every minute."""
        self._local.tidy()
        self._spawn(self._reopen())

    def tick(self) -> None:
        """Renew leases when it is time, and the local accounts while Redis is away. To be called several times a second."""
        now_s = time.monotonic()
        if self.failure and now_s >= self._away_until_s:
            self._spawn(self._look())
            self._local.tidy()
            self._away_until_s = now_s + AWAY_S
        elif now_s - self._renewed_s >= RENEW_EVERY_S * self._lease_s / LEASE_S:
            self._renewed_s = now_s
            if self._running:
                self._spawn(self._renew())

    async def _look(self) -> None:
        """See whether Redis is there again."""
        try:
            await self._redis.ping()
        except FAILURES as error:
            self._note_away(error)
        else:
            self._note_there()

    async def _renew(self) -> None:
        """Say again what is held for requests under way: to one that has forgotten it, too."""
        await asyncio.gather(*(self._renew_one(admitted) for admitted in self._running))

    def _renew_one(self, admitted: SharedAdmitted) -> "asyncio.Future[Any]":
        keys = [keys[2] for keys in admitted.rule_keys]
        keys += [key for place in admitted.places for key in place.keys]
        counts = (len(admitted.rule_keys), len(admitted.places))
        renewing = self._calls.call(
            self._hold_on,
            keys=keys,
            args=[admitted.need.id, self._lease_s, *counts, admitted.worst, KEPT_S],
        )
        renewing.add_done_callback(partial(self._renewed, admitted))
        return renewing

    def _renewed(self, admitted: SharedAdmitted, renewing: asyncio.Future[Any]) -> None:
        """Give back what was held anew for a request that is over: that it is may have been told sooner."""
        if admitted.is_settled and not renewing.cancelled() and renewing.exception() is None:
            self._tell_of_end(admitted, [(place, 0) for place in admitted.places], 0)

    async def _reopen(self) -> None:
        now = self._now()
        for account, place in list(self._known.items()):
            if not place.window.holds(now):
                del self._known[account]
                continue
            is_quiet = not int(await self._redis.hget(account, "held") or 0)
            if not is_quiet and time.monotonic() - place.since_s <= BUSY_REOPEN_S:
                continue
            turn, wait_s = ("quiet", REOPEN_S) if is_quiet else ("busy", BUSY_REOPEN_S)
            if await self._redis.set(f"{account}:{turn}", "1", nx=True, ex=int(wait_s)):
                await self._open_account(place, math.inf, anew=True)

    async def close(self) -> None:
        """Finish what is to be told, and let go of the connections."""
        await self._calls.finish(REDIS_WAIT_S)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=REDIS_WAIT_S)
        await self._calls.close()
        await self._redis.aclose()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Awaitable[None]) -> None:
        try:
            await work
        except FAILURES as error:
            self._note_away(error)
        except GatewayError:
            log.warning("a budget's account could not be opened anew")

    def _note_away(self, error: Exception) -> None:
        if not self.failure:
            log.error(
                "Redis cannot be reached; the policy of GATEWAY_REDIS_OUTAGE rules",
                extra={"error": type(error).__name__, "policy": self._policy},
            )
        self.failure = type(error).__name__
        self._away_until_s = time.monotonic() + AWAY_S

    def _note_there(self) -> None:
        if self.failure:
            log.warning("Redis is there again")
            self.failure = ""
            self._away_until_s = 0.0
        if self._owed:
            self._spawn(self._pay())

    def _rule_keys(self, rule: Rules) -> tuple[str, str, str]:
        team, _slash, rest = rule.holder.partition("/")
        base = f"{self._prefix}:{{{team}}}:{rest}"
        return f"{base}:requests", f"{base}:tokens", f"{base}:running"

    def _place(self, budget: BudgetPicture, window: Window) -> Place:
        team = budget.holder.partition("/")[0]
        base = (
            f"{self._prefix}:{{{team}}}:budget:{budget.pk}:{budget.window}:"
            f"{int(window.began_at.timestamp())}"
        )
        return Place(budget, window, (base, f"{base}:holds", f"{base}:amounts"))

    @staticmethod
    def _cost_in(window: Window, used: Used) -> int:
        return nano(sum(cost for began_at, cost in used.costs if window.holds(began_at)))


def may_be_less(told: list[Any]) -> bool:
    """Whether a closer bound of the worst cost could make room: not where nothing is left at all."""
    return told[0] == "reserved" or (told[0] == "exceeded" and int(told[2]) > 0)


def nano(pico: int) -> int:
    """Picodollars as whole nanodollars, rounded up."""
    return -(-pico // PICO_PER_NANO)

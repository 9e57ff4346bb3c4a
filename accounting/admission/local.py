"""Limits and holds in the memory of one process: exact where it is the only one.

Theory of operation. Everything runs in one event loop, so what happens between two waits is one step. A budget has
an account: what is spent in the window in force, and what is held for requests under way. A request is let in where
spent + held + its worst cost stays within the amount of every budget over it; when it is over, what it really cost is
added to spent and its hold is given back. So what is spent never exceeds the amount, as long as no request costs more
than its worst.

Where the room is only *held*, a request waits for it a while, in turn, before it is refused: most requests cost far
less than their worst. It then counts its tokens, which a request with room enough is spared.

An account is opened by asking the ledger's own thread what is spent, after everything settled so far is in the
database: what is settled from the question on is added to the answer, so nothing is counted twice or left out. The
answer is asked for anew now and then, because adjustments change it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import floor

import msgspec

from accounting.admission.minute import MinuteWindow
from accounting.admission.telling import (
    exceeded,
    reserved,
    too_many_at_once,
    too_many_requests,
    too_many_tokens,
    unreadable,
)
from accounting.admission.values import BudgetPicture, Need, Rules, Standing, Used, tightest
from accounting.windows import Window

log = logging.getLogger(__name__)

ReadSpent = Callable[[BudgetPicture, Window], Awaitable[int]]
"""What is spent in a window in picodollars, by the ledger, after all that was settled before the call."""

READ_WAIT_S = 5.0


class Meter:
    """What one team, project or key is using now."""

    __slots__ = ("requests", "running", "tokens")

    def __init__(self) -> None:
        self.requests = MinuteWindow()
        self.tokens = MinuteWindow()
        self.running = 0

    def is_idle(self, now_s: float) -> bool:
        """Whether nothing is left to remember."""
        requests, tokens = self.requests.forget(now_s), self.tokens.forget(now_s)
        return not (self.running or requests or tokens)


@dataclass(slots=True, eq=False)
class Account:
    """A budget's money in one window, in picodollars. ``since`` is what was settled since ``spent`` was last asked for."""

    budget: BudgetPicture
    window: Window
    spent: int = 0
    held: int = 0
    since: int | None = None
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    failure: str = ""

    @property
    def left(self) -> int:
        """What is not spent."""
        return self.budget.amount_pico - self.spent

    def fits(self, worst: int) -> bool:
        """Whether there is room for a further hold; none where the amount is spent, be it for nothing."""
        left = self.budget.amount_pico - self.spent
        return left > 0 and self.held + worst <= left

    def book(self, amount: int) -> None:
        """Add what a request has cost."""
        self.spent += amount
        if self.since is not None:
            self.since += amount

    def release(self, amount: int) -> None:
        """Give a hold back, and let those look again who wait for room."""
        self.held -= amount
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until a hold is given back; whether one was in time."""
        waiter = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        try:
            await asyncio.wait_for(waiter, timeout_s)
        except TimeoutError:
            return False
        return True


class Held(msgspec.Struct):
    """The accounts in which a request has a hold, and how much of one."""

    accounts: list[Account]
    amount: int

    def release(self) -> None:
        """Give it back."""
        for account in self.accounts:
            account.release(self.amount)
        self.accounts = []


class LocalAdmitted:
    """A request that was let in by the memory of this process."""

    __slots__ = ("_gate", "_held", "_meters", "_need", "_second", "standings")

    def __init__(
        self,
        gate: "LocalGate",
        meters: list[Meter],
        need: Need,
        held: Held,
        standings: tuple[Standing, ...],
    ) -> None:
        self._gate = gate
        self._meters = meters
        self._need = need
        self._held = held
        self.standings = standings
        self._second = second = floor(gate.clock())
        for meter in meters:
            meter.running += 1
            meter.requests.add(1, second)
            meter.tokens.add(need.tokens, second)

    def settle(self, used: Used) -> None:
        """Give back what was held, and count what was used instead."""
        now_s = self._gate.clock()
        for meter in self._meters:
            meter.running -= 1
            meter.tokens.correct(self._second, used.tokens - self._need.tokens, now_s)
        self._meters = []
        if self._held.accounts:
            self._gate.book(self._held.accounts, used)
            self._held.release()


class LocalGate:
    """One for each event loop; ``clock`` tells monotonic seconds, ``now`` the moment."""

    def __init__(
        self,
        read_spent: ReadSpent,
        *,
        wait_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.clock = clock
        self._read_spent = read_spent
        self._wait_s = wait_s
        self._now = now
        self._meters: dict[str, Meter] = {}
        self._accounts: dict[int, Account] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def admit(self, rules: tuple[Rules, ...], need: Need) -> LocalAdmitted:
        """Let a request in under all the rules at once, or under none; errors as ``Gate``."""
        meters = [self._meter(rule.holder) for rule in rules]
        standings = self._check(rules, meters, need)
        budgets = [budget for rule in rules for budget in rule.budgets]
        held = self._hold_at_once(budgets, need.worst_pico)
        if held is None:
            held = await self._hold(budgets, need)
            try:
                meters = [self._meter(rule.holder) for rule in rules]
                standings = self._check(rules, meters, need)  # others came while this one waited
            except BaseException:
                held.release()
                raise
        return LocalAdmitted(self, meters, need, held, standings)

    def spent(self, budget_pk: int) -> tuple[int, int] | None:
        """What is spent and held of a budget, in picodollars; None where its account was not needed yet."""
        account = self._accounts.get(budget_pk)
        return (account.spent, account.held) if account and account.opened.is_set() else None

    failure = ""
    """Memory is always there."""

    def tick(self) -> None:
        """Nothing is due more often than every minute."""

    async def close(self) -> None:
        """Nothing to let go of."""

    def book(self, accounts: list[Account], used: Used) -> None:
        """Add what a request has cost to its budgets, each attempt in the window in which it began."""
        for held in accounts:
            self._book(held, used)
            account = self._accounts.get(held.budget.pk, held)
            if account is not held:  # its window is over, and the next one's began
                self._book(account, used)

    @staticmethod
    def _book(account: Account, used: Used) -> None:
        for began_at, cost in used.costs:
            if account.window.holds(began_at):
                account.book(cost)

    def tidy(self) -> None:
        """Forget what is idle, and ask anew what is spent. To be called every minute."""
        now_s = self.clock()
        for holder in [name for name, meter in self._meters.items() if meter.is_idle(now_s)]:
            del self._meters[holder]
        now = self._now()
        for pk, account in list(self._accounts.items()):
            if not account.window.holds(now):
                if not (account.held or account.waiting):
                    del self._accounts[pk]
            elif account.since is None:
                self._open(account)

    def _meter(self, holder: str) -> Meter:
        meter = self._meters.get(holder)
        if meter is None:
            meter = self._meters[holder] = Meter()
        return meter

    def _check(
        self, rules: tuple[Rules, ...], meters: list[Meter], need: Need
    ) -> tuple[Standing, ...]:
        """How the limits stand once the request is let in.

        Raises:
            RateLimited: one has no room for it.
        """
        now_s = self.clock()
        standings: list[Standing] = []
        for rule, meter in zip(rules, meters, strict=True):
            self._check_one(rule, meter, need, now_s, standings)
        return tightest(standings)

    @staticmethod
    def _check_one(
        rule: Rules, meter: Meter, need: Need, now_s: float, standings: list[Standing]
    ) -> None:
        if rule.concurrent_requests and meter.running >= rule.concurrent_requests:
            raise too_many_at_once(rule)
        if limit := rule.requests_per_minute:
            requests, reset_s = meter.requests.stand(now_s)
            if requests + 1 > limit:
                wait_s = meter.requests.wait_s(1, limit, now_s)
                raise too_many_requests(rule, Standing("requests", limit, 0, reset_s), wait_s)
            standings.append(Standing("requests", limit, limit - requests - 1, reset_s))
        if limit := rule.tokens_per_minute:
            tokens, reset_s = meter.tokens.stand(now_s)
            # A request longer than the limit has its turn when nothing else was used: it would never have one else.
            if tokens and tokens + need.tokens > limit:
                wait_s = meter.tokens.wait_s(min(need.tokens, limit), limit, now_s)
                standing = Standing("tokens", limit, max(0, limit - tokens), reset_s)
                raise too_many_tokens(rule, standing, wait_s)
            standings.append(
                Standing("tokens", limit, max(0, limit - tokens - need.tokens), reset_s)
            )

    def _hold_at_once(self, budgets: list[BudgetPicture], worst: int) -> Held | None:
        """A hold in accounts that are open, in force and have room, as nearly all are; None where one is not."""
        if not budgets:
            return Held([], 0)
        now, accounts = self._now(), []
        for budget in budgets:
            account = self._accounts.get(budget.pk)
            if (
                account is None
                or account.budget is not budget
                or not account.opened.is_set()
                or not account.window.holds(now)
                or not account.fits(worst)
            ):
                return None
            accounts.append(account)
        for account in accounts:
            account.held += worst
        return Held(accounts, worst)

    async def _hold(self, budgets: list[BudgetPicture], need: Need) -> Held:
        worst, is_narrow = need.worst_pico, need.narrow is None
        until_s = self.clock() + self._wait_s
        while True:
            accounts = [await self._account(budget) for budget in budgets]
            full = next((account for account in accounts if not account.fits(worst)), None)
            if full is None:
                for account in accounts:
                    account.held += worst
                return Held(accounts, worst)
            if not is_narrow and need.narrow is not None and full.left > 0:
                worst, is_narrow = min(worst, need.narrow()), True
                continue
            if full.left <= 0 or worst > full.left:
                raise exceeded(full.budget, full.window, full.left, self._now())
            if not await full.wait_for_room(max(0.0, until_s - self.clock())):
                raise reserved(full.budget)

    async def _account(self, budget: BudgetPicture) -> Account:
        """The budget's account in the window in force, opened.

        Raises:
            LimitsUnreadable: the ledger cannot say what is spent.
        """
        account = self._accounts.get(budget.pk)
        if account is None or not self._is_of(account, budget):
            account = Account(budget, budget.window_at(self._now()))
            self._accounts[budget.pk] = account
            self._open(account)
        account.budget = budget  # with the amount in force
        if not account.opened.is_set():
            await account.opened.wait()
            if account.failure:
                raise unreadable(account.failure)
        return account

    def _is_of(self, account: Account, budget: BudgetPicture) -> bool:
        old = account.budget
        is_same = (old.holder, old.window, old.time_zone) == (
            budget.holder,
            budget.window,
            budget.time_zone,
        )
        return is_same and account.window.holds(self._now())

    def _open(self, account: Account) -> None:
        task = asyncio.get_running_loop().create_task(self._ask_spent(account))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_spent(self, account: Account) -> None:
        if account.since is not None:
            return  # it is being asked
        # With no wait before the question: what is settled sooner is in the answer.
        account.since = 0
        try:
            async with asyncio.timeout(READ_WAIT_S):
                spent = await self._read_spent(account.budget, account.window)
        except Exception as error:
            # Whatever it is: who waits for the account must be told, and an open account goes on as it is.
            log.exception("what is spent cannot be read", extra={"budget": account.budget.pk})
            account.failure = type(error).__name__
            if not account.opened.is_set() and self._accounts.get(account.budget.pk) is account:
                del self._accounts[
                    account.budget.pk
                ]  # before anybody takes it for one on which nothing is spent
        else:
            account.failure = ""
            account.spent = spent + (account.since or 0)
        account.since = None
        account.opened.set()

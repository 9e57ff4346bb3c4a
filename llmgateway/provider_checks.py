"""The loop that looks at every provider beside the requests, and what it found.

Theory of operation. Each serving process looks by itself, at all providers independently of each other, each as often
as its row says and a little off the beat, so that several processes do not ask at the same moment. What was found
stays in memory; it is written to the table when it says something new, or when what is there grows old, so that pages
of other processes show it too. An edit of the provider or of its credentials brings the next look forward. Nothing
here decides where a request goes.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection

from llmgateway.postgres import waits
from llmgateway.tasks import spawn
from routing import checks, snapshot
from routing.checks import Finding
from routing.models import Provider
from routing.pictures import ProviderPicture

log = logging.getLogger(__name__)

TICK_S = 1.0
FIRST_WITHIN_S = 5.0
STORE_EVERY_S = 60.0
OFF_BEAT = 0.1
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Order:
    """How often to look at a provider, and for what; ``edited`` moves when it is worth another look."""

    every_s: int
    model: str
    edited: tuple[Any, ...] = field(repr=False, default=())


class ProviderChecks:
    """One for each runtime; ``findings`` are by the provider's slug."""

    def __init__(
        self, dice: random.Random, *, tick_s: float = TICK_S, first_within_s: float = FIRST_WITHIN_S
    ) -> None:
        self.findings: dict[str, Finding] = {}
        self._dice = dice
        self._tick_s = tick_s
        self._first_within_s = first_within_s
        self._orders: dict[str, Order] = {}
        self._orders_of = -1
        self._due_at: dict[str, float] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._stored_at: dict[str, datetime] = {}
        self._watch: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="provider checks", initializer=waits.bear_silence
        )

    def start(self) -> None:
        """Begin to look, unless GATEWAY_PROVIDER_CHECKS is off."""
        if settings.PROVIDER_CHECKS and self._watch is None:
            self._watch = spawn(self._watch_forever(), name="provider checks")

    async def stop(self) -> None:
        """End all looks; those under way are broken off, what is being written is written."""
        tasks = [*self._under_way.values(), *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, in_own_connection, work)

    async def _watch_forever(self) -> None:
        is_told = False
        while True:
            try:
                await self._read_orders()
                self._begin_due()
                is_told = False
            except Exception:
                # The loop must outlive whatever one round brings, such as a database that is away for a while.
                if not is_told:
                    log.exception("providers cannot be checked for now")
                is_told = True
            await asyncio.sleep(self._tick_s)

    async def _read_orders(self) -> None:
        held = snapshot.in_force()
        if held is None or held.number == self._orders_of:
            return
        orders = await self._in_thread(read_orders)
        now = asyncio.get_running_loop().time()
        for slug, order in orders.items():
            known = self._orders.get(slug)
            if known is None:
                self._due_at[slug] = now + self._dice.uniform(
                    0, min(self._first_within_s, order.every_s)
                )
            elif known != order:
                self._due_at[slug] = now
        for slug in self._orders.keys() - orders.keys():
            self.findings.pop(slug, None)
            self._due_at.pop(slug, None)
        self._orders, self._orders_of = orders, held.number

    def _begin_due(self) -> None:
        held = snapshot.in_force()
        now = asyncio.get_running_loop().time()
        for slug, order in self._orders.items():
            picture = held.providers.get(slug) if held else None
            is_due = order.every_s > 0 and self._due_at.get(slug, now) <= now
            if picture is None or not is_due or slug in self._under_way:
                continue
            self._due_at[slug] = now + order.every_s * self._dice.uniform(
                1 - OFF_BEAT, 1 + OFF_BEAT
            )
            task = spawn(self._check(picture, order), name=f"check {slug}")
            self._under_way[slug] = task
            task.add_done_callback(partial(self._is_over, slug))

    def _is_over(self, slug: str, _task: asyncio.Task[None]) -> None:
        self._under_way.pop(slug, None)

    async def _check(self, picture: ProviderPicture, order: Order) -> None:
        state = await checks.look(picture, order.model)
        finding = Finding(state, datetime.now(UTC))
        before = self.findings.get(picture.slug)
        self.findings[picture.slug] = finding
        _tell(picture.slug, before, finding)
        if self._is_news(picture.slug, before, finding):
            await self._store(picture, finding)

    def _is_news(self, slug: str, before: Finding | None, finding: Finding) -> bool:
        stored_at = self._stored_at.get(slug)
        if before is None or stored_at is None:
            return True
        old, new = before.state, finding.state
        is_same = (old.problem, old.detail, old.credit_usd) == (
            new.problem,
            new.detail,
            new.credit_usd,
        )
        return not is_same or (finding.checked_at - stored_at).total_seconds() >= STORE_EVERY_S

    async def _store(self, picture: ProviderPicture, finding: Finding) -> None:
        try:
            await self._in_thread(partial(checks.store, picture.pk, finding))
        except DatabaseError as error:
            extra = {"provider": picture.slug, "error": type(error).__name__}
            log.warning("a provider's check could not be stored", extra=extra)
        else:
            self._stored_at[picture.slug] = finding.checked_at


def _tell(slug: str, before: Finding | None, finding: Finding) -> None:
    """One line when a provider falls ill, and one when it is well again."""
    old = before.state.problem if before else ""
    new = finding.state.problem
    if new and new != old:
        log.warning("a provider has a problem", extra={"provider": slug, "problem": new})
    elif old and not new:
        log.info("a provider is well again", extra={"provider": slug})


def read_orders() -> dict[str, Order]:
    """The order for each provider that is switched on. Blocks; for a thread."""
    return {
        row.slug: Order(
            every_s=row.check_every_s,
            model=row.check_model,
            edited=(
                row.updated_at,
                tuple((c.pk, c.enabled, c.sealed_at) for c in row.credentials.all()),
            ),
        )
        for row in Provider.objects.filter(enabled=True).prefetch_related("credentials")
    }


def in_own_connection(work: Callable[[], Result]) -> Result:
    """The result of work in a thread, whose database connection is closed after it."""
    try:
        return work()
    finally:
        connection.close()

"""What one serving process holds: the connection pools, the ledger, and the watch over the configuration.

A thread of its own looks at the two version numbers several times a second, and builds new pictures there, so
that neither the look nor the building holds up a request.
"""

import asyncio
import contextlib
import gc
import logging
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection

from accounting import snapshot as keys_snapshot
from accounting.admission.local import LocalGate
from accounting.admission.values import BudgetPicture, Gate
from accounting.audit.trail import log_newest
from accounting.entries import Entry
from accounting.ledger import Ledger, replay
from accounting.models import Budget
from accounting.models.money import to_pico
from accounting.request_logs import RequestLogs
from accounting.spending import spent_usd
from accounting.windows import Window
from llmgateway import memory, metrics
from llmgateway.budget_watch import BudgetWatch
from llmgateway.live_view.publishing import Publisher
from llmgateway.postgres import waits
from llmgateway.provider_checks import ProviderChecks
from llmgateway.tasks import spawn
from llmgateway.teller import Teller
from routing import snapshot as routing_snapshot
from routing import versions
from routing.amended import amended
from routing.live import Live
from routing.pictures import Snapshot
from routing.providers import litellm_sdk
from routing.upstream.client import Pools
from routing.upstream.turns import TurnBook

if TYPE_CHECKING:
    from llmgateway.attempt import Asked
    from llmgateway.news import News
    from llmgateway.provider_places import SharedPlaces
    from llmgateway.tracing import Tracer

log = logging.getLogger(__name__)

WATCH_EVERY_S = 0.25
REPLAY_EVERY_S = 60.0
STOP_S = 8.0
"""How long a stop waits for the database, and how long the ledger has: what is not booked then stays in the journal."""
PART_STOP_S = 1.5
SWITCH_S = 0.0002

GARBAGE_LOOKED_FOR_AFTER = 50_000


class State(StrEnum):
    """Where in its life the process is."""

    NEW = "new"
    SERVING = "serving"
    STOPPING = "stopping"


class Preparation(StrEnum):
    """How far a provider kind is that has something to load before it can answer."""

    WARMING = "warming"
    READY = "ready"
    FAILED = "could not be loaded; the log has the reason"


class Runtime:
    """One for each event loop that serves."""

    def __init__(self, journal_dir: Path, *, ping_after_s: float = 15.0) -> None:
        self.pools = Pools()
        self.under_way: dict[str, Asked] = {}
        self.live_view = Publisher(self.under_way)
        self.tracer = self._make_tracer()
        self.teller = Teller(lambda: self.tracer)
        self.ledger = Ledger(journal_dir, observe=self._observe, prepare=waits.bear_silence)
        self.gate: Gate = self._make_gate()
        self.request_logs = RequestLogs(
            body_bytes_max=settings.LOG_BODY_BYTES_MAX,
            retention_days=settings.LOG_RETENTION_DAYS,
            prepare=waits.bear_silence,
        )
        self._places = self._make_places()
        self.turns = TurnBook(self._places)
        self.live = Live()
        self.news: News | None = None
        self.dice = random.Random()  # noqa: S311  (spreads load and waits; no secret)
        self.checks = ProviderChecks(self.dice)
        self.alerts = BudgetWatch()
        self.ping_after_s = ping_after_s
        self.state = State.NEW
        self.watch_failure = ""
        self.preparations: dict[str, Preparation] = {}
        self._journal_dir = journal_dir
        self._starting = asyncio.Lock()
        self._loops: list[asyncio.Task[None]] = []
        self._memory = memory.Memory()
        self._thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="snapshot", initializer=waits.bear_silence
        )

    async def start(self) -> None:
        """Build the first pictures and begin to watch, write and serve; a second call has no effect."""
        async with self._starting:
            if self.state is State.SERVING:
                return
            await self.refresh()
            self.teller.start()
            self.ledger.start()
            self.request_logs.start()
            self._loops = [
                spawn(self._watch_forever(), name="snapshot watch"),
                spawn(self._tick_forever(), name="ticks"),
            ]
            self.checks.start()
            self._start_news()
            self.alerts.start()
            self.state = State.SERVING
            # What is loaded by now lives as long as the process: no collection needs to look at it again.
            gc.collect()
            gc.freeze()
            # A request leaves no cycles behind, so that looking for them after each 700 new objects finds nothing, at
            # 4 % of all CPU; 70 times more rarely, they are still found.
            gc.set_threshold(GARBAGE_LOOKED_FOR_AFTER, 20, 20)

    async def stop(self) -> None:
        """Let go of everything, once no request is under way; what is settled is written first.

        Whatever does not answer, it takes STOP_S and a few seconds: each part has its time, and the next one's comes.
        """
        self.state = State.STOPPING
        waits.end_waits(STOP_S)
        for loop in self._loops:
            loop.cancel()
        await self._end(self.checks.stop(), self.alerts.stop(), *self._loops)
        shared = [part.close() for part in (self.gate, self._places, self.news) if part is not None]
        await self._end(*shared, self.live_view.close())
        await self._end(
            asyncio.to_thread(self.ledger.close, STOP_S),
            asyncio.to_thread(self.request_logs.close),
            within_s=STOP_S + 1,
        )
        self.teller.close()
        if self.tracer is not None:
            await self._end(asyncio.to_thread(self.tracer.close), within_s=2 * PART_STOP_S + 1)
        closing = asyncio.get_running_loop().run_in_executor(self._thread, close_connection)
        await self._end(closing, self.pools.close(), litellm_sdk.let_go())
        self._thread.shutdown(wait=False)

    @staticmethod
    async def _end(*parts: Awaitable[object], within_s: float = PART_STOP_S) -> None:
        """Let parts come to their end, for so long."""
        tasks = [asyncio.ensure_future(part) for part in parts]
        if not tasks:
            return
        done, late = await asyncio.wait(tasks, timeout=within_s)
        for task in late:
            task.cancel()
        failures = [task.exception() for task in done if not task.cancelled()]
        for failure in filter(None, failures):
            log.error("a part of the process failed at its end", exc_info=failure)
        if late:
            log.warning("a part of the process did not end in time; the process does")

    async def refresh(self) -> None:
        """Put the newest configuration in force, if it has changed."""
        loop = asyncio.get_running_loop()
        before = routing_snapshot.in_force()
        changed = await loop.run_in_executor(self._thread, refresh_pictures)
        if changed:
            held = routing_snapshot.in_force()
            if held is not None:
                if before is not None:
                    self.live.cooldowns.forget(*amended(before, held))
                await self.pools.retire_except(list(held.providers.values()))
                self._prepare_kinds(held)

    def _prepare_kinds(self, held: Snapshot) -> None:
        """Load, beside the requests, what the kinds of the providers that are switched on need, each kind once."""
        for kind in {
            picture.kind.name: picture.kind for picture in held.providers.values()
        }.values():
            if kind.prepare is not None and kind.name not in self.preparations:
                self.preparations[kind.name] = Preparation.WARMING
                spawn(self._prepare(kind.name, kind.prepare), name=f"prepare {kind.name}")

    async def _prepare(self, name: str, prepare: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(prepare)
        except Exception:
            # Whatever it is, requests to other kinds go on; those to this one fail with it.
            log.exception("a provider kind cannot be loaded", extra={"kind": name})
            self.preparations[name] = Preparation.FAILED
        else:
            self.preparations[name] = Preparation.READY

    def _start_news(self) -> None:
        if settings.REDIS_URL:
            from llmgateway.news import News  # noqa: PLC0415  (imports Redis)

            self.news = News(settings.REDIS_URL, self.live, prefix=settings.REDIS_PREFIX)
            self.news.start()

    def note_metrics(self) -> None:
        """Have the metrics tell what this process holds now."""
        metrics.note_state(
            self.turns,
            self.live,
            requests=len(self.under_way),
            streams=sum(asked.call.stream for asked in self.under_way.values()),
            journal=self.ledger.depth,
            dropped=self.request_logs.dropped,
            is_redis_away=bool(self.gate.failure),
            now_s=time.monotonic(),
        )

    def _observe(self, entries: Sequence[Entry]) -> None:
        """A batch of attempts is booked. Called in the ledger's thread."""
        metrics.observe(entries)
        self.live_view.note_booked(entries)
        if self.tracer is not None:
            self.tracer.booked(entries)

    @staticmethod
    def _make_tracer() -> "Tracer | None":
        if not settings.OTLP_ENDPOINT:
            return None
        try:
            # Imported where traces are wanted only: it is an extra, and costs 20 MB.
            from llmgateway.tracing import make_tracer  # noqa: PLC0415
        except ImportError as error:
            raise ImproperlyConfigured(
                "GATEWAY_OTLP_ENDPOINT needs the extra otel, which is not installed: make setup EXTRAS=otel, "
                "or an image that is built with it (docs/operators/deployment.md)."
            ) from error
        return make_tracer(
            settings.OTLP_ENDPOINT, percent=settings.TRACE_PERCENT, service=settings.SERVICE_NAME
        )

    def _make_gate(self) -> Gate:
        if not settings.REDIS_URL:
            return LocalGate(self._read_spent, wait_s=settings.BUDGET_WAIT_S)
        # Imported where there is Redis only: it costs every start 28 MB.
        from accounting.admission.shared import SharedGate  # noqa: PLC0415

        return SharedGate(
            settings.REDIS_URL,
            self._read_spent,
            prefix=settings.REDIS_PREFIX,
            policy=settings.REDIS_OUTAGE,
            wait_s=settings.BUDGET_WAIT_S,
        )

    @staticmethod
    def _make_places() -> "SharedPlaces | None":
        if not settings.REDIS_URL:
            return None
        # Imported where there is Redis only: it costs every start 28 MB.
        from llmgateway.provider_places import SharedPlaces  # noqa: PLC0415

        return SharedPlaces(
            settings.REDIS_URL, prefix=settings.REDIS_PREFIX, policy=settings.REDIS_OUTAGE
        )

    async def _read_spent(self, budget: BudgetPicture, window: Window) -> int:
        """What is spent in picodollars, once all that was settled so far is in the database."""

        def ask() -> int:
            rows = Budget.objects.select_related("team", "project__team", "key")
            row = rows.filter(pk=budget.pk).first()
            # Of one that was deleted nothing counts any more; its account is asked for until its window is over.
            return 0 if row is None else to_pico(spent_usd(row, window))

        return await asyncio.wrap_future(self.ledger.after_booked(ask))

    async def _watch_forever(self) -> None:
        loop = asyncio.get_running_loop()
        replayed_at = loop.time()
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            try:
                await self.refresh()
                if loop.time() - replayed_at >= REPLAY_EVERY_S:
                    replayed_at = loop.time()
                    await loop.run_in_executor(self._thread, replay, self._journal_dir)
                self.watch_failure = ""
            except Exception as error:
                # The watch must outlive whatever one look brings, or no edit would ever be in force again.
                if not self.watch_failure:
                    log.exception("the configuration cannot be read; the picture in force stays")
                self.watch_failure = type(error).__name__
                await loop.run_in_executor(self._thread, close_connection)

    async def _tick_forever(self) -> None:
        """What is due again and again and asks nothing of the database: it goes on also while that is away, or hangs."""
        loop = asyncio.get_running_loop()
        tidied_at = gave_back_at = loop.time()
        is_told = False
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            try:
                self._tick()
                if loop.time() - gave_back_at >= memory.EVERY_S:
                    gave_back_at = loop.time()
                    await asyncio.to_thread(self._memory.give_back, gave_back_at)
                if loop.time() - tidied_at >= REPLAY_EVERY_S:
                    tidied_at = loop.time()
                    self.ledger.tidy()
                    self.gate.tidy()
                is_told = False
            except Exception:
                # Leases would run out, and figures stand still, if this ended.
                if not is_told:
                    log.exception("what is due several times a second failed")
                is_told = True

    def _tick(self) -> None:
        self.gate.tick()
        if self._places is not None:
            self._places.tick()
        self.live_view.tick()
        if settings.METRICS_DIR:  # another worker may be asked for this one's figures
            self.note_metrics()


def close_connection() -> None:
    """Close the calling thread's own database connection."""
    connection.close()


_refreshing = threading.Lock()


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Transactions of this thread only read: SQLite's then take no lock for which writers would wait."""
    held: Any = connection
    held.ensure_connection()  # which sets the mode
    mode = getattr(held, "transaction_mode", None)
    if mode is None:  # another database: readers stand in nobody's way
        yield
        return
    held.transaction_mode = "DEFERRED"
    try:
        yield
    finally:
        held.transaction_mode = mode


@contextlib.contextmanager
def gently() -> Iterator[None]:
    """Let a thread work for a second without requests feeling it.

    A thread that computes gives the interpreter away after 5 ms only, as often as a request asks for it: that is a
    few times for each. And what it makes by the hundred thousand would have the collector look at everything, again
    and again, while all wait.
    """
    interval_s = sys.getswitchinterval()
    collects = gc.isenabled()
    sys.setswitchinterval(SWITCH_S)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        if collects:
            gc.enable()


def refresh_pictures() -> bool:
    """Put pictures of changed rows in force; True when routing's was swapped. Blocks; for a thread.

    A routing picture that cannot be built leaves the old one in force, with the reason beside it.
    """
    with _refreshing:
        if keys_snapshot.version() != keys_snapshot.current().number:
            with gently(), reading():
                keys_snapshot.put_in_force(keys_snapshot.build())
            log_newest()
        held = routing_snapshot.in_force()
        number = routing_snapshot.version()
        if number in (held.number if held else -1, routing_snapshot.refused_number()):
            return False
        with gently():
            is_swapped = _swap_routing(number)
            log_newest()
            versions.record_quietly()  # of a change that nobody wrote one of
        return is_swapped


def _swap_routing(number: int) -> bool:
    try:
        with reading():
            routing_snapshot.put_in_force(routing_snapshot.build())
    except DatabaseError:
        raise
    except Exception as error:
        routing_snapshot.refuse(f"{type(error).__name__}: {error}", number=number)
        log.exception("the new routing configuration cannot be put in force; the old one stays")
        return False
    return True

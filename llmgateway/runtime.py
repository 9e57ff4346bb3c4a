"""What one serving process holds: the connection pools, the ledger, and the watch over the configuration.

A thread of its own looks at the two version numbers several times a second, and builds new pictures there, so
that neither the look nor the building holds up a request.
"""

import asyncio
import contextlib
import gc
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection

from accounting import snapshot as keys_snapshot
from accounting.ledger import Ledger, replay
from accounting.request_logs import RequestLogs
from llmgateway import metrics
from llmgateway.provider_checks import ProviderChecks
from llmgateway.tasks import spawn
from routing import snapshot as routing_snapshot
from routing import versions
from routing.live import Live
from routing.pictures import Snapshot
from routing.providers import litellm_sdk
from routing.upstream.client import Pools
from routing.upstream.turns import TurnBook

log = logging.getLogger(__name__)

WATCH_EVERY_S = 0.25
REPLAY_EVERY_S = 60.0


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
        self.ledger = Ledger(journal_dir, observe=metrics.observe)
        self.request_logs = RequestLogs(
            body_bytes_max=settings.LOG_BODY_BYTES_MAX, retention_days=settings.LOG_RETENTION_DAYS
        )
        self.turns = TurnBook()
        self.live = Live()
        self.dice = random.Random()  # noqa: S311  (spreads load and waits; no secret)
        self.checks = ProviderChecks(self.dice)
        self.ping_after_s = ping_after_s
        self.state = State.NEW
        self.watch_failure = ""
        self.preparations: dict[str, Preparation] = {}
        self._journal_dir = journal_dir
        self._starting = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot")

    async def start(self) -> None:
        """Build the first pictures and begin to watch, write and serve; a second call has no effect."""
        async with self._starting:
            if self.state is State.SERVING:
                return
            await self.refresh()
            self.ledger.start()
            self.request_logs.start()
            self._watch = spawn(self._watch_forever(), name="snapshot watch")
            self.checks.start()
            self.state = State.SERVING
            # What is loaded by now lives as long as the process: no collection needs to look at it again.
            gc.collect()
            gc.freeze()

    async def stop(self) -> None:
        """Let go of everything, once no request is under way; what is settled is written first."""
        self.state = State.STOPPING
        await self.checks.stop()
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self.ledger.close)
        await loop.run_in_executor(self._thread, self.request_logs.close)
        await loop.run_in_executor(self._thread, close_connection)
        self._thread.shutdown(wait=False)
        await self.pools.close()
        await litellm_sdk.let_go()

    async def refresh(self) -> None:
        """Put the newest configuration in force, if it has changed."""
        loop = asyncio.get_running_loop()
        changed = await loop.run_in_executor(self._thread, refresh_pictures)
        if changed:
            held = routing_snapshot.in_force()
            if held is not None:
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


def close_connection() -> None:
    """Close the calling thread's own database connection."""
    connection.close()


_refreshing = threading.Lock()


def refresh_pictures() -> bool:
    """Put pictures of changed rows in force; True when routing's was swapped. Blocks; for a thread.

    A routing picture that cannot be built leaves the old one in force, with the reason beside it.
    """
    with _refreshing:
        if keys_snapshot.version() != keys_snapshot.current().number:
            keys_snapshot.put_in_force(keys_snapshot.build())
        held = routing_snapshot.in_force()
        number = routing_snapshot.version()
        if number in (held.number if held else -1, routing_snapshot.refused_number()):
            return False
        is_swapped = _swap_routing(number)
        versions.record_quietly()  # of a change that nobody wrote one of
        return is_swapped


def _swap_routing(number: int) -> bool:
    try:
        routing_snapshot.put_in_force(routing_snapshot.build())
    except DatabaseError:
        raise
    except Exception as error:
        routing_snapshot.refuse(f"{type(error).__name__}: {error}", number=number)
        log.exception("the new routing configuration cannot be put in force; the old one stays")
        return False
    return True

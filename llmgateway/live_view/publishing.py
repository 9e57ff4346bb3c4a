"""Tells viewers of the requests of this process, twice a second, as long as there are viewers anywhere.

Theory of operation. A request under way costs the hot path one entry in a dictionary, whether somebody looks or not.
When a viewer comes, a task begins to sample that dictionary, and the ledger's thread hands over what it books; both
stop when the last viewer has left. With several workers each samples its own and sends to the channel layer's group;
a key in Redis that viewers' processes keep alive says that there are any.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer
from django.conf import settings

from accounting.entries import Entry
from llmgateway.live_view.rows import finished_row, is_shown, running_row
from llmgateway.tasks import spawn

if TYPE_CHECKING:
    from llmgateway.attempt import Asked
    from llmgateway.live_view.presence import Presence

log = logging.getLogger(__name__)

GROUP = "live"
SAMPLE_EVERY_S = 0.5
LOOK_EVERY_S = 1.0
ROWS_MAX = 300
"""How many running requests a process tells of at once; the oldest. More are counted only."""


class Publisher:
    """One for each runtime. ``viewers`` counts those of this process."""

    def __init__(self, under_way: Mapping[str, "Asked"]) -> None:
        self.viewers = 0
        self._under_way = under_way
        self._finished: deque[Entry] = deque(maxlen=1000)
        self._process = secrets.token_hex(4)
        self._task: asyncio.Task[None] | None = None
        self._presence: Presence | None = None
        self._looked_s = 0.0
        self._seen_elsewhere = False

    @property
    def is_watched(self) -> bool:
        """Whether anybody looks."""
        return self.viewers > 0 or self._seen_elsewhere

    def note_booked(self, entries: Iterable[Entry]) -> None:
        """Keep what was booked for the next frame. Called in the ledger's thread."""
        if self.is_watched:
            self._finished.extend(entries)

    def join(self) -> None:
        """A viewer has come to this process."""
        self.viewers += 1
        self._begin()

    def leave(self) -> None:
        """A viewer has left."""
        self.viewers -= 1

    def tick(self) -> None:
        """See whether somebody looks at another process. To be called several times a second."""
        if not settings.REDIS_URL:
            return
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            spawn(self._look(), name="live view look")

    async def close(self) -> None:
        """Stop, and let go of the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._presence is not None:
            await self._presence.close()

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = spawn(self._publish_while_watched(), name="live view")

    async def _look(self) -> None:
        """Tell other processes of viewers here, and see whether they tell of theirs."""
        if self._presence is None:
            # Imported where there is Redis only: it costs 28 MB.
            from llmgateway.live_view.presence import Presence  # noqa: PLC0415

            self._presence = Presence(settings.REDIS_URL, prefix=settings.REDIS_PREFIX)
        self._seen_elsewhere = await self._presence.told(is_here=self.viewers > 0)
        if self._seen_elsewhere:
            self._begin()

    async def _publish_while_watched(self) -> None:
        layer = get_channel_layer()
        while self.is_watched:
            try:
                await layer.group_send(GROUP, {"type": "live.frame", **self.frame()})
            except Exception:
                # A channel layer that is away must not end the view: it may be back at the next frame.
                log.warning("the live view cannot be sent", exc_info=True)
            await asyncio.sleep(SAMPLE_EVERY_S)
        self._finished.clear()

    def frame(self) -> dict[str, Any]:
        """What is under way now, and what was booked since the last frame."""
        now_s = time.monotonic()
        running = list(self._under_way.values())
        return {
            "process": self._process,
            "count": len(running),
            "running": [
                running_row(asked, now_s)
                for asked in running[:ROWS_MAX]
                if is_shown(asked.key.team, asked.key.name, asked.ask.id)
            ],
            "finished": [
                finished_row(entry)
                for entry in self._taken()
                if is_shown(entry.team, entry.key_name, entry.request_id)
            ],
        }

    def _taken(self) -> Sequence[Entry]:
        count = len(
            self._finished
        )  # what comes meanwhile, from the ledger's thread, is for the next frame
        return [self._finished.popleft() for _ in range(count)]

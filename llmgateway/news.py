"""What one worker learns, told to the others through Redis: deployments to skip, credentials that rest, sessions' ways.

Best effort: news that is lost while Redis is away each worker learns by itself, a few requests later.
"""

import asyncio
import logging
import secrets
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from llmgateway.tasks import spawn
from routing.live import Live

log = logging.getLogger(__name__)

WAITING_MAX = 1000
AGAIN_S = 1.0
LISTEN_S = 5.0


class News:
    """One for each runtime, between its ``live`` and the other processes'. Started and closed in its event loop."""

    def __init__(self, url: str, live: Live, *, prefix: str) -> None:
        self._redis = Redis.from_url(url, socket_connect_timeout=1)
        self._channel = f"{prefix}:news"
        self._live = live
        self._process = secrets.token_hex(4)
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WAITING_MAX)
        self._tasks: list[asyncio.Task[None]] = []
        self.is_listening = asyncio.Event()

    def start(self) -> None:
        """Begin to tell and to listen."""
        self._live.tell = self._tell
        self._tasks = [
            spawn(self._publish(), name="news out"),
            spawn(self._listen(), name="news in"),
        ]

    async def close(self) -> None:
        """Stop."""
        self._live.tell = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()

    def _tell(self, news: dict[str, Any]) -> None:
        if not self._waiting.full():
            self._waiting.put_nowait(news)

    async def _publish(self) -> None:
        while True:
            news = await self._waiting.get()
            try:
                await self._redis.publish(self._channel, orjson.dumps([self._process, news]))
            except (RedisError, OSError):
                await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear_all()
            except (RedisError, OSError) as error:
                log.warning("news cannot be heard", extra={"error": type(error).__name__})
            self.is_listening.clear()
            await asyncio.sleep(AGAIN_S)

    async def _hear_all(self) -> None:
        async with self._redis.pubsub() as listener:
            await listener.subscribe(self._channel)
            while True:
                message = await listener.get_message(timeout=LISTEN_S)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self.is_listening.set()
                elif message["type"] == "message":
                    self._hear(message["data"])

    def _hear(self, data: bytes) -> None:
        try:
            process, news = orjson.loads(data)
            if process != self._process:
                self._live.hear(news)
        except (ValueError, TypeError, KeyError):
            log.warning("news that cannot be read was passed over")

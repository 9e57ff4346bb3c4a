"""A key in Redis that says whether anybody looks at the live view, at whichever process."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

KEPT_S = 6
WAIT_S = 1.0


class Presence:
    """One for each process. While Redis is away nobody is seen."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=WAIT_S, socket_connect_timeout=WAIT_S)
        self._name = f"{prefix}:live:viewers"

    async def told(self, *, is_here: bool) -> bool:
        """Tell whether there are viewers here; whether there are any at all."""
        try:
            if is_here:
                await self._redis.set(self._name, "1", ex=KEPT_S)
            return bool(await self._redis.exists(self._name))
        except (RedisError, OSError):
            return False

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.aclose()

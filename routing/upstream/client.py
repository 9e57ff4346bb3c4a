"""One connection pool for each provider, kept for as long as its settings stay the same.

aiohttp, measured against httpx: a fifth of the CPU per call (docs/contributors/measurements.md). The pool's settings that
matter are part of its key, so an edit of a provider makes a new pool; the old one is closed once the requests
that use it are over.
"""

import ssl
from dataclasses import dataclass

import aiohttp

from routing.pictures import ProviderPicture
from routing.upstream.errors import UpstreamTlsFailed

KEEPALIVE_S = 30.0


@dataclass(slots=True)
class Pool:
    """A provider's connections. ``users`` counts the attempts that hold one."""

    session: aiohttp.ClientSession
    connect_s: float
    users: int = 0
    is_retired: bool = False


PoolKey = tuple[int, str, bool, str, float]


class Pools:
    """The pools of one event loop."""

    def __init__(self) -> None:
        self._pools: dict[PoolKey, Pool] = {}

    def of(self, provider: ProviderPicture) -> Pool:
        """The provider's pool, opened on first use.

        Raises:
            UpstreamTlsFailed: its CA bundle cannot be read.
        """
        key = _key(provider)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _open_pool(provider)
        return pool

    async def retire_except(self, providers: list[ProviderPicture]) -> None:
        """Close the pools that no provider uses any more, now or when their last attempt ends."""
        wanted = {_key(provider) for provider in providers}
        for key, pool in list(self._pools.items()):
            if key not in wanted:
                del self._pools[key]
                pool.is_retired = True
                await close_if_unused(pool)

    async def close(self) -> None:
        """Close all, in use or not."""
        for pool in self._pools.values():
            await pool.session.close()
        self._pools.clear()


async def close_if_unused(pool: Pool) -> None:
    """Close a retired pool that nobody holds."""
    if pool.is_retired and pool.users == 0:
        await pool.session.close()


def _key(provider: ProviderPicture) -> PoolKey:
    return (
        provider.pk,
        provider.base_url,
        provider.verify_tls,
        provider.ca_bundle_pem,
        provider.timeouts.connect_s,
    )


def _open_pool(provider: ProviderPicture) -> Pool:
    connector = aiohttp.TCPConnector(
        limit=0,
        keepalive_timeout=KEEPALIVE_S,
        ssl=_tls(provider),
        ttl_dns_cache=60,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, connect=None, sock_read=None, sock_connect=provider.timeouts.connect_s
        ),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        trust_env=False,
        auto_decompress=True,
    )
    return Pool(session=session, connect_s=provider.timeouts.connect_s)


def _tls(provider: ProviderPicture) -> bool | ssl.SSLContext:
    if not provider.verify_tls:
        return False
    if not provider.ca_bundle_pem:
        return True
    try:
        return ssl.create_default_context(cadata=provider.ca_bundle_pem)
    except (ssl.SSLError, ValueError) as error:
        raise UpstreamTlsFailed(
            f"provider {provider.slug}: its CA bundle cannot be read"
        ) from error

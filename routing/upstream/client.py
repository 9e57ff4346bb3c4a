"""One connection pool for each provider, kept for as long as its settings stay the same.

The pool's settings that matter are part of its key, so an edit of a provider makes a new pool; the old one is closed
once the requests that use it are over. A connection that was used last is used first, and those that nobody used for
KEEPALIVE_S are closed.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import cache

from aiohappyeyeballs import start_connection
from yarl import URL

from routing.pictures import ProviderPicture
from routing.upstream import doorman
from routing.upstream.connection import Connection
from routing.upstream.errors import UpstreamTlsFailed
from routing.upstream.outgoing import Heads

KEEPALIVE_S = 30.0
NAME_KEPT_S = 60.0
OTHER_ADDRESS_AFTER_S = 0.25
"""How long an address of a host is tried before the next one is tried beside it (RFC 8305)."""


class Pool:
    """A provider's connections. ``users`` counts the attempts that hold one."""

    def __init__(self, base_url: str, *, tls: ssl.SSLContext | None, connect_s: float) -> None:
        url = URL(base_url, encoded=True)
        self.host = url.raw_host or ""
        self.port = url.port or 0
        self.connect_s = connect_s
        self.users = 0
        self.is_retired = False
        self.is_closed = False
        self._tls = tls
        self._idle: dict[Connection, None] = {}  # the one that was used last is at the end
        self._open: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._addresses: Sequence[doorman.AddressInfo] = ()
        self._addresses_until = 0.0
        self._looking: asyncio.Task[None] | None = None

    def take_idle(self) -> Connection | None:
        """A connection that nobody uses, if there is one. ``give_back`` must follow."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_open:
                return connection
        return None

    async def open(self) -> Connection:
        """A new connection. ``give_back`` must follow.

        Raises:
            TimeoutError: the upstream did not accept one in time.
            OSError: it cannot be reached; ssl.SSLError: nor trusted; ConnectionRefusedHere: nor may it be.
        """
        try:
            async with asyncio.timeout(self.connect_s):
                return await self._connect()
        except OSError:
            self._addresses_until = 0.0  # the host may have moved
            raise

    def give_back(self, connection: Connection) -> None:
        """The exchange is over, or broken off: the connection waits for the next one, or is closed."""
        if self.is_closed or not connection.is_reusable:
            connection.close()
            return
        connection.rest()
        loop = asyncio.get_running_loop()
        connection.used_at = loop.time()
        self._idle[connection] = None
        if self._sweep is None:
            self._sweep = loop.call_later(KEEPALIVE_S, self._close_unused)

    def close(self) -> None:
        """Break all connections off, in use or not."""
        self.is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._looking is not None:
            self._looking.cancel()
        self._idle.clear()
        for connection in list(self._open):
            connection.close()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        infos = await self._look_up(loop)
        made = await start_connection(
            list(infos),
            happy_eyeballs_delay=OTHER_ADDRESS_AFTER_S,
            interleave=1,
            loop=loop,
            socket_factory=doorman.make_socket,
        )
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _transport, connection = await loop.create_connection(
                lambda: Connection(loop, self._forget),
                sock=made,
                ssl=self._tls,
                server_hostname=self.host if self._tls else None,
            )
        except BaseException:
            made.close()
            raise
        self._open.add(connection)
        return connection

    async def _look_up(self, loop: asyncio.AbstractEventLoop) -> Sequence[doorman.AddressInfo]:
        """The host's addresses, asked again once a minute and after a failure, by one for all who wait for them.

        A look holds one of very few threads until it is over, also when nobody waits any more: requests to a host
        whose name nobody answers for would take them all from the other hosts.
        """
        if loop.time() >= self._addresses_until:
            if self._looking is None or self._looking.done():
                self._looking = loop.create_task(self._ask_for_addresses(loop), name="name look-up")
                self._looking.add_done_callback(_look_at_failure)
            await asyncio.shield(self._looking)
        return self._addresses

    async def _ask_for_addresses(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._addresses = await loop.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except UnicodeError as error:  # a part of the name is longer than any name's may be
            raise OSError("the host's name is none") from error
        self._addresses_until = loop.time() + NAME_KEPT_S

    def _forget(self, connection: Connection) -> None:
        """It is closed."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _close_unused(self) -> None:
        """Close those that nobody used for a while, and look again when the next may be due."""
        loop = asyncio.get_running_loop()
        self._sweep = None
        for connection in list(self._idle):
            due_at = connection.used_at + KEEPALIVE_S
            if due_at > loop.time():
                self._sweep = loop.call_at(due_at, self._close_unused)
                return
            del self._idle[connection]
            connection.close()


PoolKey = tuple[int, str, bool, str, float]


class Pools:
    """The pools of one event loop."""

    def __init__(self) -> None:
        self.heads = Heads()
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
        """Close the pools that no provider uses any more, now or when their last attempt ends; forget all heads."""
        self.heads.forget()
        wanted = {_key(provider) for provider in providers}
        for key, pool in list(self._pools.items()):
            if key not in wanted:
                del self._pools[key]
                pool.is_retired = True
                close_if_unused(pool)

    async def close(self) -> None:
        """Close all, in use or not."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        await asyncio.sleep(0)  # in which the loop closes them


def close_if_unused(pool: Pool) -> None:
    """Close a retired pool that nobody holds."""
    if pool.is_retired and pool.users == 0:
        pool.close()


def _key(provider: ProviderPicture) -> PoolKey:
    return (
        provider.pk,
        provider.base_url,
        provider.verify_tls,
        provider.ca_bundle_pem,
        provider.timeouts.connect_s,
    )


def _open_pool(provider: ProviderPicture) -> Pool:
    is_tls = provider.base_url.startswith("https:")
    return Pool(
        provider.base_url,
        tls=_tls(provider) if is_tls else None,
        connect_s=provider.timeouts.connect_s,
    )


def _tls(provider: ProviderPicture) -> ssl.SSLContext:
    try:
        return tls_context(provider.ca_bundle_pem, is_verified=provider.verify_tls)
    except (ssl.SSLError, ValueError) as error:
        raise UpstreamTlsFailed(
            f"provider {provider.slug}: its CA bundle cannot be read"
        ) from error


@cache
def tls_context(ca_bundle_pem: str, *, is_verified: bool) -> ssl.SSLContext:
    """What is asked of a server's certificate; made once, at some milliseconds and half a megabyte.

    Raises:
        ssl.SSLError, ValueError: the bundle holds no certificates.
    """
    context = ssl.create_default_context(cadata=(ca_bundle_pem or None) if is_verified else None)
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _look_at_failure(looking: "asyncio.Task[None]") -> None:
    """Those who waited are told; where nobody waits any more, a failure is no news for the log."""
    if not looking.cancelled():
        looking.exception()

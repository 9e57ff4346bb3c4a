"""httpx for what is not the hot path, with the doorman where it connects. Loading it takes 0.25 s, so nothing that
every start needs imports this."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, cast

import httpcore
import httpx

from routing.upstream.doorman import ConnectionRefusedHere, RefusedHere, check


class HttpxRefusedHere(RefusedHere, httpcore.ConnectError):
    """A refusal in the words of httpcore, which takes the cause off what it hands on."""


def guarded_client(
    *,
    timeout: httpx.Timeout | float,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
) -> httpx.AsyncClient:
    """A client for what is not the hot path, which connects past the doorman only."""
    transport = httpx.AsyncHTTPTransport(verify=verify, trust_env=False)
    # httpx hands no backend through to httpcore, which takes one (httpx 0.28). Without the attribute this fails.
    pool = cast("Any", transport)._pool
    pool._network_backend = GuardedBackend(pool._network_backend)
    return httpx.AsyncClient(transport=transport, headers=headers, timeout=timeout, trust_env=False)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Looks names up itself, so that what is judged is what is connected to."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of the host that takes one.

        Raises:
            ConnectionRefusedHere: none of its addresses may be called.
        """
        failure: Exception = httpcore.ConnectError("the host has no address")
        for number in await _numbers_of(host, port, timeout):
            try:
                check(number)
                return await self._inner.connect_tcp(
                    number, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout, ConnectionRefusedHere) as error:
                failure = error
        if isinstance(failure, ConnectionRefusedHere):
            raise HttpxRefusedHere(str(failure)) from failure
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """No provider is reached by a file."""
        raise httpcore.ConnectError("no socket file is called")

    async def sleep(self, seconds: float) -> None:
        """As the other backend does."""
        await self._inner.sleep(seconds)


async def _numbers_of(host: str, port: int, within_s: float | None) -> list[str]:
    with contextlib.suppress(ValueError):
        return [str(ip_address(host))]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(within_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("the name was not looked up in time") from error
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("the name leads nowhere") from error
    return list(dict.fromkeys(str(info[4][0]) for info in found))

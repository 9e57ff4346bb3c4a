"""One try at one target: sends a body, and hands out the answer's status, headers and pieces.

Knows nothing of dialects: what the bytes mean is the converter's business.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from routing.pictures import CredentialPicture, ProviderPicture, Target
from routing.providers.kind import InProcessAnswer, InProcessAsk
from routing.upstream import doorman
from routing.upstream.client import Pool, Pools, close_if_unused
from routing.upstream.connection import BrokenOff, Connection, HeaderBroken, read_headers
from routing.upstream.errors import (
    AddressRefused,
    ConnectTimeout,
    NetworkError,
    UpstreamAnswerTooLarge,
    UpstreamDisconnected,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)
from routing.upstream.outgoing import Outgoing
from routing.upstream.patience import Patience
from routing.upstream.unpacking import PIECE_BYTES_MAX

ANSWER_BYTES_MAX = 64 * 1024 * 1024
ERROR_BYTES_MAX = 256 * 1024
DRAIN_S = 1.0


class Reply:
    """An upstream's answer that has begun. Must be closed; closing early breaks the connection off at once.

    ``on_piece``, where it is set, is told of every piece that is read.
    """

    __slots__ = (
        "_connection",
        "_headers",
        "_patience",
        "_pieces",
        "_pool",
        "_raw_headers",
        "is_closed",
        "on_piece",
        "status",
    )

    def __init__(
        self,
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        raw_headers: Sequence[tuple[bytes, bytes]] = (),
        patience: Patience,
        pieces: AsyncIterator[bytes] | None = None,
        connection: Connection | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.status = status
        self._headers = headers
        self._raw_headers = raw_headers
        self.is_closed = False
        self.on_piece: Callable[[bytes], None] | None = None
        self._patience = patience
        self._pieces = pieces
        self._connection = connection
        self._pool = pool

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers; made for whoever asks, as of twenty that come none is wanted most of the time."""
        headers = self._headers
        if headers is None:
            headers = self._headers = read_headers(self._raw_headers)
        return headers

    def header(self, name: str) -> str:
        """The first header of a name, which is in lower case; empty where there is none."""
        if self._headers is not None:
            return self._headers.get(name, "")
        wanted = name.encode()
        for told, value in self._raw_headers:
            if len(told) == len(wanted) and told.lower() == wanted:
                return value.decode("latin-1")
        return ""

    async def read(self) -> bytes:
        """The next piece of the answer, as it came; ``b""`` at its end.

        Raises:
            NetworkError: the connection broke, or one of the provider's timeouts is over.
        """
        connection = self._connection
        if connection is None:
            piece = await self._patience.wait_for(self._next_piece())
        elif self.is_closed:
            return b""
        else:
            try:
                while (taken := connection.take()) is None:
                    await self._patience.wait_for(connection.news())
            except BrokenOff as error:
                raise UpstreamDisconnected(
                    f"the provider {error} in the middle of its answer"
                ) from error
            piece = taken
            if len(piece) >= PIECE_BYTES_MAX:
                # The next may be here, too: others, and the clocks, come first.
                await self._patience.wait_for(asyncio.sleep(0))
        self._patience.heard()
        if self.on_piece is not None:
            self.on_piece(piece)
        return piece

    async def _next_piece(self) -> bytes:
        assert self._pieces is not None  # noqa: S101  (a reply has one source of pieces or the other)
        return await anext(self._pieces, b"")

    async def read_all(self, *, bytes_max: int = ANSWER_BYTES_MAX) -> bytes:
        """The whole answer.

        Raises:
            NetworkError: as ``read``, or the answer is larger than ``bytes_max``.
        """
        connection = self._connection
        if connection is not None and connection.is_whole and not self.is_closed:
            whole = connection.take() or b""  # as most answers are that are not streamed
            if self.on_piece is not None:
                self.on_piece(whole)
            if len(whole) > bytes_max:
                raise _too_large(bytes_max)
            return whole
        pieces = []
        size = 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > bytes_max:
                raise _too_large(bytes_max)
        return b"".join(pieces)

    @property
    def is_at_end(self) -> bool:
        """Whether the last piece was read already."""
        return self._connection is not None and self._connection.is_at_end

    async def drain(self) -> None:
        """Read what is left of an answer nobody needs the rest of, for a moment, then close."""
        try:
            async with asyncio.timeout(DRAIN_S):
                while await self.read():
                    pass
        except (TimeoutError, NetworkError):
            pass  # the connection is then broken off instead of used again
        finally:
            await self.close()

    async def close(self) -> None:
        """Give the connection back if the answer was read to its end, else break it off. Safe to repeat."""
        if self.is_closed:
            return
        self.is_closed = True
        self._patience.stop()
        if self._connection is not None and self._pool is not None:
            let_go(self._pool, self._connection)
        aclose = getattr(self._pieces, "aclose", None)
        if aclose is not None:
            await aclose()


def _too_large(bytes_max: int) -> UpstreamAnswerTooLarge:
    return UpstreamAnswerTooLarge(f"the provider's answer is larger than {bytes_max} bytes")


def let_go(pool: Pool, connection: Connection | None) -> None:
    """An attempt holds its connection no longer."""
    if connection is not None:
        pool.give_back(connection)
    pool.users -= 1
    close_if_unused(pool)


def choose_credential(
    target: Target, *, dice: random.Random, rest_left_s: Callable[[int], float] | None = None
) -> CredentialPicture | None:
    """One of the target's credentials, by weight; those of weight 0 only when there is no other.

    One that rests is used when all do: the one whose rest is over first, which is none that was refused a moment ago.
    """
    usable = target.credentials
    if len(usable) < 2:
        return usable[0] if usable else None
    if rest_left_s is not None:
        left_s = {credential.pk: rest_left_s(credential.pk) for credential in usable}
        if all(left_s.values()):
            return min(usable, key=lambda credential: left_s[credential.pk])
        usable = tuple(credential for credential in usable if not left_s[credential.pk])
    weights = [credential.weight for credential in usable]
    return dice.choices(usable, weights)[0] if any(weights) else usable[0]


async def send(
    pools: Pools, target: Target, outgoing: Outgoing, *, credential: CredentialPicture | None
) -> Reply:
    """The target's answer as soon as its status is known.

    Raises:
        NetworkError: nobody answered; nothing needs closing then.
    """
    provider = target.provider
    if provider.kind.answer_in_process is not None:
        return await _answer_in_process(
            provider.kind.answer_in_process, provider, outgoing, credential
        )
    try:
        head = pools.heads.head_of(outgoing, provider, credential)
    except (HeaderBroken, UnicodeError) as error:
        raise _network_error(error, provider) from error
    pool = pools.of(provider)
    pool.users += 1
    patience = Patience(provider.timeouts)
    connection: Connection | None = None
    try:
        taken = pool.take_idle()
        if taken is None:
            taken = await patience.wait_for(pool.open())
        connection = taken
        await patience.wait_for(taken.ask(head, outgoing.body))
    except BaseException as error:
        patience.stop()
        let_go(pool, connection)
        if isinstance(error, OSError):
            raise _network_error(error, provider) from error
        raise
    return Reply(
        status=taken.status,
        raw_headers=taken.raw_headers,
        patience=patience,
        connection=taken,
        pool=pool,
    )


async def _answer_in_process(
    answering: Callable[[InProcessAsk], Awaitable[InProcessAnswer]],
    provider: ProviderPicture,
    outgoing: Outgoing,
    credential: CredentialPicture | None,
) -> Reply:
    patience = Patience(provider.timeouts)
    ask = InProcessAsk(
        dialect=outgoing.dialect,
        body=outgoing.body,
        stream=outgoing.stream,
        base_url=provider.base_url,
        secret=credential.secret.reveal() if credential else "",
        total_s=provider.timeouts.total_s,
    )
    try:
        answer = await patience.wait_for(answering(ask))
    except BaseException:
        patience.stop()
        raise
    headers = {"content-type": answer.content_type, **answer.headers}
    return Reply(status=answer.status, headers=headers, patience=patience, pieces=answer.pieces)


def _network_error(error: Exception, provider: ProviderPicture) -> NetworkError:
    where = f"provider {provider.slug}"
    refusal = doorman.refusal_behind(error)
    if refusal:
        return AddressRefused(f"{where}: {refusal}")
    if isinstance(error, BrokenOff):
        return UpstreamDisconnected(f"{where} {error} before it answered")
    if isinstance(error, TimeoutError):
        return ConnectTimeout(
            f"{where} did not accept a connection in time (connect_timeout_s is {provider.timeouts.connect_s:g} s)"
        )
    if isinstance(error, (ssl.SSLError, ssl.CertificateError)):
        return UpstreamTlsFailed(f"{where}: its TLS certificate or handshake was not accepted")
    if isinstance(error, HeaderBroken):
        return UpstreamUnreachable(
            f"{where} was sent nothing: {error}; look at its credential and its header rules"
        )
    return UpstreamUnreachable(f"{where} cannot be reached at its address")

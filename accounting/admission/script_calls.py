"""Runs scripts in Redis. What is asked for while others are on their way goes together, on one connection.

A call by itself costs a process 60 us of CPU by the client's own ways, most of it for taking a connection out of a pool
and for a timer at each step; on connections that are kept, with one timer for a batch, it is 25. Nobody waits for
company: where nothing is on its way, a call leaves with whatever else was asked for in the same turn of the loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import NoScriptError, ResponseError

BATCHES_MAX = 2
"""So many batches are on their way at once; what is asked for meanwhile is the next."""
CALLS_MAX = 100
"""So many calls make a batch."""
CONNECTIONS_MAX = 32


def open_redis(url: str, wait_s: float) -> Redis:
    """A client that gives up whatever takes longer than so many seconds, a free connection too."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=wait_s,
        socket_timeout=wait_s,
        socket_connect_timeout=wait_s,
        decode_responses=True,
    )
    return Redis.from_pool(pool)


class _Call(NamedTuple):
    script: AsyncScript
    keys: Sequence[str]
    args: Sequence[str | float]
    args_again: Sequence[str | float]
    answer: "asyncio.Future[Any]"


class ScriptCalls:
    """The calls of one event loop; in the order in which they were asked for, unless two batches overtake each other."""

    def __init__(self, redis: Redis, wait_s: float) -> None:
        """``wait_s``: how long a batch may take, in seconds, with opening a connection."""
        self._pool = redis.connection_pool
        self._wait_s = wait_s
        self._idle: list[AbstractConnection] = []
        self._waiting: deque[_Call] = deque()
        self._batches: set[asyncio.Task[None]] = set()
        self._is_due = False

    def call(
        self,
        script: AsyncScript,
        *,
        keys: Sequence[str],
        args: Sequence[str | float],
        args_again: Sequence[str | float] | None = None,
    ) -> "asyncio.Future[Any]":
        """The script's answer, or whatever Redis or the way there failed with.

        Where a kept connection ends before the answer is there, it is sent again, with ``args_again`` if they are
        given: Redis may have run it already.

        It is sent also where nobody waits any more: whoever gives up must undo what it may have done.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Call(script, keys, args, args_again or args, answer))
        if not self._is_due and len(self._batches) < BATCHES_MAX:
            self._is_due = True
            loop.call_soon(self._send)
        return answer

    async def finish(self, timeout_s: float) -> None:
        """Wait so long at the most for what was asked for."""
        until_s = time.monotonic() + timeout_s
        while self.is_busy and (left_s := until_s - time.monotonic()) > 0:
            await asyncio.sleep(0)  # in which what is due leaves
            if self._batches:
                await asyncio.wait(list(self._batches), timeout=left_s)

    async def close(self) -> None:
        """Let go of the connections that are kept; those on their way go with their batch."""
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way, or waits."""
        return bool(self._waiting or self._batches)

    def _send(self) -> None:
        self._is_due = False
        while self._waiting and len(self._batches) < BATCHES_MAX:
            count = min(CALLS_MAX, len(self._waiting))
            calls = [self._waiting.popleft() for _ in range(count)]
            batch = asyncio.get_running_loop().create_task(self._run(calls))
            self._batches.add(batch)
            batch.add_done_callback(self._landed)

    def _landed(self, batch: "asyncio.Task[None]") -> None:
        self._batches.discard(batch)
        self._send()

    async def _run(self, calls: Sequence[_Call]) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                answers = await self._ask(calls)
            for call, answer in zip(calls, answers, strict=True):
                await self._answer(call, answer)
        except BaseException as error:
            # Those behind would only wait as long for the same: nobody is let wait twice.
            failed = [*calls, *self._waiting]
            self._waiting.clear()
            for call in failed:
                _fail(call, error)
            if not isinstance(error, Exception):
                raise

    async def _ask(self, calls: Sequence[_Call]) -> list[Any]:
        """The answers of a batch; an error that is a call's own is its answer. Asked twice where Redis began anew meanwhile."""
        if self._idle:
            kept = self._idle.pop()
            try:
                return await self._exchange(kept, calls)
            except RedisGone:  # it may have ended long ago
                calls = [call._replace(args=call.args_again) for call in calls]
        options = {**self._pool.connection_kwargs, "socket_timeout": None}  # a batch has one
        return await self._exchange(self._pool.connection_class(**options), calls)

    async def _exchange(self, connection: AbstractConnection, calls: Sequence[_Call]) -> list[Any]:
        try:
            if not connection.is_connected:
                await connection.connect()  # type: ignore[no-untyped-call]
            commands = [
                ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)
                for call in calls
            ]
            await connection.send_packed_command(
                connection.pack_commands(commands), check_health=False
            )
            answers = [await _read(connection) for _call in calls]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(connection)
        return answers

    async def _answer(self, call: _Call, answer: Any) -> None:
        if isinstance(answer, NoScriptError):  # Redis began anew
            try:
                answer = await call.script(keys=call.keys, args=call.args)
            except ResponseError as error:  # of this call's own
                answer = error
        if call.answer.done():
            return
        if isinstance(answer, Exception):
            call.answer.set_exception(answer)
        else:
            call.answer.set_result(answer)


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _fail(call: _Call, error: BaseException) -> None:
    if call.answer.done():
        return
    if isinstance(error, Exception):
        call.answer.set_exception(error)
    else:
        call.answer.cancel()

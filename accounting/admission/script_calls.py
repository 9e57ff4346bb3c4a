"""Runs scripts in Redis. What is asked for while others are on their way goes together, on one connection.

A call by itself costs a process 90 us of CPU, most of it for taking a connection, waiting for its answer and giving it
back. Nobody waits for company: where nothing is on its way, a call leaves with whatever else was asked for in the same
turn of the loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, ResponseError

BATCHES_MAX = 2
"""So many batches are on their way at once; what is asked for meanwhile is the next."""
CALLS_MAX = 100
"""So many calls make a batch."""


class _Call(NamedTuple):
    script: AsyncScript
    keys: Sequence[str]
    args: Sequence[str | float]
    answer: "asyncio.Future[Any]"


class ScriptCalls:
    """The calls of one event loop; in the order in which they were asked for, unless two batches overtake each other."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: deque[_Call] = deque()
        self._batches: set[asyncio.Task[None]] = set()
        self._is_due = False

    def call(
        self, script: AsyncScript, *, keys: Sequence[str], args: Sequence[str | float]
    ) -> "asyncio.Future[Any]":
        """The script's answer, or whatever Redis or the way there failed with.

        It is sent also where nobody waits any more: whoever gives up must undo what it may have done.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Call(script, keys, args, answer))
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
        pipe = self._redis.pipeline(transaction=False)
        for call in calls:
            pipe.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
        try:
            answers = await pipe.execute(raise_on_error=False)
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


def _fail(call: _Call, error: BaseException) -> None:
    if call.answer.done():
        return
    if isinstance(error, Exception):
        call.answer.set_exception(error)
    else:
        call.answer.cancel()

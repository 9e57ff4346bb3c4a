"""Pumps an upstream's events to the client; sees the disconnect; stops the TTFT clock; ends every stream properly."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator

from conversion.errors import GatewayError
from conversion.sse import write_error_event
from llmgateway.attempt import Attempt, Status
from llmgateway.errors import InternalFault, ShuttingDown, row_for
from llmgateway.tasks import spawn
from llmgateway.wire import Wire
from routing.upstream.attempt import Reply

log = logging.getLogger(__name__)


class Relay:
    """One stream on its way to the client. ``close`` books it, also when the pump was never started."""

    __slots__ = ("_attempt", "_first", "_reply", "_wire")

    def __init__(self, attempt: Attempt, reply: Reply, *, first: bytes, wire: Wire) -> None:
        self._attempt = attempt
        self._reply = reply
        self._first = first
        self._wire = wire

    async def pump(self) -> AsyncGenerator[bytes, None]:
        """The client's events. After the first one nothing is raised but the client's own leaving."""
        attempt, reply = self._attempt, self._reply
        converter = attempt.converter
        error: GatewayError | None = None
        status = Status.INTERRUPTED
        try:
            yield self._first
            if converter.content_started:
                attempt.ttft_ms = self._elapsed_ms()
            is_ended = False
            while not (is_ended or converter.done or converter.failure):
                try:
                    piece = await reply.read()
                except GatewayError as broken:
                    error = broken.as_value()
                    if held_back := self._attempt.held_back():
                        yield held_back
                    break
                is_ended = not piece
                events = converter.feed(piece) if piece else converter.finish()
                if events:
                    yield events
                    if attempt.ttft_ms is None and converter.content_started:
                        attempt.ttft_ms = self._elapsed_ms()
            error = error or converter.failure
            status = Status.FAILED if error else Status.SUCCEEDED
            self._attempt.note_end(error)
            if error is not None:
                self._attempt.hide_secrets_in(error)
                yield self._error_event(error)
        except GeneratorExit:
            status = self._left()
            raise
        except asyncio.CancelledError:
            status, task = self._left(), asyncio.current_task()
            if self._wire.client_is_gone or task is None:
                raise
            task.uncancel()  # the server's last grace is over: the client is there, and is told
            error = ShuttingDown()
            yield self._error_event(error)
        except Exception:
            # The edge of a stream: a bug must reach the log, and the client as an event it can read.
            log.exception(
                "a stream failed inside the gateway",
                extra={"request_id": self._attempt.asked.ask.id},
            )
            status, error = (
                Status.FAILED,
                InternalFault("The gateway failed inside; its log has the reason."),
            )
            yield self._error_event(error)
        finally:
            self._attempt.settle(status.value, error=error, answer_bytes=self._wire.bytes_sent)
            self._attempt.asked.finish()
            await self._let_go()

    async def close(self) -> None:
        """End a stream whose pump was never started; without effect after it has run."""
        self._attempt.settle(self._left().value)
        self._attempt.asked.finish()
        await self._reply.close()

    def _left(self) -> Status:
        """How an attempt is booked that nobody waits for any more."""
        return Status.CLIENT_CLOSED if self._wire.client_is_gone else Status.INTERRUPTED

    async def _let_go(self) -> None:
        """Give the connection back. What is left of a complete answer is read first, beside the client's end."""
        if self._attempt.converter.done and not self._reply.is_at_end:
            spawn(self._reply.drain(), name="drain")
        else:
            await self._reply.close()

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._attempt.asked.ask.accepted_s) * 1000)

    def _error_event(self, error: GatewayError) -> bytes:
        self._wire.error = type(error).__name__
        ask = self._attempt.asked.ask
        row = row_for(error, ask.dialect)
        return write_error_event(ask.dialect, row.type, error.message, ask.id, code=row.code)

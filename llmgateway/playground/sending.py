"""Sends what was entered through the gateway's own story, in the name of a key, and tells of the answer as it comes.

Theory of operation. The answer goes onto a wire like any client's; at its far end, in place of a socket, is a queue
of a bounded length, so that a browser that reads slowly slows the provider down. The story runs in a task of its own:
when the browser leaves, the wire is told that its client is gone and the task is cancelled, which breaks the upstream
call off and books what was used, as for every client. Live text is masked as it comes; all that crossed is masked
anew, as a whole, once it is over.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from msgspec import structs

from accounting.entries import Entry
from accounting.snapshot import KeyPicture
from conversion.call import read_call
from conversion.errors import GatewayError
from llmgateway import pipeline, trial
from llmgateway.answer_reading import EventReader, ReadAnswer, Said, read_answer
from llmgateway.attribution import origin_of
from llmgateway.exchange import ClientRequest
from llmgateway.explained import Explanation
from llmgateway.explanation import explain, masker_for
from llmgateway.playground.crossing import HELD_BYTES_MAX, Crossed, Observation, secrets_of
from llmgateway.playground.live_mask import LiveMask
from llmgateway.runtime import Runtime
from llmgateway.tasks import spawn
from llmgateway.wire import Message, Wire
from routing import snapshot
from routing.planning import Plan

QUEUE_MAX = 64
BUG = "The gateway failed inside; its log has the reason."


@dataclass(frozen=True, slots=True)
class Sending:
    """A request that is ready to go, with the plan it follows and why that is the plan."""

    ask: ClientRequest
    key: KeyPicture
    plan: Plan | None
    told: Explanation


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. ``error`` is our error's name; ``crossed`` has an item for each attempt, or one without any."""

    sending: Sending
    status: int
    answer: ReadAnswer
    is_cut: bool
    error: str
    crossed: list[Crossed]
    problem: str = ""

    @property
    def entries(self) -> list[Entry]:
        """What was booked, attempt by attempt."""
        return [each.entry for each in self.crossed if each.entry]

    @property
    def last(self) -> Entry | None:
        """What was booked of the attempt that answered, or failed last."""
        return self.entries[-1] if self.entries else None

    @property
    def cost_usd(self) -> Decimal | None:
        """All attempts together; None where none of them has a price."""
        costs = [entry.cost_usd for entry in self.entries if entry.cost_usd is not None]
        return sum(costs, Decimal(0)) if costs else None

    @property
    def is_unpriced(self) -> bool:
        """Whether something was used that nobody knows the price of."""
        return self.cost_usd is None and any(e.prompt_tokens is not None for e in self.entries)

    @property
    def succeeded(self) -> bool:
        """Whether there is a whole answer without an error in it."""
        return 200 <= self.status < 300 and not (self.error or self.answer.error or self.problem)


def prepare(ask: ClientRequest, key: KeyPicture, runtime: Runtime) -> Sending:
    """Plan the request and say why the plan is as it is. Blocks, and reads the database; for a thread.

    A request that cannot be planned is sent all the same: the gateway's own refusal is the answer.
    """
    plan, trace = None, list[str]()
    with contextlib.suppress(GatewayError):
        call = read_call(ask.dialect, ask.body)
        project = origin_of(ask, call, key).project
        plan = pipeline.plan_for(ask, key, call, runtime, project=project, trace=trace)
    told = explain(ask, key, runtime, follow=plan, trace=trace if plan else ())
    accepted = structs.replace(
        ask, accepted_at=datetime.now(UTC), accepted_s=time.monotonic(), records=[]
    )
    return Sending(accepted, key, plan, told)


class Live:
    """One request under way. ``parts`` may be iterated once; ``outcome`` is there after it has come to its end."""

    def __init__(self, sending: Sending) -> None:
        self.outcome: Outcome | None = None
        self._sending = sending
        self._observation = Observation()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MAX)
        self._wire = Wire(self._take)
        held = snapshot.in_force()
        self._secrets = secrets_of(held, sending.plan)
        self._masker = masker_for(sending.ask, held, self._secrets)
        self._masks: dict[tuple[str, int], LiveMask] = {}

    async def parts(self) -> AsyncGenerator[list[Said], None]:
        """What the answer says, masked, as it comes; an empty list where something came that says nothing."""
        task = spawn(self._serve(), name="playground")
        reader = EventReader()
        try:
            while (piece := await self._pieces.get()) is not None:
                yield self._masked(reader.feed(piece))
            yield self._rest()
            await asyncio.wait([task])
            is_bug = task.cancelled() or task.exception() is not None
            self.outcome = await asyncio.to_thread(self._outcome, problem=BUG if is_bug else "")
        finally:
            if not task.done():  # the browser has left
                self._wire.client_is_gone = True
                task.cancel()
                await asyncio.wait([task])

    async def _serve(self) -> None:
        sending = self._sending
        try:
            await trial.serve(
                sending.ask,
                sending.key,
                self._wire,
                sending.plan,
                make_recorder=self._observation.make_recorder,
            )
        finally:
            self._wire.stop_pings()
            if not self._wire.client_is_gone:
                await self._pieces.put(None)

    async def _take(self, message: Message) -> None:
        await self._observation.kept.take(message)
        if message["type"] == "http.response.body":
            await self._pieces.put(message["body"])

    def _masked(self, said: list[Said]) -> list[Said]:
        return [replace(each, text=self._mask_of(each).feed(each.text)) for each in said]

    def _mask_of(self, said: Said) -> LiveMask:
        return self._masks.setdefault((said.kind, said.call), LiveMask(self._masker))

    def _rest(self) -> list[Said]:
        return [
            Said(kind, mask.finish(), call)  # type: ignore[arg-type]
            for (kind, call), mask in self._masks.items()
        ]

    def _outcome(self, *, problem: str) -> Outcome:
        kept = self._observation.kept
        body = self._masker.body(kept.body.beginning, bytes_max=HELD_BYTES_MAX)
        entries = self._observation.entries
        return Outcome(
            self._sending,
            kept.status,
            read_answer(body.decode("utf-8", "replace")),
            kept.body.size > HELD_BYTES_MAX,
            self._wire.error or (entries[-1].error if entries else ""),
            self._observation.crossed(self._sending.ask, self._secrets),
            problem,
        )


async def send(sending: Sending) -> Outcome:
    """What came of it, once it is over."""
    live = Live(sending)
    async with contextlib.aclosing(live.parts()) as parts:
        async for _said in parts:
            pass
    assert live.outcome is not None  # noqa: S101  (parts come to their end)
    return live.outcome

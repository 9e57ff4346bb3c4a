"""Sends a request from the page that explains it: through the same story as a client's, in the same event loop."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from accounting import keys
from accounting.request_logs import Capture
from accounting.snapshot import KeyPicture
from conversion.errors import GatewayError
from llmgateway import current, outcomes, pipeline
from llmgateway.exchange import ClientRequest
from llmgateway.explained import pretty
from llmgateway.explanation import masker_for
from llmgateway.lean_handler import send_answer
from llmgateway.outcomes import PATHS
from llmgateway.recording import MakeRecorder, recorder_for
from llmgateway.views import failed
from llmgateway.wire import Message, Wire
from routing import snapshot
from routing.planning import Plan

SHOWN_BYTES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class SentAnswer:
    """What a client would have got, masked: of the body its beginning, ``body_bytes`` is the size of the whole."""

    request_id: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    body_bytes: int

    @property
    def text(self) -> str:
        """The body to be read: a whole one of JSON spread over lines."""
        return self.body if self.is_cut else pretty(self.body)

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of the body is here."""
        return self.body_bytes > SHOWN_BYTES_MAX

    @property
    def succeeded(self) -> bool:
        """Whether a provider has answered."""
        return self.status < 300


class Kept:
    """The far end of a wire: keeps what a client would receive."""

    def __init__(self, bytes_max: int = SHOWN_BYTES_MAX) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = Capture(bytes_max)

    async def take(self, message: Message) -> None:
        """One message of ASGI."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
        else:
            self.body.add(message["body"])


async def send(ask: ClientRequest, key: KeyPicture, plan: Plan | None = None) -> SentAnswer:
    """The answer to a request in the name of a key. It is booked as any other, and counts against the team's money.

    It goes where the plan says, if there is one, else where a client's would.
    """
    kept = Kept()
    wire = Wire(kept.take)
    try:
        await serve(ask, key, wire, plan)
    finally:
        wire.stop_pings()
    return await asyncio.to_thread(_masked, ask, kept)


async def serve(
    ask: ClientRequest,
    key: KeyPicture,
    wire: Wire,
    plan: Plan | None = None,
    *,
    make_recorder: MakeRecorder = recorder_for,
) -> None:
    """Answer a request in the name of a key onto the wire, as one that came from outside; errors go there, too."""
    runtime = await current.runtime()
    wire.ask = ask
    try:
        try:
            keys.check(key, now=datetime.now(UTC))
            answer = await pipeline.serve_key(
                key, ask, wire, runtime, plan=plan, make_recorder=make_recorder
            )
        except GatewayError as error:
            answer = failed(error, ask, wire)
        await send_answer(answer, wire)
    finally:
        outcomes.note({"method": "POST", "path": PATHS[ask.dialect], "headers": ()}, wire)


def _masked(ask: ClientRequest, kept: Kept) -> SentAnswer:
    masker = masker_for(ask, snapshot.in_force())
    body = masker.body(kept.body.beginning, bytes_max=SHOWN_BYTES_MAX)
    headers = tuple((name, value) for name, value in masker.headers(kept.headers))
    return SentAnswer(ask.id, kept.status, headers, body.decode("utf-8", "replace"), kept.body.size)

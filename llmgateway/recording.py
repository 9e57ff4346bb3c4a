"""Captures what crosses the gateway in one request, where a flag asks for it; masking and writing is done elsewhere.

Knows nothing of secrets but those it is handed: everything it holds is in clear, and goes to accounting.request_logs.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Protocol

from accounting.entries import Entry
from accounting.models.request_log import BODIES
from accounting.request_logs import Capture, Headers, LateAnswer, LogEntry, RequestLogs
from accounting.snapshot import KeyPicture
from llmgateway.answers import Parts, WholeAnswer
from llmgateway.exchange import ClientRequest
from routing.flags import LOG_BODIES, LOG_HEADERS, FlagSet

LOGGING = frozenset({LOG_BODIES, LOG_HEADERS})
CLIENT_REQUEST, UPSTREAM_REQUEST, UPSTREAM_ANSWER, CLIENT_ANSWER = BODIES


class Sink(Protocol):
    """Where recorders put what they have captured: the request logs, or what stands in their place."""

    body_bytes_max: int

    def put(self, entry: LogEntry | LateAnswer) -> None:
        """Take in one attempt, or what the client was told after it."""
        ...


def is_logged(ask: ClientRequest, key: KeyPicture, flags: FlagSet) -> tuple[bool, bool]:
    """Whether the flags ask for this caller's requests at all, and whether for their bodies too."""
    has_bodies = flags.is_on(LOG_BODIES, team=key.team, key=key.name, request_id=ask.id)
    return (
        has_bodies or flags.is_on(LOG_HEADERS, team=key.team, key=key.name, request_id=ask.id),
        has_bodies,
    )


def recorder_for(
    ask: ClientRequest, key: KeyPicture, flags: FlagSet, logs: RequestLogs
) -> "Recorder | None":
    """What records this request, with the client's side of it; None where both flags are off for this caller."""
    if LOGGING.isdisjoint(flags.ever_on):
        return None
    is_wanted, has_bodies = is_logged(ask, key, flags)
    if not is_wanted:
        return None
    recorder = Recorder(logs, has_bodies=has_bodies, secrets=ask.secrets)
    recorder.client_request(ask.headers, ask.body)
    return recorder


class Recorder:
    """One for each request that is logged. Each attempt's part ends with ``finish``; what comes after it is not kept."""

    __slots__ = (
        "_bodies",
        "_client_body",
        "_client_headers",
        "_has_bodies",
        "_headers",
        "_last_id",
        "_logs",
        "_secrets",
    )

    def __init__(self, logs: Sink, *, has_bodies: bool, secrets: Iterable[str]) -> None:
        self._logs = logs
        self._has_bodies = has_bodies
        self._secrets = tuple(secrets)
        self._client_headers: Headers = ()
        self._client_body: Capture | None = None
        self._headers: dict[str, Headers] = {}
        self._bodies: dict[str, Capture] = {}
        self._last_id = ""

    def client_request(self, headers: Mapping[str, str], body: bytes) -> None:
        """What the client asked; goes with every attempt."""
        self._client_headers = tuple(headers.items())
        self._client_body = self._captured(body)

    def upstream_request(
        self, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str] = ()
    ) -> None:
        """A new attempt, and what is sent for it; ``secrets`` is the credential that goes along, in whatever way."""
        self._headers = {CLIENT_REQUEST: self._client_headers}
        self._bodies = {}
        if self._client_body is not None:
            self._bodies[CLIENT_REQUEST] = self._client_body
        self._put(UPSTREAM_REQUEST, tuple(headers.items()), body)
        self._secrets = (*self._secrets, *secrets)

    def upstream_answer(self, status: int, headers: Mapping[str, str]) -> None:
        """How the provider's answer begins."""
        self._put(UPSTREAM_ANSWER, answer_headers(status, headers))

    def upstream_piece(self, piece: bytes) -> None:
        """A piece of the provider's answer."""
        self._add(UPSTREAM_ANSWER, piece)

    def client_answer(self, headers: Mapping[str, str], body: bytes = b"") -> None:
        """How the answer to the client begins, or all of it; it is no error."""
        self._put(CLIENT_ANSWER, answer_headers(200, headers), body)

    def client_piece(self, piece: bytes) -> None:
        """A piece of the answer to the client."""
        self._add(CLIENT_ANSWER, piece)

    def finish(self, entry: Entry) -> None:
        """The attempt is over: have it written."""
        headers, self._headers = self._headers, {}
        bodies, self._bodies = self._bodies, {}
        self._last_id = entry.id
        self._logs.put(
            LogEntry(
                id=entry.id,
                request_id=entry.request_id,
                at=entry.started_at,
                team=entry.team,
                key_name=entry.key_name,
                bytes_max=self._logs.body_bytes_max,
                secrets=self._secrets,
                headers=headers,
                bodies=bodies,
            )
        )

    def client_error(self, answer: WholeAnswer) -> None:
        """What the client is told after all attempts have failed: belongs to the last of them, if there was one."""
        if self._last_id:
            self._logs.put(
                LateAnswer(
                    id=self._last_id,
                    bytes_max=self._logs.body_bytes_max,
                    secrets=self._secrets,
                    headers=answer_headers(answer.status_code, answer.gateway_headers),
                    body=self._captured(answer.content),
                )
            )

    def _put(self, name: str, headers: Headers, body: bytes = b"") -> None:
        self._headers[name] = headers
        capture = self._captured(body)
        if capture is not None:
            self._bodies[name] = capture

    def _add(self, name: str, piece: bytes) -> None:
        capture = self._bodies.get(name)
        if capture is not None:
            capture.add(piece)

    def _captured(self, body: bytes) -> Capture | None:
        if not self._has_bodies:
            return None
        capture = Capture(self._logs.body_bytes_max)
        if body:
            capture.add(body)
        return capture


MakeRecorder = Callable[[ClientRequest, KeyPicture, FlagSet, RequestLogs], Recorder | None]


def answer_headers(status: int, headers: Mapping[str, str]) -> Headers:
    """The headers of an answer behind its status, repeated ones too."""
    return ((":status", str(status)), *headers.items())


class RecordedParts:
    """A stream that tells the recorder of each piece on its way to the client."""

    def __init__(self, parts: Parts, recorder: Recorder) -> None:
        self._parts = parts
        self._recorder = recorder

    async def pump(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the stream."""
        async with contextlib.aclosing(self._parts.pump()) as pieces:
            async for piece in pieces:
                self._recorder.client_piece(piece)
                yield piece

    async def close(self) -> None:
        """Let go of the stream."""
        await self._parts.close()


def recorded(parts: Parts, recorder: Recorder | None, headers: Mapping[str, str]) -> Parts:
    """The stream, with its pieces and the headers of the answer recorded where that is asked for."""
    if recorder is None:
        return parts
    recorder.client_answer(headers)
    return RecordedParts(parts, recorder)

"""Keeps what crossed the gateway in one request for the page that sent it, masked, whatever the flags on logging say.

Stands where the request logs stand for others, and hands on to them what the flags ask for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from accounting import snapshot as keys_snapshot
from accounting.crossed import crossed
from accounting.entries import Entry
from accounting.models import RequestLog
from accounting.request_logs import (
    Capture,
    LateAnswer,
    LogEntry,
    RequestLogs,
    add_answer,
    row_of,
    secrets_in,
)
from accounting.snapshot import KeyPicture
from llmgateway.exchange import ClientRequest
from llmgateway.explanation import SECRET_CHARS_MIN
from llmgateway.recording import CLIENT_REQUEST, Recorder, answer_headers, is_logged
from llmgateway.trial import SHOWN_BYTES_MAX, Kept
from routing.flags import FlagSet
from routing.pictures import Snapshot
from routing.planning import Plan

HELD_BYTES_MAX = 1_000_000
"""How much of the answer to the client is held, so that its text can be read out of it."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """One attempt: what was booked of it, and its messages as a page shows them. Without an attempt there is no entry."""

    entry: Entry | None
    messages: list[dict[str, Any]]


class KeptHere:
    """Stands in for the request logs in one request."""

    def __init__(self, logs: RequestLogs, *, has_headers: bool, has_bodies: bool) -> None:
        self.entries: list[LogEntry] = []
        self.body_bytes_max = max(SHOWN_BYTES_MAX, logs.body_bytes_max if has_bodies else 0)
        self._logs = logs
        self._has_headers = has_headers
        self._has_bodies = has_bodies

    def put(self, entry: LogEntry | LateAnswer) -> None:
        """Keep it; the logs get it too, where the flags ask for that. What a client is told late is on the wire."""
        if isinstance(entry, LogEntry):
            self.entries.append(entry)
        if not self._has_headers:
            return
        logged = replace(entry, bytes_max=self._logs.body_bytes_max)
        if not self._has_bodies:
            none: dict[str, Any] = {"bodies": {}} if isinstance(entry, LogEntry) else {"body": None}
            logged = replace(logged, **none)
        self._logs.put(logged)


class Observer(Recorder):
    """Records whatever the flags say, and keeps what is booked of each attempt."""

    __slots__ = ("entries",)

    def __init__(self, kept: KeptHere, ask: ClientRequest) -> None:
        super().__init__(kept, has_bodies=True, secrets=ask.secrets)
        self.entries: list[Entry] = []
        self.client_request(ask.headers, ask.body)

    def finish(self, entry: Entry) -> None:
        """The attempt is over, and booked."""
        self.entries.append(entry)
        super().finish(entry)


class Observation:
    """All that is seen of one request. ``make_recorder`` is for the pipeline; ``kept`` holds what the client gets."""

    def __init__(self) -> None:
        self.kept = Kept(HELD_BYTES_MAX)
        self.logs: KeptHere | None = None
        self.observer: Observer | None = None

    def make_recorder(
        self, ask: ClientRequest, key: KeyPicture, flags: FlagSet, logs: RequestLogs
    ) -> Observer:
        """What records the request, in place of ``recorder_for``."""
        has_headers, has_bodies = is_logged(ask, key, flags)
        self.logs = KeptHere(logs, has_headers=has_headers, has_bodies=has_bodies)
        self.observer = Observer(self.logs, ask)
        return self.observer

    @property
    def entries(self) -> list[Entry]:
        """What is booked of the attempts, in their order."""
        return self.observer.entries if self.observer else []

    def crossed(self, ask: ClientRequest, secrets: Iterable[str]) -> list[Crossed]:
        """What crossed, attempt by attempt, masked. The last one has what the client got; blocks for milliseconds."""
        logged = self.logs.entries if self.logs else []
        rows = [_row_of(entry, secrets) for entry in logged] or [_unsent(ask, secrets)]
        told = LateAnswer(
            id=rows[-1].pk,
            bytes_max=SHOWN_BYTES_MAX,
            secrets=tuple(secrets),
            headers=answer_headers(self.kept.status, dict(self.kept.headers)),
            body=self.kept.body,
        )
        if self.kept.status:
            add_answer(rows[-1], told, keys_snapshot.current().masks)
        entries: list[Entry | None] = [*self.entries] or [None]
        return [Crossed(entry, crossed(row)) for entry, row in zip(entries, rows, strict=True)]


def _row_of(entry: LogEntry, secrets: Iterable[str]) -> RequestLog:
    """The entry as the page shows it: a row that is never saved."""
    shown = replace(entry, bytes_max=SHOWN_BYTES_MAX, secrets=(*entry.secrets, *secrets))
    return row_of(shown, keys_snapshot.current().masks)


def _unsent(ask: ClientRequest, secrets: Iterable[str]) -> RequestLog:
    """A request that went nowhere: all there is of it is what the client sent."""
    body = Capture(SHOWN_BYTES_MAX)
    body.add(ask.body)
    entry = LogEntry(
        id=ask.id,
        request_id=ask.id,
        at=ask.accepted_at,
        team="",
        key_name="",
        bytes_max=SHOWN_BYTES_MAX,
        secrets=tuple(secrets),
        headers={CLIENT_REQUEST: tuple(ask.headers.items())},
        bodies={CLIENT_REQUEST: body},
    )
    return row_of(entry, keys_snapshot.current().masks)


def secrets_of(held: Snapshot | None, plan: Plan | None) -> set[str]:
    """What nobody at the page is to see: all credentials of providers, and what header rules of the plan put into headers."""
    credentials = {
        credential.secret.reveal()
        for provider in (held.providers.values() if held else ())
        for credential in provider.credentials
    }
    rules = [
        (rule.name, rule.value)
        for target in (plan.targets if plan else ())
        for rule in target.header_rules
    ]
    return {each for each in credentials if len(each) >= SECRET_CHARS_MIN} | secrets_in(rules)

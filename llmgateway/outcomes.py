"""What became of each client request below /v1/, noted in one place when it is over: a moment's work for the request.

What is told of it, by the log, the figures and the traces, is the teller's business (``teller.py``), which takes what was
noted by the batch. Nothing here may need a model: uvicorn's protocol, which notes what it refuses, is loaded first.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from conversion.dialects import Dialect
from llmgateway.exchange import new_request_id

if TYPE_CHECKING:
    from accounting.entries import Entry
    from accounting.snapshot import KeyPicture
    from llmgateway.tracing import Trace
    from llmgateway.wire import Wire

PREFIX = "/v1/"
REFUSED = "llmgateway.refused"
"""Where a scope holds the error and the status with which the server refused the rest of a request."""
PATH_CHARS_MAX = 200
PATHS: Mapping[Dialect, str] = {
    Dialect.ANTHROPIC_MESSAGES: "/v1/messages",
    Dialect.OPENAI_CHAT: "/v1/chat/completions",
    Dialect.OPENAI_COMPLETIONS: "/v1/completions",
    Dialect.OPENAI_EMBEDDINGS: "/v1/embeddings",
}
"""Where calls in each dialect are answered."""
MODELS = "/v1/models"
ENDPOINTS = frozenset({*PATHS.values(), "/v1/messages/count_tokens", MODELS})
WAITING_MAX = 100_000
"""Requests that are over and still to be told of; more are forgotten, the oldest first."""


class Outcome(msgspec.Struct, gc=False):
    """One request that is over. ``status`` is 0 where no answer began; both moments are monotonic, in seconds.

    ``records`` are those of its attempts; ``error`` is the class of what the client was told went wrong.
    """

    id: str
    dialect: Dialect
    method: str
    path: str
    status: int
    error: str
    is_client_gone: bool
    is_answered: bool
    began_s: float
    ended_s: float
    headers: Sequence[tuple[bytes, bytes]] = ()
    key: "KeyPicture | None" = None
    alias: str = ""
    records: "Sequence[Entry]" = ()
    trace: "Trace | None" = None

    @property
    def word(self) -> str:
        """How it ended: one of WORDS."""
        if self.error:
            return "refused" if 400 <= self.status < 500 else "failed"
        if self.is_client_gone:
            return "client_closed"
        return "succeeded" if self.is_answered else "interrupted"

    @property
    def endpoint(self) -> str:
        """The address that was asked, without what a client can make up; empty where there is nothing."""
        if self.path in ENDPOINTS:
            return self.path
        return MODELS if self.path.startswith(f"{MODELS}/") else ""

    def header(self, wanted: bytes) -> str:
        """The first header of a name, which is in lower case; empty where there is none."""
        return next((v.decode("latin-1") for name, v in self.headers if name == wanted), "")


WORDS = ("succeeded", "refused", "failed", "client_closed", "interrupted")
"""Refused is what was answered with a status of 400 to 499; failed has another, or failed after it had begun."""


class Book:
    """What was noted and is still to be told."""

    def __init__(self) -> None:
        self._waiting: deque[Outcome] = deque(maxlen=WAITING_MAX)
        self.add = self._waiting.append

    def take(self, count: int) -> list[Outcome]:
        """The oldest, at most ``count``; they are nobody else's from then on."""
        taken: list[Outcome] = []
        try:
            while len(taken) < count:
                taken.append(self._waiting.popleft())
        except IndexError:
            pass
        return taken


class _Held:
    book: Book | None = None


def hold(book: Book | None) -> None:
    """Note in this book from now on; in none, where nobody tells."""
    _Held.book = book


def held() -> Book | None:
    """The book in which is noted."""
    return _Held.book


def note(scope: Mapping[str, Any], wire: "Wire") -> None:
    """Note a request that is over, however it ended."""
    book, ask = _Held.book, wire.ask
    if book is None:
        return
    if ask is None:  # it was not read
        book.add(
            Outcome(
                wire.request_id, dialect_of(scope), scope["method"], scope["path"][:PATH_CHARS_MAX], wire.status, wire.error,
                wire.client_is_gone, wire.is_ended, wire.began_s, time.monotonic(), scope["headers"], wire.key,
            )
        )  # fmt: skip
        return
    book.add(
        Outcome(
            ask.id, ask.dialect, scope["method"], scope["path"][:PATH_CHARS_MAX], wire.status, wire.error,
            wire.client_is_gone, wire.is_ended, wire.began_s, time.monotonic(), scope["headers"],
            ask.key, ask.alias, ask.records, ask.trace,
        )
    )  # fmt: skip


def note_unread(scope: Mapping[str, Any], *, status: int, error: str, took_s: float) -> None:
    """Note a request that was refused before its head was read to the end; ``scope`` has what is known of it."""
    book = _Held.book
    if book is None or not scope["path"].startswith(PREFIX):
        return
    now_s = time.monotonic()
    book.add(
        Outcome(
            new_request_id(), dialect_of(scope), scope["method"], scope["path"][:PATH_CHARS_MAX], status, error,
            is_client_gone=False, is_answered=True, began_s=now_s - took_s, ended_s=now_s, headers=scope["headers"],
        )
    )  # fmt: skip


def dialect_of(scope: Mapping[str, Any]) -> Dialect:
    """The dialect to tell an error in before the view is known: Anthropic's at its paths or with its header."""
    if scope["path"].startswith("/v1/messages"):
        return Dialect.ANTHROPIC_MESSAGES
    is_anthropic = any(name == b"anthropic-version" for name, _value in scope["headers"])
    return Dialect.ANTHROPIC_MESSAGES if is_anthropic else Dialect.OPENAI_CHAT

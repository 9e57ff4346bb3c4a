"""The wire formats, which pairs of them exist, and the one shape that every converter has."""

from collections.abc import Callable
from enum import StrEnum
from functools import cached_property
from typing import Protocol

from conversion.errors import GatewayError
from conversion.report import Report
from conversion.usage import FinishReason, Usage


class Dialect(StrEnum):
    """A wire format, on either side of the gateway."""

    ANTHROPIC_MESSAGES = "anthropic_messages"
    OPENAI_CHAT = "openai_chat"
    OPENAI_COMPLETIONS = "openai_completions"
    OPENAI_EMBEDDINGS = "openai_embeddings"
    OLLAMA_CHAT = "ollama_chat"

    @cached_property
    def family(self) -> "Dialect":
        """The dialect whose errors, pings and end mark this one shares: one of the first two."""
        is_anthropic = self is Dialect.ANTHROPIC_MESSAGES
        return Dialect.ANTHROPIC_MESSAGES if is_anthropic else Dialect.OPENAI_CHAT


WORDS = {dialect: dialect.value for dialect in Dialect}
"""Each as a plain string, for what stores it: an enumeration's ``value`` is two calls."""


class Converter(Protocol):
    """One attempt, translated both ways; a fresh object for each attempt.

    ``request`` is the body to send. Then either ``read_answer`` is called once with the whole answer, or
    ``feed`` for each piece of the stream, cut anywhere, and ``finish`` at its end. All three return bytes in
    the client's dialect, whole events only (``b""`` when nothing is due yet).

    ``failure`` is set when the stream said that it failed or broke its dialect: what ``feed`` returned is still
    to be sent, nothing more is to be fed. ``started`` is true once bytes were returned by ``feed`` or
    ``finish``; ``content_started`` once these held content; ``done`` once the upstream said it was finished:
    whatever follows is ignored. ``usage``, ``finish_reason``, ``answered_model`` and ``upstream_id`` hold what
    is known so far, also after a failure or when the client has left half-way.
    """

    @property
    def request(self) -> bytes:
        """The body to send."""
        ...

    def drop_request(self) -> None:
        """Forget the request: it was sent, and an answer that has begun needs nothing of it."""
        ...

    @property
    def report(self) -> Report:
        """What did not cross as it was; notes on the answer join those on the request."""
        ...

    @property
    def usage(self) -> Usage:
        """Tokens as reported so far, else as estimated from what has come so far."""
        ...

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it has not."""
        ...

    @property
    def answered_model(self) -> str:
        """The model that the upstream says it used; empty until it has said so."""
        ...

    @property
    def answered_by(self) -> str:
        """Who served the upstream's model, where it tells (OpenRouter's ``provider``), else empty."""
        ...

    @property
    def upstream_id(self) -> str:
        """The upstream's own id of the answer; empty until it has said so."""
        ...

    @property
    def started(self) -> bool:
        """Whether bytes were returned by ``feed`` or ``finish``."""
        ...

    @property
    def content_started(self) -> bool:
        """Whether those bytes held content: before that, another target may still take over."""
        ...

    @property
    def done(self) -> bool:
        """Whether the upstream said that it was finished; whatever follows is ignored."""
        ...

    @property
    def failure(self) -> GatewayError | None:
        """What the stream failed with. The caller writes the client's error event; nothing more is to be fed."""
        ...

    def read_answer(self, body: bytes) -> bytes:
        """The whole answer in the client's dialect.

        Raises:
            UpstreamInvalid: the body is not an answer in the upstream's dialect.
            UpstreamError: the body is an error in the clothes of a success.
        """
        ...

    def feed(self, data: bytes) -> bytes:
        """The client's events that one piece of the upstream's stream makes due. Raises nothing."""
        ...

    def finish(self) -> bytes:
        """The client's last events, after the upstream closed its stream. Sets ``failure`` if that was too early."""
        ...


ErrorReader = Callable[[int, bytes, float | None], GatewayError]
"""(HTTP status, body, Retry-After in seconds) of an upstream's error answer -> the error to raise."""

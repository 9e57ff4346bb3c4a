"""What a converter with a stream of its own tells of its attempt: it knows where each figure is kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from conversion.errors import GatewayError
from conversion.usage import FinishReason, Usage


class Facts(Protocol):
    """What was learned of an answer so far."""

    finish_reason: FinishReason | None
    answered_model: str
    answered_by: str
    upstream_id: str

    @property
    def usage(self) -> Usage:
        """Tokens as reported so far, else as estimated from what has come so far."""
        ...


class Stream(Protocol):
    """How far a stream has come."""

    started: bool
    done: bool
    failure: GatewayError | None

    def feed(self, data: bytes) -> bytes:
        """What one piece of the upstream's stream makes due."""
        ...

    def finish(self) -> bytes:
        """What is left to say after the upstream closed its stream."""
        ...

    @property
    def content_started(self) -> bool:
        """Whether content was written."""
        ...


FactsT = TypeVar("FactsT", bound=Facts)
_OF_STREAM = ("_stream", "feed", "finish")


class Telling(ABC, Generic[FactsT]):
    """The part of :class:`conversion.dialects.Converter` that tells, out of ``_facts`` and ``_stream``.

    The stream is made for whoever asks for it first: a whole answer has no use for one, and for half a dozen objects.
    """

    request: bytes
    feed: Callable[[bytes], bytes]
    finish: Callable[[], bytes]
    _facts: FactsT
    _stream: Stream

    @abstractmethod
    def _make_stream(self) -> Stream:
        """The stream of this attempt."""

    def __getattr__(self, name: str) -> Any:
        if name not in _OF_STREAM:
            raise AttributeError(name)
        stream = self._stream = self._make_stream()
        # Not wrapped: this is called for every piece of every stream.
        self.feed, self.finish = stream.feed, stream.finish
        return self.__dict__[name]

    def drop_request(self) -> None:
        """Forget the request: it was sent."""
        self.request = b""

    @property
    def usage(self) -> Usage:
        """Tokens as reported so far, else as estimated from what has come so far."""
        return self._facts.usage

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it has not."""
        return self._facts.finish_reason

    @property
    def answered_model(self) -> str:
        """The model that the upstream says it used."""
        return self._facts.answered_model

    @property
    def answered_by(self) -> str:
        """OpenRouter's ``provider``."""
        return self._facts.answered_by

    @property
    def upstream_id(self) -> str:
        """The upstream's own id of the answer."""
        return self._facts.upstream_id

    @property
    def started(self) -> bool:
        """Whether bytes were returned by ``feed`` or ``finish``."""
        return self._stream.started

    @property
    def content_started(self) -> bool:
        """Whether those bytes held content."""
        return self._stream.content_started

    @property
    def done(self) -> bool:
        """Whether the upstream said that it was finished."""
        return self._stream.done

    @property
    def failure(self) -> GatewayError | None:
        """What the stream failed with."""
        return self._stream.failure

"""A converter around another one: what both dialects at an end have in common is told by the inner one."""

from conversion.dialects import Converter
from conversion.errors import GatewayError
from conversion.report import Report
from conversion.usage import FinishReason, Usage


class Wrapping:
    """Implements :class:`conversion.dialects.Converter` but for the bytes, which a subclass changes on their way."""

    def __init__(self, inner: Converter) -> None:
        self._inner = inner
        self._failure: GatewayError | None = None

    def drop_request(self) -> None:
        """Forget the request: it was sent."""
        self._inner.drop_request()

    @property
    def report(self) -> Report:
        """What did not cross as it was."""
        return self._inner.report

    @property
    def usage(self) -> Usage:
        """Tokens as reported so far, else as estimated."""
        return self._inner.usage

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it has not."""
        return self._inner.finish_reason

    @property
    def answered_model(self) -> str:
        """The model that the upstream says it used."""
        return self._inner.answered_model

    @property
    def answered_by(self) -> str:
        """Who served it, where the upstream tells."""
        return self._inner.answered_by

    @property
    def upstream_id(self) -> str:
        """The upstream's own id of the answer."""
        return self._inner.upstream_id

    @property
    def started(self) -> bool:
        """Whether bytes were returned by ``feed`` or ``finish``."""
        return self._inner.started

    @property
    def content_started(self) -> bool:
        """Whether those bytes held content."""
        return self._inner.content_started

    @property
    def done(self) -> bool:
        """Whether the upstream said that it was finished."""
        return self._inner.done

    @property
    def failure(self) -> GatewayError | None:
        """What the stream failed with."""
        return self._failure or self._inner.failure

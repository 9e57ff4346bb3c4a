"""Feeds a pair's stream the frames of its upstream, and hands out what the pair has written."""

from abc import ABC, abstractmethod

import orjson

from conversion.errors import TOO_DEEP, GatewayError, UpstreamInvalid
from conversion.sse import Frames, is_whole


class FramedStream(ABC):
    """One attempt's stream: ``feed`` pieces of the upstream's, then ``finish``; neither raises anything.

    A subclass reads one frame in ``_read`` and writes into the list that it handed in; both that and ``_end_early``,
    which is asked when the upstream closes without an end, may raise what becomes ``failure``.
    """

    def __init__(self, out: list[bytes]) -> None:
        self.failure: GatewayError | None = None
        self.started = False
        self.done = False
        self._frames = Frames()
        self._out = out

    def feed(self, data: bytes) -> bytes:
        """What one piece of the stream makes due, in the client's dialect."""
        if self.done or self.failure is not None:
            return b""
        try:
            for event, text in self._frames.feed(data):
                self._read(event, text)
                if self.done:  # whatever comes after the end is ignored
                    break
        except GatewayError as error:
            self.failure = error.as_value()
        except orjson.JSONEncodeError:
            self.failure = UpstreamInvalid(TOO_DEEP)
        return self._due()

    def finish(self) -> bytes:
        """What is left to say after the upstream closed its stream."""
        if self.done or self.failure is not None:
            return b""
        try:
            for event, text in self._frames.close():
                # Half an event says that the stream was cut, not that it was wrong.
                if is_whole(text):
                    self._read(event, text)
            if not self.done:
                self._end_early()
        except GatewayError as error:
            self.failure = error.as_value()
        except orjson.JSONEncodeError:
            self.failure = UpstreamInvalid(TOO_DEEP)
        return self._due()

    def _due(self) -> bytes:
        out = self._out
        if not out:
            return b""
        self.started = True
        due = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return due

    @abstractmethod
    def _read(self, event: bytes, data: bytes) -> None:
        """Learn from one frame, and write what it makes due."""

    @abstractmethod
    def _end_early(self) -> None:
        """End what the upstream left without an end, or say that it was cut."""

"""One attempt where both ends speak the same dialect: bytes untouched, usage still read.

The request changes in its model name, in the overrides of the deployment, and, for OpenAI streams, in the wish for a
usage chunk. Where the overrides leave it alone, the new name is put into the client's own bytes, so that nothing is
lost that the gateway does not know. The answer passes in whole frames, which leaves room for a ping between two.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from conversion.call import Call
from conversion.dialects import Dialect
from conversion.errors import GatewayError, RequestInvalid, UpstreamInvalid, UpstreamStreamCut
from conversion.report import Report
from conversion.sse import END_MARK, Cutter, Frames, is_whole, split_frames
from conversion.usage import FinishReason, Usage
from conversion.watchers import AnthropicWatcher, OpenAIWatcher, estimated


class Passthrough:
    """Implements :class:`conversion.dialects.Converter`.

    ``parameters`` are merged into the body last. ``ask_for_usage`` when an OpenAI upstream reports the usage of a
    stream only if it is asked to; the chunk with it is kept from a client that did not ask.
    """

    def __init__(
        self,
        call: Call,
        *,
        upstream_model: str,
        parameters: Mapping[str, Any] | None = None,
        ask_for_usage: bool = False,
    ) -> None:
        self.report = Report()
        self.started = False
        self.content_started = False
        self.done = False
        self.failure: GatewayError | None = None
        asks = (
            ask_for_usage
            and call.stream
            and call.dialect.family is Dialect.OPENAI_CHAT
            and not _asks_for_usage(call.body)
        )
        self.request = _write_request(call, upstream_model, parameters or {}, ask_for_usage=asks)
        self._dialect = call.dialect
        self._watcher: OpenAIWatcher | AnthropicWatcher = (
            OpenAIWatcher(hide_usage=asks)
            if call.dialect.family is Dialect.OPENAI_CHAT
            else AnthropicWatcher()
        )
        self._cutter = Cutter()
        self._frames = Frames()
        self._frames_passed = 0
        self._answer_tokens = 0

    def read_answer(self, body: bytes) -> bytes:
        """The answer as it came.

        Raises:
            UpstreamInvalid: the body is no answer in this dialect.
            UpstreamError: the body is an error in the clothes of a success.
        """
        self._watcher.read_whole(body)
        self._answer_tokens = len(body) // 4
        return body

    def feed(self, data: bytes) -> bytes:
        """The whole frames that one piece of the stream completes. Raises nothing."""
        if self.done or self.failure is not None:
            return b""
        try:
            whole = self._cutter.feed(data)
        except UpstreamInvalid as error:
            self.failure = error
            return b""
        return self._pass(whole) if whole else b""

    def finish(self) -> bytes:
        """The last frame, if its end was missing, and the end mark, if only that was missing."""
        if self.done or self.failure is not None:
            return b""
        rest = self._cutter.close()
        passed = b""
        if not rest.strip():
            passed = rest
        # Half a frame is no use to anybody: it says only that the stream was cut.
        elif all(is_whole(data) for _, data in Frames().read(rest)):
            passed = self._pass(rest + b"\n\n")
        if self.done or self.failure is not None:
            return passed
        if not self._watcher.has_ended:
            self.failure = UpstreamStreamCut("the upstream's stream ended before its answer did")
            return passed
        self.done = True
        return passed + END_MARK[self._dialect.family]

    def _pass(self, whole: bytes) -> bytes:
        watcher = self._watcher
        if watcher.upstream_id and self.content_started and not watcher.is_marked(whole):
            self._frames_passed += whole.count(b"data:")
            return whole
        passed = []
        try:
            for frame in split_frames(whole):
                if self._read(frame):
                    passed.append(frame)
                if self.done:
                    break
        except GatewayError as error:
            self.failure = error
        self.started = self.started or bool(passed)
        return b"".join(passed)

    def _read(self, frame: bytes) -> bool:
        """Learn from one frame, and say whether the client gets it."""
        watcher = self._watcher
        self._frames_passed += 1
        keep = True
        if not watcher.upstream_id or watcher.is_marked(frame):
            for event, data in self._frames.read(frame):
                verdict = watcher.read_frame(event, data)
                self.done = self.done or verdict == "end"
                keep = verdict != "drop"
        if not self.content_started:
            self.content_started = watcher.content.search(frame) is not None
        return keep

    @property
    def usage(self) -> Usage:
        """Tokens as reported, else estimated once an answer has begun: a frame is about a token."""
        watcher = self._watcher
        if watcher.is_final or not (self.started or self._answer_tokens):
            return watcher.usage
        answer_tokens = self._answer_tokens or self._frames_passed
        return estimated(
            watcher.usage, request_bytes=len(self.request), answer_tokens=answer_tokens
        )

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it has not."""
        return self._watcher.finish_reason

    @property
    def answered_model(self) -> str:
        """The model that the upstream says it used."""
        return self._watcher.answered_model

    @property
    def answered_by(self) -> str:
        """Who served it, where the upstream tells."""
        return self._watcher.answered_by

    @property
    def upstream_id(self) -> str:
        """The upstream's own id of the answer."""
        return self._watcher.upstream_id


def _asks_for_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _write_request(
    call: Call, upstream_model: str, parameters: Mapping[str, Any], *, ask_for_usage: bool
) -> bytes:
    raw = call.raw
    # Put in place only where there is no doubt which bytes are meant: one such key, and no letter of it escaped.
    in_place = (
        not parameters
        and raw.count(b'"model"') == 1
        and b"\\u006" not in raw
        and not (ask_for_usage and "stream_options" in call.body)
    )
    if not in_place:
        return _write_anew(call, upstream_model, parameters, ask_for_usage=ask_for_usage)
    if call.body["model"] != upstream_model:
        start = raw.index(b'"', raw.index(b":", raw.index(b'"model"') + 7))
        raw = raw[:start] + orjson.dumps(upstream_model) + raw[_end_of_string(raw, start) :]
    if ask_for_usage:
        start = raw.index(b"{") + 1
        raw = raw[:start] + b'"stream_options":{"include_usage":true},' + raw[start:]
    return raw


def _end_of_string(raw: bytes, start: int) -> int:
    end = start + 1
    while raw[end] != ord('"'):
        end += 2 if raw[end] == ord("\\") else 1
    return end + 1


def _write_anew(
    call: Call, upstream_model: str, parameters: Mapping[str, Any], *, ask_for_usage: bool
) -> bytes:
    body = {**call.body, "model": upstream_model}
    if ask_for_usage:
        options = body.get("stream_options")
        body["stream_options"] = {
            **(options if isinstance(options, dict) else {}),
            "include_usage": True,
        }
    try:
        return orjson.dumps({**body, **parameters})
    except orjson.JSONEncodeError as error:  # orjson reads 1024 levels and writes 254
        raise RequestInvalid("the request body is nested too deeply to be sent on") from error
